"""The secret changes while mail flows: not one suppressed recipient passes, in any pod, at any step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from faults.parts import events
from faults.shared import BAD, BUCKETS, GOOD, PATIENCE, SHARDS, TIMEOUT_SECONDS, Asker, running, wait_until_said
from trial.gate import Gate
from trial.redis_server import RedisServer
from trial.waiting import wait_until

FILE = "\n".join([*BAD, *(f"user{number}@example.com" for number in range(5000))])


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A folder with two secrets."""
    for name in ("first", "second"):
        (tmp_path / name).write_text(f"the {name} secret\n")
    return tmp_path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as started:
        yield started


def gate_of(secrets: Path, server: RedisServer | None = None) -> Gate:
    """A gate by the first secret, not yet started; with a server it follows that."""
    store: dict[str, object] = {"hash_key_file": str(secrets / "first")}
    if server is not None:
        store |= {
            "url": server.url,
            "shards": SHARDS,
            "buckets": BUCKETS,
            "timeout": f"{TIMEOUT_SECONDS}s",
            "resync_spread": 0,
        }
    return Gate({"milter": {"workers": 2}, "store": store})


def use(gate: Gate, secrets: Path, current: str, previous: str | None = None) -> None:
    """Have a running gate use other secrets, and wait until it does."""
    before, started = len(events(gate, "settings_reloaded")), len(events(gate, "process_started"))
    whole = yaml.safe_load(gate.config.read_text())
    whole["store"]["hash_key_file"] = str(secrets / current)
    whole["store"]["previous_hash_key_file"] = str(secrets / previous) if previous else None
    gate.config.write_text(yaml.safe_dump(whole))
    gate.sighup()
    wait_until(lambda: len(events(gate, "settings_reloaded")) > before, PATIENCE, "it has read its settings")
    processes = 5 if gate.shared else 4
    wait_until(lambda: len(events(gate, "process_started")) >= started + processes, PATIENCE, "all processes are new")
    wait_until(gate.is_ready, PATIENCE, "it is ready")


def fill(gate: Gate) -> None:
    assert gate.run("import", "-", "--reason", "hard_bounce", input=FILE).returncode == 0


def asking(gate: Gate) -> Asker:
    """Asks a gate that has its lists."""
    wait_until_said(gate, "550", BAD[0])
    return Asker(gate)


def rekey(gate: Gate) -> str:
    done = gate.run("rekey", "-", input=FILE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_embedded_store_goes_from_one_secret_to_another_under_load(secrets: Path) -> None:
    gate = gate_of(secrets)
    fill(gate)
    with running(gate), asking(gate) as asker:
        use(gate, secrets, "second", "first")
        asker.wait_for_more()
        assert "moved           5,040" in rekey(gate)
        asker.wait_for_more()
        use(gate, secrets, "second")
        asker.wait_for_more(100)
        assert asker.not_right() == []


def test_pods_go_from_one_secret_to_another_under_load(secrets: Path, server: RedisServer) -> None:
    gates = [gate_of(secrets, server) for _ in range(2)]
    fill(gates[0])
    with ExitStack() as stack:
        for gate in gates:
            stack.enter_context(running(gate))
        askers = [stack.enter_context(asking(gate)) for gate in gates]
        for gate in gates:
            use(gate, secrets, "second", "first")
        assert "moved           5,040" in rekey(gates[1])
        for asker in askers:
            asker.wait_for_more()
        for gate in gates:
            use(gate, secrets, "second")
        for asker in askers:
            asker.wait_for_more(100)
            assert asker.not_right() == []
        assert [events(gate, "following_interrupted") for gate in gates] == [[], []]


def test_a_pod_that_was_forgotten_goes_on_refusing_and_follows_again_when_it_knows_both(
    secrets: Path, server: RedisServer
) -> None:
    pod, forgotten = gate_of(secrets, server), gate_of(secrets, server)
    fill(pod)
    with running(pod), running(forgotten), asking(forgotten) as asker:
        use(pod, secrets, "second", "first")
        rekey(pod)
        wait_until(lambda: events(forgotten, "following_interrupted"), PATIENCE, "it stops following")
        assert "another store.hash_key_file" in events(forgotten, "following_interrupted")[0]["error"]
        asker.wait_for_more(100)
        pod.run("add", "new@example.com", "--reason", "manual")
        use(forgotten, secrets, "second", "first")
        wait_until(
            lambda: forgotten.run("explain", "--replica", "new@example.com").returncode == 1, PATIENCE, "it follows"
        )
        wait_until_said(forgotten, "550", BAD[0], "new@example.com")
        asker.wait_for_more(100)
        # Workers that know only the first secret answer 451 until they are replaced.
        assert {said.reply[:3] for said in asker.said if said.recipient != GOOD} <= {"550", "451"}
