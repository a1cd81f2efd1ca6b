"""A new pod is ready when it can answer, and never before its workers have opened the first copy of the lists."""

from __future__ import annotations

from pathlib import Path

from smtp.mta_side import CONTINUE, MtaSide
from trial.gate import Gate
from trial.redis_server import RedisServer
from trial.waiting import wait_until

WORKERS = 4


def test_every_worker_answers_as_soon_as_the_gate_says_that_it_is_ready(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server:
        store = {"url": server.url, "shards": 4, "buckets": 64}
        gate = Gate({"store": store, "milter": {"workers": WORKERS}})
        try:
            gate.make_store()
            gate.start(wait=False)
            wait_until(gate.is_ready, 30, "the gate is ready")
            for _ in range(10 * WORKERS):
                with MtaSide(gate.socket) as mta:
                    mta.mail(b"<sender@example.com>")
                    assert mta.rcpt(b"<good@example.com>").code == CONTINUE
        finally:
            gate.stop()
            gate.remove()
