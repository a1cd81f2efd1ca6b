"""Ports for Redis servers, that are there again when a server comes back.

Out: a port of 127.0.0.1 that is free now, as is the one of its cluster bus, and that this process has not given out
before. Refused: `TrialError` when none is found.
"""

from __future__ import annotations

import random

from trial.mta import TrialError
from trial.ports import can_bind

# Below the ports that Linux gives to outgoing connections: those could take a port while its server is down.
# A cluster's bus listens 10000 above, out of the range, too.
PORTS = range(12000, 22000)
BUS_OFFSET = 10000
PORT_ATTEMPTS = 100

_given: set[int] = set()


def server_port() -> int:
    """A port that is free now, as is that of a cluster bus; never the same twice in this process."""
    dice = random.SystemRandom()  # the usual generator is seeded by some tests
    for _ in range(PORT_ATTEMPTS):
        port = dice.choice(PORTS)
        if port not in _given and can_bind(port) and can_bind(port + BUS_OFFSET):
            _given.add(port)
            return port
    raise TrialError(f"no free port from {PORTS.start} to {PORTS.stop - 1}")
