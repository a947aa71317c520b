"""Object storage: one interface over a mounted volume and an S3 bucket."""
