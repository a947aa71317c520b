"""The wire format of the timeline and of legs, the client that reads a timeline, the source clock.

:mod:`.framing`, :mod:`.leg_framing` and :mod:`.source_clock` are sans-io; :mod:`.reader` and
:mod:`.connection` do the I/O.
"""
