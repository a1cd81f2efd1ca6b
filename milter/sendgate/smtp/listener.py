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
from pathlib import Path

BACKLOG = 1024


class ListenError(Exception):
    """The address cannot be listened on; the message says why and what to do."""


def listen(address: str, mode: str, group: str | None = None) -> socket.socket:
    """Bind and listen at `unix:/path` or `inet:port@host`; mode: octal, for a Unix socket. Raises ListenError."""
    try:
        if address.startswith("unix:"):
            listener = _listen_unix(Path(address.removeprefix("unix:")), int(mode, 8), group)
        else:
            listener = _listen_tcp(address)
    except OSError as error:
        raise ListenError(f"{address}: {error.strerror or error}") from error
    listener.listen(BACKLOG)
    listener.setblocking(False)
    listener.set_inheritable(True)
    return listener


def listen_http(address: str) -> socket.socket:
    """Bind `host:port` or `[address]:port` for HTTP. Raises ListenError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(port)))
    except OSError as error:
        raise ListenError(f"ops.listen {address}: {error.strerror or error}") from error
    listener.listen(BACKLOG)
    return listener


def remove(address: str, listener: socket.socket) -> None:
    """Close the socket, and unlink its file if that is still ours."""
    path = Path(address.removeprefix("unix:"))
    if address.startswith("unix:") and path.exists() and listener.getsockname() == str(path):
        path.unlink(missing_ok=True)
    listener.close()


def _listen_unix(path: Path, mode: int, group: str | None) -> socket.socket:
    _clear_the_way(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~mode)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    path.chmod(mode)
    if group is not None:
        try:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
        except KeyError:
            raise ListenError(f"milter.socket_group: there is no group {group!r}") from None
    return listener


def _clear_the_way(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise ListenError(f"{path}: there is a file that is no socket; remove it or change milter.socket")
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
            raise ListenError(f"{path}: another process serves here; stop it or change milter.socket")
    path.unlink(missing_ok=True)


def _listen_tcp(address: str) -> socket.socket:
    match = re.fullmatch(r"(inet6?):(\d+)@\[?([^\]\s]+)\]?", address)
    if match is None:
        raise ListenError(f"{address}: must be unix:/path or inet:port@host")
    family = socket.AF_INET6 if match[1] == "inet6" or ":" in match[3] else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((match[3], int(match[2])))
    return listener
