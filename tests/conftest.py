"""What holds for all tests.

Property tests get few examples here, so that all tests together stay quick, and no deadline,
because other tests run beside them. They are the same ones in every run, so that a change is
blamed only for what it did; ``SLUICE_EXAMPLES=1000`` looks harder, elsewhere each time.
"""

from __future__ import annotations

import os

from hypothesis import settings

examples = os.environ.get("SLUICE_EXAMPLES")
settings.register_profile(
    "sluice", max_examples=int(examples or "40"), derandomize=examples is None, deadline=None
)
settings.load_profile("sluice")
