"""WHIP (RFC 9725): a browser's camera over WebRTC in, access units out.

An HTTP POST with an SDP offer makes a session; its media comes to one UDP port that all sessions
share. aiortc speaks ICE, DTLS and SRTP and hands on *encoded* pictures and sound; a child process
for each session decodes them and makes one constant picture size and frame rate, H.264 and AAC.
"""
