"""The transcoder: one process for each session, because it decodes hostile bytes.

Standard input: units as WebRTC carries them, H.264 in byte stream form (track 0) and Opus packets
(track 1), framed by :mod:`sluice_media.timeline.framing`. Standard output: the tracks' formats and
units as hubs take them, H.264 in sample form and AAC. The process ends at the end of its input.
"""
