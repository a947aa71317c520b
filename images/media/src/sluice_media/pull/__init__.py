"""Pulled sources: the ingest pod fetches its media itself and tries one URI after the other.

Each try is one FFmpeg child that remuxes the source to MPEG-TS. The child reaches the source only
through :mod:`sluice_media.net.address_guard`. See :func:`run_pull` and :class:`PullSink`.
"""

from sluice_media.pull.metrics import PullMetrics
from sluice_media.pull.runner import run_pull
from sluice_media.pull.settings import PullSettings, pull_error, pull_settings
from sluice_media.pull.sink import BadMedia, PullLeg, PullSink, UnsupportedMedia

__all__ = [
    "BadMedia",
    "PullLeg",
    "PullMetrics",
    "PullSettings",
    "PullSink",
    "UnsupportedMedia",
    "pull_error",
    "pull_settings",
    "run_pull",
]
