"""Role ``record``: one Recording, from its creation to its last chunk in the store.

:mod:`.role` is PID 1 and restarts :mod:`.worker`, a process that runs one attempt after another.
In an attempt, :mod:`.machine` decides, :mod:`.runner` carries out the effects, :mod:`.chunks`
writes chunk files, and :mod:`.uploader` stores them. The format in the store is in
:mod:`sluice_media.recording`.
"""
