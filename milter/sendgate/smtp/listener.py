"""The milter socket: bound by the supervisor, inherited by every worker.

In: the address as the settings have it. Out: a listening, non-blocking socket.
Refused: `ListenError`, when the address is in use by a living process, or cannot be bound.

A socket file that a dead process left behind is unlinked; one that answers is another Sendgate's and stays. The
socket must be non-blocking: workers share it, and one that lost the race for a connection would hang in accept().
"""

from __future__ import annotations

import errno
import grp
import os
import re
import socket
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

BACKLOG = 1024
_RETRY_SECONDS = 0.1


PATIENCE_SECONDS = 10.0
"""How long to wait for an address that is in use: a predecessor that was killed takes a moment to let go of it."""


class ListenError(Exception):
    """The address cannot be listened on; the message says why and what to do."""


class AddressInUseError(ListenError):
    """Somebody listens there already."""


def listen(address: str, mode: str, group: str | None = None) -> socket.socket:
    """Bind and listen at `unix:/path` or `inet:port@host`; mode: octal, for a Unix socket. Raises ListenError."""
    if address.startswith("unix:"):
        listener = _patiently(address, lambda: _listen_unix(Path(address.removeprefix("unix:")), mode, group))
    else:
        listener = _patiently(address, lambda: _listen_tcp(address))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def listen_http(address: str) -> socket.socket:
    """Bind `host:port` or `[address]:port` for HTTP. Raises ListenError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = _patiently(f"ops.listen {address}", lambda: _bind_tcp(family, host, int(port)))
    listener.listen(BACKLOG)
    return listener


def protect(address: str, mode: str, group: str | None) -> None:
    """Give the file of a Unix socket its mode and group; None leaves the group. Raises ListenError."""
    if not address.startswith("unix:"):
        return
    path = Path(address.removeprefix("unix:"))
    try:
        path.chmod(int(mode, 8))
        if group is not None:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
    except KeyError:
        raise ListenError(f"{path}: there is no group {group!r}; change the setting of the socket's group") from None
    except OSError as error:
        raise ListenError(f"{path}: {error.strerror or error}") from error


def remove(address: str, listener: socket.socket) -> None:
    """Close the socket and unlink its file. Nothing happens the second time, when the path may be another's."""
    if listener.fileno() < 0:
        return
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)  # for all processes that share it, at once
    if address.startswith("unix:"):
        Path(address.removeprefix("unix:")).unlink(missing_ok=True)
    listener.close()


def _patiently(what: str, attempt: Callable[[], socket.socket]) -> socket.socket:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return attempt()
        except (OSError, AddressInUseError) as error:
            in_use = isinstance(error, AddressInUseError) or error.errno == errno.EADDRINUSE
            if not in_use or time.monotonic() >= give_up:
                raise _named(what, error) from error
        time.sleep(_RETRY_SECONDS)


def _named(what: str, error: OSError | AddressInUseError) -> ListenError:
    return error if isinstance(error, ListenError) else ListenError(f"{what}: {error.strerror or error}")


def _listen_unix(path: Path, mode: str, group: str | None) -> socket.socket:
    _clear_the_way(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~int(mode, 8))
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    try:
        protect(f"unix:{path}", mode, group)
    except ListenError:
        remove(f"unix:{path}", listener)
        raise
    return listener


def _clear_the_way(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise ListenError(f"{path}: there is a file that is no socket; remove it, or name another socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError as error:
            if error.errno not in (errno.ECONNREFUSED, errno.ENOENT):
                raise ListenError(f"{path}: cannot tell whether it is in use: {error.strerror}") from error
        else:
            raise AddressInUseError(f"{path}: another process serves here; stop it, or name another socket")
    path.unlink(missing_ok=True)


def _listen_tcp(address: str) -> socket.socket:
    match = re.fullmatch(r"(inet6?):(\d+)@\[?([^\]\s]+)\]?", address)
    if match is None:
        raise ListenError(f"{address}: must be unix:/path or inet:port@host")
    family = socket.AF_INET6 if match[1] == "inet6" or ":" in match[3] else socket.AF_INET
    return _bind_tcp(family, match[3], int(match[2]))


def _bind_tcp(family: int, host: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener
