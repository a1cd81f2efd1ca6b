"""Pods run from their manifests, in the order and with the privileges that Kubernetes gives them, without a cluster.

In: rendered objects, built images, a network. Out: running pods, by name. Init containers run to their end, sidecars
until their startup probe passes, then the containers; at the end preStop, the containers, then the sidecars in
reverse. Volumes get the pod's fsGroup as kubelet gives it.
Not done: schedulers, NetworkPolicies, limits of ephemeral storage; a container that ends is not started again by
itself.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from images.store import Images
from pods import manifest
from pods.bundle import Mount
from pods.container import Container
from pods.manifest import Objects
from pods.network import Network
from trial.waiting import wait_until


class Pod:
    """One pod of a workload. claims: folders of its persistent volumes, made when missing, kept when it ends."""

    def __init__(
        self,
        name: str,
        workload: Mapping[str, Any],
        objects: Objects,
        images: Images,
        network: Network,
        folder: Path,
        hosts: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.template = workload["spec"]["template"]
        self.claims = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", ())}
        self.objects, self._images, self._network = objects, images, network
        self._folder = folder / name
        self._hosts = hosts if hosts is not None else {}  # others may come to it
        self.environment = dict(environment or {})  # more than the manifest's; counts when a container starts
        self.claims_are_paths = False  # folders of the node: kubelet leaves their owner, group and mode alone
        self.containers: dict[str, Container] = {}
        self.namespace, self.address = network.pod(name)

    def start(self) -> None:
        """Start everything, waiting as kubelet waits. Raises TimeoutError or AssertionError, with the log."""
        shutil.rmtree(self._folder / "volumes", ignore_errors=True)  # a new pod: only claims have anything
        for container in self.template["spec"].get("initContainers", ()):
            self.start_container(container)
            if manifest.is_sidecar(container):
                self.wait_started(container)
            else:
                self._wait_done(container)
        for container in self.template["spec"]["containers"]:
            self.start_container(container)
            self.wait_started(container)
            if self.template["spec"].get("restartPolicy", "Always") != "Always":  # a Job's
                self._wait_done(container)

    def start_container(self, container: Mapping[str, Any]) -> Container:
        """Start one, on the volumes that the pod has; also one that has ended."""
        name = container["name"]
        fields = {"metadata.name": self.name, "status.podIP": self.address, "metadata.namespace": "test"}
        variables = {"HOSTNAME": self.name} | manifest.environment(container, self.objects, fields) | self.environment
        folder = self._folder / "containers" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        context = dict(self.template["spec"].get("securityContext", {})) | container.get("securityContext", {})
        group = context.get("fsGroup")
        self.containers[name] = Container(
            {**container, "securityContext": context},
            self._images[container["image"].split(":")[0].removeprefix("sendgate-")],
            variables,
            [*self._mounts(container, group), Mount(self._hosts_file(), "/etc/hosts")],
            [*context.get("supplementalGroups", ()), *([group] if group else [])],
            self.namespace,
            folder,
        )
        return self.containers[name]

    def restart(self, name: str) -> None:
        """Kill a container and start it again on the volumes that the pod has, as kubelet does."""
        self.containers[name].kill()
        container = self.part(name)
        self.start_container(container)
        self.wait_started(container)

    def part(self, name: str) -> Mapping[str, Any]:
        """A container's part of the manifest."""
        return next(found for found in manifest.in_order(self.template) if found["name"] == name)

    def wait_started(self, container: Mapping[str, Any]) -> None:
        """Wait for its startup probe, else for its readiness probe."""
        probe = container.get("startupProbe") or container.get("readinessProbe")
        if probe is None:
            return
        running = self.containers[container["name"]]

        def passes() -> bool:
            assert running.exit_status is None, f"{running.name} ended with {running.exit_status}:\n{running.text()}"
            return self.passes(container, probe)

        try:
            wait_until(passes, 60, f"{running.name} has started")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{running.text()}") from None

    def passes(self, container: Mapping[str, Any], probe: Mapping[str, Any]) -> bool:
        """Whether a probe passes now."""
        if "exec" in probe:
            return self.containers[container["name"]].run(*probe["exec"]["command"]).returncode == 0
        action = probe.get("httpGet") or probe["tcpSocket"]
        port = self._port(container, action["port"])
        try:
            with self._network.connect(self.address, port) as connection:
                if "tcpSocket" in probe:
                    return True
                connection.sendall(f"GET {action['path']} HTTP/1.0\r\nHost: {self.address}\r\n\r\n".encode())
                return 200 <= int(connection.recv(4096).split(b" ")[1]) < 400
        except (OSError, IndexError):
            return False

    def stop(self, grace_seconds: float = 60) -> dict[str, tuple[float, int | None]]:
        """preStop and SIGTERM for the containers, then for the sidecars, the last first.

        Returns how long each took to end, in seconds, and its exit status.
        """
        told: dict[str, tuple[float, int | None]] = {}
        spec = self.template["spec"]
        for container in [*spec["containers"], *reversed(spec.get("initContainers", ()))]:
            running = self.containers.get(container["name"])
            if running is None or running.exit_status is not None:
                continue
            hook = container.get("lifecycle", {}).get("preStop")
            if hook:
                running.run(*hook["exec"]["command"], timeout=grace_seconds)
            told[container["name"]] = (running.stop(grace_seconds), running.exit_status)
        return told

    @property
    def is_running(self) -> bool:
        """Whether all its containers live."""
        return all(running.exit_status is None for running in self.containers.values())

    def claim(self, name: str) -> Path:
        """The folder of a persistent volume."""
        return self._folder / "claims" / name

    def kill(self) -> None:
        """End everything at once, as a lost node does; also harmless after `stop`."""
        for running in self.containers.values():
            running.kill()

    def get(self, port: int, path: str) -> str:
        """The body of an answer over HTTP."""
        with self._network.connect(self.address, port) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: pod\r\n\r\n".encode())
            whole = b"".join(iter(lambda: connection.recv(65536), b""))
        return whole.partition(b"\r\n\r\n")[2].decode()

    def serve(self, ports: Sequence[Mapping[str, Any]]) -> None:
        """Let a Service's ports lead to the pod's own, as kube-proxy does; without an address of its own."""
        for port in ports:
            target = port.get("targetPort", port["port"])
            inside = next(
                self._port(known, target) for known in manifest.in_order(self.template) if _has(known, target)
            )
            if inside != port["port"]:
                self._network.redirect(self.namespace, port["port"], inside)

    def _wait_done(self, container: Mapping[str, Any]) -> None:
        running = self.containers[container["name"]]
        wait_until(lambda: running.exit_status is not None, 60, f"{running.name} is done")
        assert running.exit_status == 0, running.text()

    def _port(self, container: Mapping[str, Any], port: int | str) -> int:
        if isinstance(port, int):
            return port
        return next(int(known["containerPort"]) for known in container["ports"] if known["name"] == port)

    def _mounts(self, container: Mapping[str, Any], group: int | None) -> list[Mount]:
        volumes = {volume["name"]: volume for volume in self.template["spec"].get("volumes", ())}
        mounts = []
        for mount in container.get("volumeMounts", ()):
            source = self._volume(mount["name"], volumes.get(mount["name"]), group) / mount.get("subPath", "")
            files = manifest.volume_files(volumes.get(mount["name"], {}), self.objects) is not None
            mounts.append(Mount(source, mount["mountPath"], mount.get("readOnly", False) or files))
        return mounts

    def _volume(self, name: str, volume: Mapping[str, Any] | None, group: int | None) -> Path:
        """The folder of a volume, made at its first use."""
        kind = "claims" if name in self.claims else "volumes"
        folder = self._folder / kind / name
        files = manifest.volume_files(volume, self.objects) if volume else None
        if files is not None:
            shutil.rmtree(folder, ignore_errors=True)
        elif folder.exists():
            return folder
        folder.mkdir(parents=True)
        if volume and "emptyDir" in volume:
            folder.chmod(0o777)
        for path, content in (files or {}).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
            (folder / path).chmod(manifest.mode(volume or {}))
        if kind == "claims" and self.claims_are_paths:
            folder.chmod(0o777)
        elif group is not None:
            apply_group(folder, group)
        return folder

    def _hosts_file(self) -> Path:
        path = self._folder / "hosts"
        names = {"localhost": "127.0.0.1", self.name: self.address, **self._hosts}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{address}\t{name}\n" for name, address in names.items()))
        return path


def _has(container: Mapping[str, Any], port: int | str) -> bool:
    return isinstance(port, int) or any(port == known.get("name") for known in container.get("ports", ()))


def apply_group(folder: Path, group: int) -> None:
    """What kubelet does for fsGroup: the group owns everything, reads and writes it, and inherits."""
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, -1, group, follow_symlinks=False)
        if not path.is_symlink():
            added = 0o2770 if path.is_dir() else 0o660 if path.stat().st_mode & 0o200 else 0o440
            path.chmod(path.stat().st_mode & 0o7777 | added)


def names(service: str, namespace: str) -> Sequence[str]:
    """What a Service is called inside the cluster."""
    return [service, f"{service}.{namespace}", f"{service}.{namespace}.svc", f"{service}.{namespace}.svc.cluster.local"]
