"""Pull sources: the ingest pod fetches its media itself, from one URI after the other.

Each source is one FFmpeg child that makes MPEG-TS of it, and reaches it through
:mod:`sluice_media.net.address_guard` only. See :func:`run_pull` and :class:`PullSink`.
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
