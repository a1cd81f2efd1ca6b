"""Free ports on loopback.

Out: a port number that nobody listened on a moment ago. Another process can still be quicker to take it;
whoever binds it must say so clearly then.

The ports are below those that the kernel gives to clients, and each process of a parallel test run has its own share.
"""

from __future__ import annotations

import itertools
import os
import re
import socket

LOOPBACK = "127.0.0.1"
FIRST, SHARE, SHARES = 10_000, 2_500, 4
"""Redis in a Cluster takes the port 10,000 above its own, too, which is then nobody else's."""


def _numbers() -> itertools.cycle[int]:
    """The ports of this process, beginning anywhere among them."""
    worker = re.search(r"\d+", os.environ.get("PYTEST_XDIST_WORKER", ""))
    first = FIRST + SHARE * ((int(worker[0]) + 1) % SHARES if worker else 0)
    begin = os.getpid() * 7 % SHARE
    return itertools.cycle([*range(first + begin, first + SHARE), *range(first, first + begin)])


_next = _numbers()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now."""
    return next(port for port in _next if can_bind(port))


def can_bind(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    """Whether something on 127.0.0.1 accepts connections on this port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0
