"""Publishing: carry one publisher's media to its hub, and keep it until the hub acknowledges it."""
