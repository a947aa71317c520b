"""Role ``record``: one Recording, from the moment it was asked for to its last chunk in the store.

:mod:`.machine` decides, :mod:`.chunks` and :mod:`.uploader` write, :mod:`.journal` and
:mod:`.merge` say what is there, :mod:`.recorder` joins them, :mod:`.supervisor` keeps it running.
"""
