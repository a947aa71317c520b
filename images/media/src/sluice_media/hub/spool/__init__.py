"""The spool: the sessions that the hub keeps on the disk of its pod."""
