"""WHIP (RFC 9725): a browser's camera over WebRTC in, access units out.

An HTTP POST with an SDP offer creates a session. Its media comes to one UDP port, which all
sessions share. aiortc implements ICE, DTLS and SRTP and hands on *encoded* pictures and sound. Each
session has a child process that decodes them and encodes H.264 and AAC with one constant picture
size and frame rate.
"""
