"""A thin client of the Kubernetes API: raw JSON objects in and out, and typed errors."""
