"""Role ``store``: one pod per MediaStore. It makes MP4s of what recorders left, and hands them out.

It reaches its storage through :mod:`sluice_media.storage`, as recorders do.
"""
