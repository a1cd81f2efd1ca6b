"""Figures of a real Postfix's queue: by its socket and over TCP, of all its queues, and when it is not there."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ops.full_queue import ODD_REASON, PATIENCE, FullQueue, ask, full_queue, quiet_postfix
from sendgate.metrics_queue import AGES, QUEUES
from sendgate.mta.queue import FIRST_ANSWER_SECONDS, Patience, QueueWatcher, read_queue
from sendgate.mta.showq import ShowqError
from trial.gate import Gate
from trial.mta import Postfix
from trial.ports import LOOPBACK, free_port
from trial.waiting import wait_until

pytestmark = pytest.mark.root
UP = "sendgate_postfix_queue_up"
MESSAGES = "sendgate_postfix_queue_messages"
DAY = 86400
PROTOCOL = b"protocol\0mail_queue_list_protocol\0\0"


@pytest.fixture(scope="module")
def queue() -> Iterator[FullQueue]:
    with full_queue() as running:
        yield running


def expected(queue: FullQueue, now: float) -> dict[tuple[str, str], int]:
    """Messages by queue and age, as `postqueue -j` tells them."""
    found: Counter[tuple[str, str]] = Counter()
    for message in queue.mta.queue():
        age = now - message["arrival_time"]
        name = next(name for name, limit in AGES if limit is None or age < limit)
        found[message["queue_name"], name] += 1
    return {(queue_name, name): found[queue_name, name] for queue_name in QUEUES for name, _ in AGES}


def gate_at(address: str) -> Gate:
    return Gate({"postfix": {"showq": address, "interval": "1s"}, "milter": {"workers": 1}})


def shown(gate: Gate) -> dict[tuple[str, str], float]:
    return {
        (labels["queue"], labels["age"]): value
        for (name, has), value in gate.metrics().items()
        if name == MESSAGES and (labels := dict(has))
    }


def up(gate: Gate) -> float | None:
    return gate.metrics().get((UP, frozenset()))


@pytest.mark.parametrize("way", ["unix", "inet"])
def test_the_figures_are_those_of_postqueue(queue: FullQueue, way: str) -> None:
    assert b"queue_name time 17" in ODD_REASON
    assert b"queue_name time 17" in ask(getattr(queue, way))
    with gate_at(getattr(queue, way)) as gate:
        wait_until(lambda: up(gate) == 1, PATIENCE, "Postfix's queue is known")
        assert shown(gate) == expected(queue, time.time())
        told = queue.mta.queue()
        for name in QUEUES:
            of_it = [message for message in told if message["queue_name"] == name]
            assert of_it
            assert gate.metric("sendgate_postfix_queue_bytes", queue=name) == sum(m["message_size"] for m in of_it)
            oldest = time.time() - min(message["arrival_time"] for message in of_it)
            assert gate.metric("sendgate_postfix_queue_oldest_seconds", queue=name) == pytest.approx(oldest, abs=5)
    ages = {age for (_, age), count in expected(queue, time.time()).items() if count}
    assert ages == {name for name, _ in AGES}


def test_messages_grow_older(queue: FullQueue) -> None:
    now = time.time() + 30 * DAY
    figures = read_queue(queue.inet, now, Patience())
    assert figures.messages == expected(queue, now)
    assert figures.oldest["active"] == pytest.approx(30 * DAY, abs=120)


def test_a_postfix_that_stops_and_comes_back_is_told() -> None:
    port = free_port()
    services = [f"{LOOPBACK}:{port} inet n - n - 1 showq"]
    with gate_at(f"inet:{LOOPBACK}:{port}") as gate:
        for _ in range(3):
            wait_until(lambda: up(gate) == 0, PATIENCE, "Postfix is away")
            assert shown(gate) == {}
            with Postfix(services=services):
                wait_until(lambda: up(gate) == 1, PATIENCE, "Postfix is back")
                assert set(shown(gate).values()) == {0}
                assert len(shown(gate)) == len(QUEUES) * len(AGES)
        wait_until(lambda: up(gate) == 0, PATIENCE, "Postfix is away again")
        told = [line["event"] for line in gate.log_lines() if line["event"].startswith("queue_")]
    # Nothing of the start, where the gate is up before its Postfix.
    assert told == ["queue_unknown", "queue_known"] * 2 + ["queue_unknown"]


def test_a_postfix_that_comes_after_the_gate_is_known_within_seconds_of_a_long_interval() -> None:
    port = free_port()
    settings = {"postfix": {"showq": f"inet:{LOOPBACK}:{port}", "interval": "10m"}, "milter": {"workers": 1}}
    with Gate(settings) as gate:
        wait_until(lambda: up(gate) == 0, PATIENCE, "a look at no Postfix")
        with Postfix(services=[f"{LOOPBACK}:{port} inet n - n - 1 showq"]):
            wait_until(lambda: up(gate) == 1, PATIENCE, "Postfix is known")
        assert not [line for line in gate.log_lines() if line["event"].startswith("queue_")]


def test_without_the_setting_there_are_no_figures_and_a_reload_brings_and_takes_them() -> None:
    with quiet_postfix() as queue, Gate({"milter": {"workers": 1}}) as gate:
        assert up(gate) is None
        before = gate.config.read_text()
        settings = yaml.safe_load(before)
        gate.config.write_text(yaml.safe_dump(settings | {"postfix": {"showq": queue.unix, "interval": "1s"}}))
        gate.sighup()
        wait_until(lambda: up(gate) == 1, PATIENCE, "the new settings count")
        gate.config.write_text(before)
        gate.sighup()
        wait_until(lambda: up(gate) is None, PATIENCE, "the old settings count")


class Impostor:
    """Answers in showq's place, as it is told."""

    def __init__(self, answer: bytes, *, hang: bool = False) -> None:
        self._answer = answer
        self._hang = hang
        self._server = socket.create_server((LOOPBACK, 0))
        self.address = f"inet:{LOOPBACK}:{self._server.getsockname()[1]}"
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            connection, _ = self._server.accept()
            connection.sendall(self._answer)
            if self._hang:
                self._kept.append(connection)
            else:
                connection.close()


def whole_answer() -> bytes:
    return (Path(__file__).resolve().parents[1] / "data" / "showq" / "all-queues").read_bytes()


@pytest.mark.parametrize(
    ("answer", "hang", "error"),
    [
        (whole_answer()[:-1], False, ShowqError),
        (whole_answer()[:9000], False, ShowqError),
        (b"", False, ShowqError),
        (b"220 mail.example.com ESMTP\r\n", True, ShowqError),
        (whole_answer()[:-1], True, TimeoutError),
        (b"", True, TimeoutError),
    ],
)
def test_half_an_answer_gives_no_figures(answer: bytes, hang: bool, error: type[Exception]) -> None:
    impostor = Impostor(answer, hang=hang)
    with pytest.raises(error):
        read_queue(impostor.address, time.time(), Patience(silent=0.2))


def test_an_answer_that_drips_for_ever_ends_at_the_limit() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(PROTOCOL)
                try:
                    while True:
                        connection.sendall(whole_answer()[len(PROTOCOL) : -1])
                        pause.wait(0.01)
                except OSError:
                    return

        pause = threading.Event()
        threading.Thread(target=drip, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            read_queue(f"inet:{LOOPBACK}:{server.getsockname()[1]}", time.time(), Patience(whole=0.5))
        assert time.monotonic() - began < 5


def test_a_look_that_fails_forgets_the_figures_before_it() -> None:
    told: list[str | None] = []
    impostor = Impostor(whole_answer())
    watcher = QueueWatcher(impostor.address, 1, told.append)
    assert watcher.last() is None
    watcher.look()
    look = watcher.last()
    assert look is not None
    assert look.figures is not None
    impostor._answer = b""
    watcher.look()
    watcher.look()
    look = watcher.last()
    assert look is not None
    assert look.figures is None
    impostor._answer = whole_answer()
    watcher.look()
    assert told == [f"{impostor.address}: it broke off before its end", None]


def test_figures_that_nobody_renews_grow_stale() -> None:
    times = iter([0.0, 1.0, 61.0])
    watcher = QueueWatcher(Impostor(whole_answer()).address, 1, lambda _: None, Patience(whole=1), clock=times.__next__)
    watcher.look()
    look = watcher.last()
    assert look is not None
    assert look.figures is None


def test_a_socket_that_we_may_not_use_is_told(tmp_path: Path) -> None:
    told: list[str | None] = []
    times = iter([0.0, FIRST_ANSWER_SECONDS])
    watcher = QueueWatcher(f"unix:{tmp_path}/showq", 1, told.append, clock=times.__next__)
    watcher.look()
    assert told == [f"unix:{tmp_path}/showq: No such file or directory"]


def test_scrapes_stay_quick_while_showq_hangs() -> None:
    with gate_at(Impostor(PROTOCOL, hang=True).address) as gate:
        began = time.monotonic()
        for _ in range(5):
            assert gate.get("/metrics")[0] == 200
        assert time.monotonic() - began < 5
