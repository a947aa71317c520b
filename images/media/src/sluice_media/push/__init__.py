"""The pusher: one stream's timeline out to one target, as it is.

``target`` and ``failures`` are values, ``machine``, ``flow`` and ``feeder`` are pure (no I/O, the
clock passed in), ``connection`` owns the socket, ``app`` joins them and ``role`` is the process.
"""
