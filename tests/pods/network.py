"""A network of pods: a namespace for each, with an address of its own, on a bridge inside a namespace that is the node.

In: names of pods. Out: their addresses, and connections from the node to them. Nothing outside sees any of it, and
`close` leaves nothing behind. Needs root.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import smtplib
import socket
import subprocess
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Made = TypeVar("Made")

CLONE_NEWNET = 0x40000000
NODE_ADDRESS = "10.77.0.1"
_libc = ctypes.CDLL(None, use_errno=True)


class Network:
    """The bridge `pods` in 10.77.0.0/24, whose address .1 is the node."""

    def __init__(self) -> None:
        self._prefix = f"sg{uuid.uuid4().hex[:6]}"
        self.node = f"{self._prefix}-node"
        self._namespaces: list[str] = []
        self._add(self.node)
        self._ip("link", "add", "pods", "type", "bridge")
        self._ip("address", "add", f"{NODE_ADDRESS}/24", "dev", "pods")
        self._ip("link", "set", "pods", "up")

    def pod(self, name: str) -> tuple[str, str]:
        """The namespace and the address of a new pod."""
        number = len(self._namespaces)
        namespace, address = f"{self._prefix}-{name}", f"10.77.0.{number + 1}"
        self._add(namespace)
        self._ip("link", "add", f"pod{number}", "type", "veth", "peer", "name", "eth0", "netns", namespace)
        self._ip("link", "set", f"pod{number}", "master", "pods", "up")
        _run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
        _run("ip", "-n", namespace, "link", "set", "eth0", "up")
        return namespace, address

    def redirect(self, namespace: str, port: int, to: int) -> None:
        """Connections to a port of a pod arrive at another one."""
        _run("ip", "netns", "exec", namespace, "iptables", "-t", "nat", "-A", "PREROUTING",
             "-p", "tcp", "--dport", str(port), "-j", "REDIRECT", "--to-ports", str(to))  # fmt: skip

    def connect(self, address: str, port: int, timeout: float = 5) -> socket.socket:
        """A connection from the node. Raises OSError."""
        return dial(self.node, address, port, timeout)

    def close(self) -> None:
        """Remove every namespace, and with them all links."""
        for namespace in reversed(self._namespaces):
            subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True)

    def _add(self, namespace: str) -> None:
        _run("ip", "netns", "add", namespace)
        self._namespaces.append(namespace)
        _run("ip", "-n", namespace, "link", "set", "lo", "up")

    def _ip(self, *arguments: str) -> None:
        _run("ip", "-n", self.node, *arguments)


class SMTP(smtplib.SMTP):
    """smtplib's client, connecting from a namespace."""

    def __init__(self, namespace: str, address: str, port: int) -> None:
        self._namespace = namespace
        super().__init__(address, port, local_hostname="client.example.com", timeout=30)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return dial(self._namespace, host, port, timeout)


def dial(namespace: str, address: str, port: int, timeout: float) -> socket.socket:
    """A connection that begins in a network namespace. Raises OSError."""
    return inside(namespace, lambda: socket.create_connection((address, port), timeout))


def inside(namespace: str, make: Callable[[], Made]) -> Made:
    """What `make` returns when it is called in a network namespace, such as a socket. Raises its OSError."""
    made: list[Made] = []
    failed: list[OSError] = []

    def there() -> None:
        # A thread of its own: the namespace is a property of the thread, and a socket keeps the one it was made in.
        try:
            with contextlib.closing(_Descriptor(Path("/run/netns") / namespace)) as opened:
                if _libc.setns(opened.number, CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            made.append(make())
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=there)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


class _Descriptor:
    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self.number)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
