"""The transcoder: a process of its own for each session, because it decodes hostile bytes.

On standard input come units as WebRTC has them: H.264 in byte stream form (track 0) and Opus
packets (track 1), framed as :mod:`sluice_media.timeline.framing` does. On standard output go the
tracks' formats and units as hubs take them: H.264 in sample form and AAC. The process ends with its
input.
"""
