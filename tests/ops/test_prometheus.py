"""A real Prometheus scrapes the gate: its sums are right, over workers and over the restart of one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from faults.parts import all_workers_serve, ask
from trial.gate import Gate
from trial.mta import Postfix
from trial.ports import LOOPBACK, free_port
from trial.waiting import wait_until

pytestmark = pytest.mark.root
RECIPIENTS = ("good@example.com", "bad@example.com", "badly@example.com")
ROUNDS = 20
KILLED = 'sendgate_worker_restarts_total{cause="killed"}'


class Prometheus:
    """A running one."""

    def __init__(self, port: int) -> None:
        self._url = f"http://{LOOPBACK}:{port}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an expression now."""
        address = f"{self._url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return result

    def value(self, expression: str) -> float | None:
        """The value of an expression that has one sample; None for none."""
        result = self.query(expression)
        return float(result[0]["value"][1]) if result else None

    def is_up(self) -> bool:
        try:
            return self.value("up") == 1
        except OSError:
            return False


@contextmanager
def scraping(gate: Gate, folder: Path) -> Iterator[Prometheus]:
    port = free_port()
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 250ms, scrape_timeout: 250ms}\n"
        f"scrape_configs: [{{job_name: sendgate, static_configs: [{{targets: ['{LOOPBACK}:{gate.ops_port}']}}]}}]\n"
    )
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={LOOPBACK}:{port}"], stderr=log)
    try:
        prometheus = Prometheus(port)
        wait_until(prometheus.is_up, 30, f"Prometheus has scraped; its log is {folder}/log")
        yield prometheus
    finally:
        process.terminate()
        process.wait(20)


def total(decision: str) -> str:
    return f'sum(sendgate_recipients_total{{campaign="ask",decision="{decision}"}})'


def shows(prometheus: Prometheus, wanted: dict[str, float]) -> bool:
    return all(prometheus.value(total(decision)) == value for decision, value in wanted.items())


def test_sums_are_right_over_workers_and_over_the_restart_of_one(gate: Gate, mta: Postfix, tmp_path: Path) -> None:
    with scraping(gate, tmp_path) as prometheus:
        before = {decision: prometheus.value(total(decision)) or 0 for decision in ("pass", "reject")}
        for times in (1, 2):
            for _ in range(ROUNDS):
                for recipient in RECIPIENTS:
                    ask(mta, recipient)

            wanted = {"pass": before["pass"] + times * ROUNDS, "reject": before["reject"] + 2 * times * ROUNDS}
            wait_until(partial(shows, prometheus, wanted), 20, f"the sums are {wanted}")
            os.kill(gate.worker_pids()[0], signal.SIGKILL)
            all_workers_serve(gate)
        wait_until(lambda: prometheus.value(KILLED) == 2, 10, "both deaths are counted")
        wait_until(lambda: prometheus.value("sendgate_workers") == 2, 10, "two workers serve")
        assert prometheus.value("max(resets(sendgate_recipients_total[5m]))") == 0, "a restart resets no counter"
        assert prometheus.value("sendgate_store_up") == 1
        assert prometheus.value("sum(sendgate_entries)") == 2
        assert prometheus.query("histogram_quantile(0.99, sum by (le) (sendgate_decision_seconds_bucket))")
