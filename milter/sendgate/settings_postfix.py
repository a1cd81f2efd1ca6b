"""The settings of what Postfix is asked: its queue.

In: the section `postfix` of the settings. Out: `PostfixSettings`, frozen. Refused: see `settings`.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from sendgate.settings_types import Seconds, Section

_MAX_PORT = 65535


def _showq(value: str) -> str:
    inet = re.fullmatch(r"inet:(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+):(\d{1,5})", value)
    if re.fullmatch(r"unix:/.+", value) or (inet and 0 < int(inet[2]) <= _MAX_PORT):
        return value
    raise ValueError("must be unix:/path or inet:host:port")


class PostfixSettings(Section):
    showq: Annotated[str, AfterValidator(_showq)] | None = None
    """Where Postfix's showq listens (`unix:/path` or `inet:host:port`), for figures of its queue; null: none."""
    interval: Seconds = 15
    """How long to wait from one look at the queue to the next."""
