"""What the media, cluster and bench tests share: kubectl, publishers, frame comparison."""
