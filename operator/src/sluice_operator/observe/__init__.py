"""What the media pods say of themselves: one long poll of ``/v1/status`` for each."""
