"""A gate with two workers and a Postfix in front of it, for each test that breaks them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faults.parts import all_workers_serve, behind_postfix, filled_gate
from trial.gate import Gate
from trial.mta import Postfix


@pytest.fixture
def gate() -> Iterator[Gate]:
    with filled_gate() as running:
        all_workers_serve(running)
        yield running


@pytest.fixture
def mta(gate: Gate) -> Iterator[Postfix]:
    with behind_postfix(gate) as running:
        yield running


@pytest.fixture
def mta_of_stopped() -> Iterator[tuple[Gate, Postfix]]:
    """A gate that does not run yet, and a Postfix that will ask it."""
    gate = filled_gate()
    try:
        with behind_postfix(gate) as mta:
            yield gate, mta
    finally:
        gate.stop()
        gate.remove()
