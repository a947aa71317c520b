"""kopf as a watch engine: the only place that imports it."""
