"""The root file system, a gate and a sink for all tests of this folder; a container for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from container.parts import Container
from container.rootfs import prepared
from trial.gate import Gate
from trial.sink import Sink

Make = Callable[..., Container]


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    base = tmp_path_factory.getbasetemp()
    return prepared(base if worker_id == "master" else base.parent)


@pytest.fixture(scope="session")
def gate() -> Iterator[Gate]:
    with Gate({"milter": {"workers": 1}}) as running:
        yield running


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


@pytest.fixture
def make(root: Path, gate: Gate, sink: Sink, tmp_path: Path) -> Iterator[Make]:
    """Makes containers that ask the gate and deliver to the sink, and ends them."""
    made: list[Container] = []

    def one(environment: dict[str, str] | None = None, **options: Any) -> Container:
        folder = tmp_path / f"container{len(made)}"
        places: dict[str, Any] = {"run": gate.folder, "relay": sink.port} | options
        container = Container(root, folder, environment, **places)
        made.append(container)
        return container

    yield one
    for container in made:
        container.kill()


@pytest.fixture
def container(make: Make) -> Container:
    """One that runs."""
    running = make()
    running.start()
    return running


@pytest.fixture(scope="session")
def gate_with_entry(gate: Gate) -> str:
    """A recipient that the gate refuses."""
    recipient = "suppressed@example.net"
    assert gate.run("add", recipient, "--reason", "manual").returncode == 0
    return recipient
