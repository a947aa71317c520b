"""Media formats (pure): bytes in, access units out, and back."""
