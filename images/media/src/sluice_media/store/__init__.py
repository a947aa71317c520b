"""Role ``store``: one pod per MediaStore. It makes MP4s of what recorders left, and hands them out.

:mod:`.target` is the only module that speaks to the storage itself; recorders use it too.
"""
