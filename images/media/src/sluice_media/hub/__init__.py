"""The hub: legs in, one unbroken timeline out.

The core is pure, its clock is passed in::

    leg.py         one connected source: when it delivers, what it holds back until then
    selector.py    which leg feeds the output, and where to enter it
    splicer.py     source times -> times of the one timeline, strictly increasing
    timeline.py    one session's output: format, anchors, units, in a ring
    ring.py        the last minute of it, encoded once for all readers
    session.py     from the first moment on air until the resume window has passed
    media_info.py  what is measured from the bitstream
    readers.py     who reads, how far, and who is too slow
    hub.py         joins them

Around it is the I/O: ``leg_endpoint.py`` and ``timeline_endpoint.py`` (HTTP), ``server.py``,
``metrics.py`` and ``role.py``.
"""
