"""What holds for all tests.

Property tests get few examples here, so that all tests together stay quick, and no deadline,
because other tests run beside them. ``SLUICE_EXAMPLES=1000`` looks harder.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile(
    "sluice", max_examples=int(os.environ.get("SLUICE_EXAMPLES", "40")), deadline=None
)
settings.load_profile("sluice")
