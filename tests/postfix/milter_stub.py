"""A milter in one thread, without libmilter: refuses the recipients it is told to, and remembers the macros.

In: the milter protocol, version 6, on a Unix socket. Out: `macros`, by command (M for MAIL, R for RCPT).
Refused: with 550 5.7.1, every recipient whose address holds the word `bad`.
"""

from __future__ import annotations

import socketserver
import struct
import tempfile
import threading
from pathlib import Path
from types import TracebackType

STEPS_NOT_WANTED = 0x1 | 0x2 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200  # all but MAIL and RCPT
VERSION = 6
SILENT = b"DAQK"  # macros, abort and quit have no answer
REFUSAL = b"y550 5.7.1 recipient suppressed\0"


class StubMilter:
    """A running stub; `entry` is its place in smtpd_milters."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="stub-")
        Path(self._folder.name).chmod(0o755)
        path = Path(self._folder.name, "milter.sock")
        self.entry = f"unix:{path}"
        self._server = _Server(str(path), _Connection)
        self.macros = self._server.macros
        path.chmod(0o666)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def hang_up_at(self, command: str) -> None:
        """From now on, drop the connection instead of answering this command."""
        self._server.drops = command.encode()

    def __enter__(self) -> StubMilter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._folder.cleanup()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    drops = b"Q"

    def __init__(self, path: str, handler: type[socketserver.BaseRequestHandler]) -> None:
        self.macros: dict[str, list[dict[str, str]]] = {}
        super().__init__(path, handler)


class _Connection(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        while length := self.rfile.read(4):
            packet = self.rfile.read(struct.unpack("!I", length)[0])
            command, data = packet[:1], packet[1:]
            if command == b"D":
                self._remember(data)
            elif command in (b"Q", self.server.drops):
                return
            if command not in SILENT:
                answer = self._answer(command, data)
                self.wfile.write(struct.pack("!I", len(answer)) + answer)

    def _remember(self, data: bytes) -> None:
        texts = data[1:].decode("utf-8", "replace").split("\0")
        self.server.macros.setdefault(chr(data[0]), []).append(dict(zip(texts[::2], texts[1::2], strict=False)))

    @staticmethod
    def _answer(command: bytes, data: bytes) -> bytes:
        if command == b"O":
            return b"O" + struct.pack("!III", VERSION, 0, STEPS_NOT_WANTED)
        return REFUSAL if command == b"R" and b"bad" in data else b"c"
