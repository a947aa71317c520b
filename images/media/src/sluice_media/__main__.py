"""``python -m sluice_media ROLE``: see :mod:`sluice_media.cli`."""

from sluice_media.cli import app

app()
