"""What the tests of this folder say to a sender pod, and what they ask it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from pods.cluster import Cluster
from pods.kubelet import Pod
from pods.network import SMTP

METRICS_PORT, SMTP_PORT = 9102, 2525
SENDER = "bounce+spring-sale@example.com"


def client(cluster: Cluster, pod: Pod) -> SMTP:
    """An injector's connection."""
    return SMTP(cluster.network.node, pod.address, SMTP_PORT)


def figure(pod: Pod, name: str, **labels: str) -> float | None:
    """A metric of the pod, None when it is not there."""
    for family in text_string_to_metric_families(pod.get(METRICS_PORT, "/metrics")):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


def lines(pod: Pod, container: str, word: str) -> list[str]:
    return [line for line in pod.containers[container].text().splitlines() if word in line]
