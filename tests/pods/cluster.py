"""Some workloads of an overlay, running beside each other, found by the names of their Services.

In: rendered objects, images, how many pods of each workload. Out: pods by name.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from images.store import Images
from pods.kubelet import Pod, names
from pods.manifest import Objects
from pods.network import Network


class Cluster:
    """workloads: names of StatefulSets, Deployments and Jobs, with the number of pods, in the order that they start."""

    def __init__(
        self,
        objects: Objects,
        images: Images,
        folder: Path,
        workloads: Mapping[str, int],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.objects, self._images, self._folder = objects, images, folder
        self._environment = environment
        self.network = Network()
        self.pods: dict[str, Pod] = {}
        self._hosts: dict[str, str] = {}
        for name, replicas in workloads.items():
            for number in range(replicas):
                self._add(f"{name}-{number}", self._workload(name))

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pod in self.pods.values():
            pod.kill()
        self.network.close()

    def start(self) -> None:
        """Start every pod, one after the other."""
        for pod in self.pods.values():
            pod.start()

    def command(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """`kubectl exec deploy/lists -- sendgate ...`."""
        return self.pods["lists-0"].containers["lists"].run("sendgate", *words, stdin=stdin)

    def _workload(self, name: str) -> Mapping[str, Any]:
        for kind in ("StatefulSet", "Deployment", "Job"):
            with contextlib.suppress(KeyError):
                return self.objects.get(kind, name)
        raise KeyError(name)

    def _add(self, name: str, workload: Mapping[str, Any]) -> None:
        pod = Pod(
            name, workload, self.objects, self._images, self.network, self._folder, self._hosts, self._environment
        )
        self.pods[name] = pod
        labels = workload["spec"]["template"]["metadata"]["labels"]
        for service in self.objects.of("Service"):
            if service["spec"].get("selector", {}).items() <= labels.items():
                pod.serve(service["spec"].get("ports", ()))
                for known in names(service["metadata"]["name"], service["metadata"]["namespace"]):
                    self._hosts.setdefault(known, pod.address)
