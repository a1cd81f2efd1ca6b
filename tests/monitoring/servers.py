"""A private Prometheus and a private Alertmanager, as Debian packages them, on loopback ports.

In: a folder; for Prometheus the port of a gate, labels of the target and rule files; for Alertmanager its
configuration. Out: running servers, asked over HTTP. Refused: TimeoutError when one does not come up; an expression
that the server does not take raises urllib.error.HTTPError.
"""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from trial.ports import LOOPBACK, free_port
from trial.waiting import wait_until

START = 30
STOP = 20


def ask(url: str, body: object = None) -> Any:
    """GET, or POST of a JSON body; the answer's JSON, None for an empty one."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


class Prometheus:
    """A running one."""

    def __init__(self, port: int) -> None:
        self._url = f"http://{LOOPBACK}:{port}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an expression now."""
        found: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return found

    def value(self, expression: str) -> float | None:
        """The value of an expression that has one sample; None for none."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None

    def rules(self) -> list[dict[str, Any]]:
        """All rules, with how their last evaluation went."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def is_up(self) -> bool:
        try:
            return self.value("up") == 1
        except OSError:
            return False

    def _get(self, what: str, **arguments: str) -> Any:
        return ask(f"{self._url}/api/v1/{what}?{urllib.parse.urlencode(arguments)}")["data"]


@contextmanager
def running(command: Sequence[str], folder: Path) -> Iterator[None]:
    """A server until the block ends; what it says is in a file of the folder."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(STOP)


@contextmanager
def prometheus(
    folder: Path, target: int, labels: Mapping[str, str], rules: Sequence[Path], history: str = ""
) -> Iterator[Prometheus]:
    """Scrapes a gate twice a second, and evaluates the rules as often. history: samples of the past, as OpenMetrics."""
    (folder / "rules").mkdir()
    for path in rules:
        content = yaml.safe_load(path.read_text())
        groups = [{**group, "interval": "500ms"} for group in content["groups"]]
        (folder / "rules" / path.name).write_text(yaml.safe_dump({"groups": groups}))
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [f"{folder}/rules/*.yaml"],
        "scrape_configs": [
            {
                "job_name": "sendgate",
                "static_configs": [{"targets": [f"{LOOPBACK}:{target}"], "labels": dict(labels)}],
            }
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    if history:
        backfill(folder, history)
    port = free_port()
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with running([*command, f"--web.listen-address={LOOPBACK}:{port}"], folder):
        server = Prometheus(port)
        wait_until(server.is_up, START, f"Prometheus has scraped; its log is {folder}/log")
        yield server


def backfill(folder: Path, history: str) -> None:
    """Samples of the past into a database that no server has open."""
    (folder / "history").write_text(history)
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", f"{folder}/history", f"{folder}/data"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


class Alertmanager:
    """A running one."""

    def __init__(self, port: int) -> None:
        self._url = f"http://{LOOPBACK}:{port}"

    def tell(self, alerts: Sequence[Mapping[str, str]]) -> None:
        """Alerts that fire now, by their labels."""
        ask(f"{self._url}/api/v2/alerts", [{"labels": dict(one)} for one in alerts])

    def states(self) -> dict[str, str]:
        """active or suppressed, by `name severity`, or `name severity pod` and the like."""
        told: list[dict[str, Any]] = ask(f"{self._url}/api/v2/alerts")
        return {title(one["labels"]): one["status"]["state"] for one in told}


def title(labels: Mapping[str, str]) -> str:
    """An alert in a few words: its labels but the namespace."""
    return " ".join(value for name, value in sorted(labels.items()) if name != "namespace")


@contextmanager
def alertmanager(folder: Path, config: Path) -> Iterator[Alertmanager]:
    port = free_port()
    url = f"{LOOPBACK}:{port}"
    command = ["prometheus-alertmanager", f"--config.file={config}", f"--storage.path={folder}/data"]
    with running([*command, f"--web.listen-address={url}", "--cluster.listen-address="], folder):
        wait_until(lambda: answers(f"http://{url}/-/ready"), START, f"Alertmanager; its log is {folder}/log")
        yield Alertmanager(port)
