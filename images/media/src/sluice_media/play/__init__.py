"""Role ``play``: the segments and playlists of one stream's sessions.

Pure modules, without I/O and clocks::

    cutter.py    records of the timeline -> parts and segments
    table.py     the segments of a session: a window, lookups, rates
    hls.py       table -> LL-HLS playlists        ts_hls.py   table -> HLS playlists with MPEG-TS
    dash.py      table -> MPD                     mpegts.py   CMAF parts -> MPEG-TS segment
"""
