"""kopf as a watch engine: the only package that imports kopf."""
