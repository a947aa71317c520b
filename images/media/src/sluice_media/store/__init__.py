"""Role ``store``: one pod per MediaStore, which makes MP4s from recorders' chunks and serves them.

It accesses its storage through :mod:`sluice_media.storage`, as recorders do.
"""
