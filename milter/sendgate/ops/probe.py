"""Whether the milter answers: a negotiation over its socket, as Postfix begins every session.

In: the socket's address. Out: None when a worker answered, else what went wrong.
"""

from __future__ import annotations

import re
import socket
import struct

TIMEOUT_SECONDS = 2.0
_NEGOTIATE, _QUIT = b"O", b"Q"
_VERSION, _ALL_ACTIONS, _ALL_EVENTS = 6, 0x1FF, 0x1FFFFF


def probe(address: str) -> str | None:
    """Connect, negotiate (milter protocol, SMFIC_OPTNEG), quit. address: `unix:/path` or `inet:port@host`."""
    try:
        with _connect(address) as connection:
            connection.sendall(_packet(_NEGOTIATE + struct.pack(">III", _VERSION, _ALL_ACTIONS, _ALL_EVENTS)))
            answer = connection.recv(5)
            connection.sendall(_packet(_QUIT))
    except OSError as error:
        return f"milter: {error.strerror or error}"
    return None if answer[4:5] == _NEGOTIATE else "milter: no answer to a negotiation"


def _connect(address: str) -> socket.socket:
    if address.startswith("unix:"):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(TIMEOUT_SECONDS)
        connection.connect(address.removeprefix("unix:"))
        return connection
    match = re.fullmatch(r"inet6?:(\d+)@\[?([^\]]+)\]?", address)
    if match is None:
        raise OSError(f"{address} is no milter address")
    return socket.create_connection((match[2], int(match[1])), TIMEOUT_SECONDS)


def _packet(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body
