"""Tools that tests share: kubectl, publishers, targets, rigs, frame comparison."""
