"""Media formats: bytes in, access units out, and back. Nothing here does I/O."""
