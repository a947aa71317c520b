"""The pusher: sends the timeline of one stream to one target, without transcoding.

``role`` starts the process. ``runner`` does the I/O: it turns configuration, stream and connection
into events for ``machine``, which decides. ``follower`` reads the stream. ``connection`` owns the
open connection, over ``rtmp_channel`` or ``srt_channel``. ``machine``, ``retries``, ``source``,
``flow``, ``feeder``, ``tracks`` and ``silence`` are pure: no I/O, and the caller passes the time.
``target`` and ``failures`` are values.
"""
