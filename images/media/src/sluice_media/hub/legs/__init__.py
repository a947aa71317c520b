"""The input side of the hub: connected sources, and the choice of the active one."""
