"""The world's mail server: it takes everything, on the node, and remembers which message came for whom.

In: SMTP from the pods. Out: for each message that was taken, its `X-Number` and its recipients. It can be away (no
connection), or stuck: then it says nothing until it is let go, and nothing is taken that Postfix does not know of.
"""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import threading
from types import TracebackType

from pods.network import NODE_ADDRESS, Network, inside

PORT = 2500
_NUMBER = re.compile(rb"^X-Number: (\S+)\r\n", re.MULTILINE)


class Sink:
    """Context manager; takes mail from the start."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._lock = threading.Lock()
        self._taken: list[tuple[str, frozenset[str]]] = []
        self._flows = threading.Event()
        self._flows.set()
        self._server: _Server | None = None

    def __enter__(self) -> Sink:
        self.come()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flows.set()
        self.leave()

    @property
    def taken(self) -> list[tuple[str, frozenset[str]]]:
        """Number and recipients of each message, in the order that they came."""
        with self._lock:
            return list(self._taken)

    def come(self) -> None:
        """Listen, if it does not."""
        if self._server is not None:
            return
        self._server = inside(self._network.node, lambda: _Server(self))
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def leave(self) -> None:
        """Connections are refused from now on; sessions go on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def hold(self) -> None:
        """Say nothing more."""
        self._flows.clear()

    def release(self) -> None:
        """Go on."""
        self._flows.set()

    def wait_flowing(self) -> None:
        self._flows.wait()

    def take(self, content: bytes, recipients: frozenset[str]) -> None:
        found = _NUMBER.search(content)
        with self._lock:
            self._taken.append((found[1].decode() if found else "", recipients))


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        super().__init__((NODE_ADDRESS, PORT), _Session)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is killed is no error here."""


class _Session(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self._serve()

    def _serve(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        recipients: set[str] = set()
        self._say("220 sink ESMTP")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"MAIL":
                recipients = set()
            elif verb == b"RCPT":
                recipients.add(line.partition(b"<")[2].partition(b">")[0].decode().lower())
            elif verb == b"DATA":
                self._say("354 go on")
                if (content := self._content()) is None:
                    return
                self.server.sink.take(content, frozenset(recipients))
                self.wfile.write(b"250 2.0.0 taken\r\n")
                continue
            self._say("221 2.0.0 bye" if verb == b"QUIT" else "250 2.0.0 ok")

    def _content(self) -> bytes | None:
        """The message; None when the client is gone."""
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                return None
            lines.append(line)
        return b"".join(lines)

    def _say(self, reply: str) -> None:
        self.server.sink.wait_flowing()
        self.wfile.write(reply.encode() + b"\r\n")
