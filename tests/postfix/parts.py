"""What the tests of this folder share: a private Postfix, a stub milter in front of it, a sink behind it."""

from __future__ import annotations

from dataclasses import dataclass

from postfix.milter_stub import StubMilter
from trial.mta import Postfix
from trial.sink import Sink


@dataclass(frozen=True)
class Sender:
    """The three parts together."""

    mta: Postfix
    milter: StubMilter
    sink: Sink
