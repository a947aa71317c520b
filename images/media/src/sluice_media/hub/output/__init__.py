"""The output side of the hub: sessions, the timeline of records, and its readers."""
