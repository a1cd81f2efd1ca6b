"""One private Postfix for all tests of this folder that need no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from postfix.milter_stub import StubMilter
from postfix.parts import Sender
from trial.mta import Postfix
from trial.sink import Sink


@pytest.fixture(scope="session")
def sender() -> Iterator[Sender]:
    with (
        StubMilter() as milter,
        Sink() as sink,
        Postfix([milter.entry], relayhost=f"[127.0.0.1]:{sink.port}") as mta,
    ):
        yield Sender(mta, milter, sink)
