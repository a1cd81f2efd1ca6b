"""Two senders of production with their Redis, and what the tests of faults do to them.

In: images, a folder. Out: pods that follow the same lists, a world that takes their mail, injectors in front.
Other than in production: mail ends in the sink, a drain takes a minute at most, deferred mail is tried within seconds.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from images.store import Images
from k8s.rendering import overlay
from pods.cluster import Cluster
from pods.kubelet import Pod, apply_group
from pods.load import BAD, Load
from pods.manifest import Objects, in_order
from pods.network import NODE_ADDRESS
from pods.parts import SENDER, SMTP_PORT, client
from pods.secrets import production_secrets
from pods.sink import PORT, Sink
from trial.disk import small_disk
from trial.waiting import wait_until

WORKLOADS = {"redis": 1, "lists": 1, "sender": 2}
GROUP = 2525
ENVIRONMENT = {
    "DRAIN_SECONDS": "60",
    "POSTFIX_MYNETWORKS": "127.0.0.0/8 10.77.0.0/24",
    "POSTFIX_RELAYHOST": f"[{NODE_ADDRESS}]:{PORT}",
    "POSTFIX_SMTP_HOST_LOOKUP": "native",
    "POSTFIX_QUEUE_RUN_DELAY": "1s",
    "POSTFIX_MINIMAL_BACKOFF_TIME": "2s",  # as in trial.answering
    "POSTFIX_MAXIMAL_BACKOFF_TIME": "3s",
}


class Field:
    """first stays as it is unless a test says so; other is broken. serving: the pods behind the Service."""

    def __init__(self, cluster: Cluster, sink: Sink) -> None:
        self.cluster, self.sink = cluster, sink
        self.first, self.other = cluster.pods["sender-0"], cluster.pods["sender-1"]
        self.redis = cluster.pods["redis-0"]
        self.serving: list[Pod] = []

    def fill_lists(self) -> None:
        imported = self.cluster.command("import", "-", "--reason", "trap", stdin="".join(f"{name}\n" for name in BAD))
        assert imported.returncode == 0, imported.stderr

    def mend(self) -> None:
        """All is well again, whatever a test has left."""
        self.sink.release()
        self.sink.come()
        for pod in (self.redis, self.first, self.other):
            complete = len(pod.containers) == len(in_order(pod.template))
            if not (pod.is_running and complete):
                pod.kill()
                pod.start()
            if pod is self.redis:
                self.fill_lists()
        for pod in (self.first, self.other):
            self.wait_refused(pod, BAD[0])
        self.serving = [self.first, self.other]

    def load(self, *pods: Pod, threads: int = 4) -> Load:
        """Injectors that send to these pods, or to all that serve."""
        return Load(self.cluster.network, lambda: list(pods or self.serving), threads)

    def code(self, pod: Pod, recipient: str) -> int:
        """The reply to one recipient."""
        with client(self.cluster, pod) as smtp:
            smtp.ehlo()
            smtp.mail(SENDER)
            return smtp.rcpt(recipient)[0]

    def wait_refused(self, pod: Pod, recipient: str, timeout: float = 30) -> None:
        wait_until(lambda: self.code(pod, recipient) == 550, timeout, f"{pod.name} refuses {recipient}")

    def takes_connections(self, pod: Pod) -> bool:
        try:
            self.cluster.network.connect(pod.address, SMTP_PORT).close()
        except OSError:
            return False
        return True

    @contextmanager
    def small_claim(self, pod: Pod, name: str, size: str) -> Iterator[Path]:
        """The pod runs on a small new volume instead of the one it has, which it gets back."""
        pod.stop()
        with small_disk(pod.claim(name), size) as place:
            apply_group(place, GROUP)
            try:
                pod.start()
                yield place
            finally:
                pod.kill()
        pod.start()


@contextmanager
def open_field(images: Images, folder: Path) -> Iterator[Field]:
    """Everything running, with two entries on the lists."""
    objects = Objects((*overlay("production"), *production_secrets(folder / "secrets")))
    with Cluster(objects, images, folder, WORKLOADS, ENVIRONMENT) as cluster, Sink(cluster.network) as sink:
        field = Field(cluster, sink)
        for name in ("redis-0", "lists-0"):
            cluster.pods[name].start()
        field.fill_lists()
        for pod in (field.first, field.other):
            pod.start()
        yield field


@contextmanager
def meanwhile(pod: Pod, act: str) -> Iterator[threading.Thread]:
    """`pod.start` or `pod.stop` in a thread of its own, to its end, or to the error that it ends with."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            getattr(pod, act)()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(120)
    assert not thread.is_alive()
    assert failed == []


def processes(pod: Pod) -> dict[str, int]:
    """The processes of the gate by name, as the gate numbers them."""
    return {line["process"]: line["pid"] for line in _events(pod) if line["event"] == "process_started"}


def kill_process(pod: Pod, name: str) -> None:
    """Kill -9 one process of the gate, and wait until there is another in its place."""
    before = processes(pod)[name]
    pod.containers["sendgate"].run("sh", "-c", f"kill -9 {before}")
    wait_until(lambda: processes(pod)[name] != before, 20, f"another {name}")


def queued(pod: Pod, *queues: str) -> list[str]:
    """The messages that are on the volume; what is half written, without the bit for execution, is none."""
    found = (path for queue in queues for path in (pod.claim("spool") / "postfix" / queue).rglob("*"))
    return [path.name for path in found if path.is_file() and path.stat().st_mode & 0o100]


def _events(pod: Pod) -> Sequence[dict[str, Any]]:
    text = pod.containers["sendgate"].text()
    return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]
