"""The playback of a LiveStream: its play pods, its addresses, and its part of the status."""
