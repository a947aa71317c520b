"""The timeline on the wire: framing of its records, and the client that reads it.

What passes between hub and readers; :mod:`.framing` is sans-io, :mod:`.reader` does the I/O.
"""
