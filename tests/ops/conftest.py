"""One gate with two workers and a Postfix in front of it, for all tests of this folder that break nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faults.parts import all_workers_serve, behind_postfix, filled_gate
from trial.gate import Gate
from trial.mta import Postfix


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    with filled_gate() as running:
        all_workers_serve(running)
        yield running


@pytest.fixture(scope="module")
def mta(gate: Gate) -> Iterator[Postfix]:
    with behind_postfix(gate) as running:
        yield running
