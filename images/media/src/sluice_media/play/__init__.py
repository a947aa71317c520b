"""Role ``play``: the segments and playlists of one stream's sessions.

Pure modules, without I/O and clocks::

    cutter.py   records of the timeline -> parts and segments
    segment.py  a segment, its tracks and parts        segment_file.py  its form on disk
    table.py    the window of a session's segments     rates.py         their bit rates
    hls.py      table -> LL-HLS playlists              ts_hls.py        -> HLS with MPEG-TS
    dash.py     table -> MPD                           dash_timeline.py -> its SegmentTimeline
    mpegts.py   CMAF parts -> MPEG-TS segment          access.py        signed URLs

I/O::

    role.py     starts the role                        player.py        follows the timeline
    session.py  one session: table, texts, waiters     dvr.py, disk.py  bytes of its segments
    origin.py   HTTP for the edge                      sibling.py       copies between play pods
    screenshot.py, edge_check.py, metrics.py
"""
