"""Terms about a uri for CEL rules: what kinds that dial somebody have in common.

Each is a CEL expression over ``self``, the uri. The API server costs them by the uri's length, and
RE2 has no look-around, so rules are put together from whole-string matches.
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
"""Nothing that is secret: of SRT's options only these two."""
