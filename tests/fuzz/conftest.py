"""Settings of hypothesis for this folder: the same examples in every run, so that a failure is there again.

To search further: `HYPOTHESIS_SEARCH=20 pytest tests/fuzz` takes new examples, 20 times as many. A find is kept as an
`@example` beside the property, or as a row of `tests/data`.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SEARCH = int(os.environ.get("HYPOTHESIS_SEARCH", "0"))

settings.register_profile(
    "suite",
    derandomize=not _SEARCH,
    max_examples=300 * (_SEARCH or 1),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("suite")
