"""CEL expressions about a URI, shared by the rules of the kinds that dial a URI.

``self`` is the URI. The API server estimates the cost of an expression from the length of the URI.
RE2 has no look-around, so the rules are combined from whole-string matches.
"""

from __future__ import annotations

PRINTABLE = "self.matches('^[!-{}~]*$')"
USERINFO = "self.matches('^[a-z]+://[^/?#]*@')"
QUERY = "self.matches('[?#]')"
SERVER = r"self.matches('^[a-z]+://([-.A-Za-z0-9_]+|\\[[0-9a-fA-F:.]+\\])(:[0-9]{1,5})?([/?].*)?$')"
SRT = "self.startsWith('srt://')"
SRT_PORT = "self.matches('^srt://[^/?]*:[0-9]{1,5}([/?].*)?$')"
NO_CALLER = "self.matches('^srt://.*[?&]mode=(listener|rendezvous)(&.*)?$')"
SRT_QUERY = (
    r"self.matches('^[^?#]*([?](mode=caller|latency=[0-9]+)(&(mode=caller|latency=[0-9]+))*)?$')"
)
"""The SRT options that are not secret: mode and latency."""
