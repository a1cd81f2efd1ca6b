"""A Postfix with messages in all of its queues, and of different ages.

In: nothing. Out: a running Postfix whose showq listens on its socket and on a port of loopback.

Postfix has no clock to set: a message is made older by writing another arrival time, of as many digits, into its file.
"""

from __future__ import annotations

import contextlib
import re
import smtplib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from trial.mta import Postfix, command_path
from trial.ports import LOOPBACK, free_port
from trial.waiting import wait_until

PATIENCE = 30
MINUTE, HOUR, DAY = 60, 3600, 86400
LONG = "long-" + "x" * 200
ODD_REASON = b'421 4.3.2 sp\xe4ter, vielleicht sp\xc3\xa4ter; \x01\x7f "\\ queue_name time 17 ( )\r\n'
_ACTIVE_LIMIT = 2
_TIME_RECORD = re.compile(rb"(?<=T.)\d{10}(?= \d)", re.DOTALL)


@dataclass
class FullQueue:
    """The running Postfix, and where its showq listens."""

    mta: Postfix
    port: int

    @property
    def unix(self) -> str:
        return f"unix:{self.mta.queue_directory}/public/showq"

    @property
    def inet(self) -> str:
        return f"inet:{LOOPBACK}:{self.port}"

    def send(
        self, *recipients: str, sender: str = "bounce+spring@news.test", text: str = "Hello.", utf8: bool = False
    ) -> None:
        """Inject a message."""
        options = ["SMTPUTF8"] if utf8 else []
        with smtplib.SMTP(LOOPBACK, self.mta.port, timeout=PATIENCE) as client:
            client.sendmail(sender, recipients, f"Subject: News\r\n\r\n{text}\r\n", mail_options=options)

    def wait_for(self, expected: Mapping[str, int]) -> None:
        """Wait until the queues hold so many messages."""
        wait_until(lambda: count(self.mta.queue()) == expected, PATIENCE, f"{expected} in the queue")

    def make_older(self, queue_id: str, seconds: int) -> None:
        """Let a message have come so many seconds ago."""
        (path,) = (path for path in self.mta.queue_directory.glob(f"*/**/{queue_id}") if path.parts[-3] != "defer")
        content = path.read_bytes()
        with path.open(
            "r+b"
        ) as file:  # not anew: Postfix knows files by their inode, and the mode says that it is whole
            file.write(_TIME_RECORD.sub(str(int(time.time()) - seconds).encode(), content, count=1))


def count(messages: list[dict[str, Any]]) -> dict[str, int]:
    """Messages by queue; queues without any are absent."""
    queues = [message["queue_name"] for message in messages]
    return {queue: queues.count(queue) for queue in queues}


def ask(address: str) -> bytes:
    """All that showq answers."""
    family, at = (socket.AF_UNIX, address[5:]) if address.startswith("unix:") else (socket.AF_INET, address[5:])
    with socket.socket(family) as connection:
        connection.connect(at if family == socket.AF_UNIX else (LOOPBACK, int(at.rpartition(":")[2])))
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


@contextmanager
def quiet_postfix() -> Iterator[FullQueue]:
    """Nothing in the queue yet. Mail to active.test is delivered for ever, to deferred.test and odd.test never."""
    port = free_port()
    with socket.create_server((LOOPBACK, 0), backlog=16) as silent, socket.create_server((LOOPBACK, 0)) as rude:
        threading.Thread(target=_refuse, args=(rude,), daemon=True).start()
        nobody, odd = f"smtp:[{LOOPBACK}]:1", f"smtp:[{LOOPBACK}]:{rude.getsockname()[1]}"
        settings = {
            "default_transport": f"smtp:[{LOOPBACK}]:{silent.getsockname()[1]}",
            "transport_maps": f"inline:{{ {{deferred.test={nobody}}}, {{odd.test={odd}}} }}",
            "smtp_helo_timeout": "600s",
            "smtp_destination_concurrency_failed_cohort_limit": "0",
            "qmgr_message_active_limit": str(_ACTIVE_LIMIT),
            "authorized_submit_users": "static:anyone",
        }
        services = [f"{LOOPBACK}:{port} inet n - n - 1 showq"]
        with Postfix(None, settings, services=services) as mta:
            yield FullQueue(mta, port)


@contextmanager
def full_queue() -> Iterator[FullQueue]:
    """Messages in all queues: deferred and held ones of all ages, many recipients, odd names."""
    with quiet_postfix() as queue:
        _defer(queue)
        _hold(queue)
        for number in range(_ACTIVE_LIMIT):
            queue.send(f"{number}@active.test")
            queue.wait_for({"deferred": 7, "hold": 2, "active": number + 1})
        for number in range(3):
            queue.send(f"{number}@waiting.test")
        for number in range(2):
            _drop(queue, number)
        queue.wait_for({"deferred": 7, "hold": 2, "active": _ACTIVE_LIMIT, "incoming": 3, "maildrop": 2})
        yield queue


def _refuse(server: socket.socket) -> None:
    """Tell everybody who comes to come later."""
    with contextlib.suppress(OSError):  # the server was closed
        while True:
            connection, _ = server.accept()
            with connection:
                connection.sendall(ODD_REASON)


def _defer(queue: FullQueue) -> None:
    for number in range(4):
        queue.send(f"{number}@deferred.test")
    queue.send(*(f"{number}@deferred.test" for number in range(500)), text="x" * 5000)
    queue.send('"with a \\"space"@odd.test', f"{LONG}@odd.test", "queue_name@odd.test", sender="")
    queue.send("zoë@odd.test", sender="bounce+été@news.test", utf8=True)
    queue.wait_for({"deferred": 7})
    messages = sorted(queue.mta.queue(), key=lambda message: str(message["queue_id"]))
    for message, age in zip(messages, (10 * MINUTE, 2 * HOUR, 7 * HOUR, 3 * DAY), strict=False):
        queue.make_older(message["queue_id"], age)


def _hold(queue: FullQueue) -> None:
    before = {message["queue_id"] for message in queue.mta.queue()}
    for number in range(2):
        queue.send(f"held{number}@deferred.test")
    queue.wait_for({"deferred": 9})
    held = [message["queue_id"] for message in queue.mta.queue() if message["queue_id"] not in before]
    for queue_id in held:
        subprocess.run(
            [command_path("postsuper"), "-c", str(queue.mta.config), "-h", queue_id], check=True, capture_output=True
        )
    queue.make_older(held[0], 40 * DAY)


def _drop(queue: FullQueue, number: int) -> None:
    subprocess.run(
        [command_path("sendmail"), "-C", str(queue.mta.config), "-f", "root@news.test", f"dropped{number}@x.test"],
        input=b"Subject: News\n\nHello.\n",
        check=True,
        capture_output=True,
    )
