"""The hub of one stream: legs come in, one unbroken timeline goes out.

``legs/``, ``output/``, ``hub.py`` and most of ``spool/`` are pure: they do no I/O, and every call
passes the present :class:`~sluice_media.hub.clock.Moment`.

====================  ============================================================================
hub.py                Joins the legs, the choice of the active leg, and the output.
feed.py               Parses the bytes of a leg into formats and units.
pull_legs.py          Adds pulled sources as legs.
legs/                 Input side: connected sources, admission, and the choice of the active leg.
output/               Output side: sessions, the splicer, the timeline in its ring, and readers.
spool/                Sessions on the pod's disk.
http/                 The endpoints for gateways (legs) and for readers (the timeline).
clock.py              The two clocks that the pure modules receive as arguments.
status.py             The hub's part of the pod's status.
metrics.py            Prometheus metrics.
role.py               The process: configuration, status server and hub server.
====================  ============================================================================
"""
