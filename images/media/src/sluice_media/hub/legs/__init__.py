"""The input side of the hub: connected sources, and the choice of the one that is on air."""
