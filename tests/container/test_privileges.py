"""The capabilities that docs/postfix-image.md names are enough, and each of them is needed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from container.parts import NEEDED, Container
from trial.ports import can_bind
from trial.sink import Sink
from trial.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
Make = Callable[..., Container]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "postfix-image.md"


def status_of(container: Container) -> str:
    """What the kernel says of process 1."""
    return Path(f"/proc/{container.init}/status").read_text()


def test_the_page_names_these_capabilities() -> None:
    section = PAGE.read_text().partition("## Privileges")[2]
    assert tuple(re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE)) == tuple(name.upper() for name in NEEDED)


def test_with_these_alone_everything_works(container: Container, sink: Sink) -> None:
    assert "NoNewPrivs:\t1" in status_of(container)
    assert container.exec("touch", "/usr/x").returncode == 1  # the root file system is read-only
    container.send("user@example.net")
    sink.wait_for(1)
    for command in (
        ("postqueue", "-p"),
        ("postqueue", "-j"),
        ("postsuper", "-h", "ALL"),
        ("postsuper", "-H", "ALL"),
        ("postsuper", "-d", "ALL"),
        ("postfix", "status"),
        ("postfix", "reload"),
        ("postfix", "logrotate"),
        ("postfix-drain", "20"),
    ):
        done = container.exec(*command)
        assert done.returncode == 0, (command, done.stderr)
    assert container.stop() == 0
    assert container.warnings() == []


WITHOUT = {
    "chown": "changing ownership",
    "dac_override": "Permission denied",
    "setgid": "it could not be tried",
    "setuid": "it could not be tried",
}


@pytest.mark.parametrize("missing", NEEDED)
def test_without_one_of_them_it_does_not_start(make: Make, missing: str) -> None:
    container = make(capabilities=[name for name in NEEDED if name != missing])
    container.launch()
    assert container.wait() != 0
    assert WITHOUT[missing] in container.errors()


@pytest.mark.parametrize("allowed", [False, True])
def test_a_port_below_1024_needs_one_more(make: Make, allowed: bool) -> None:
    port = next(number for number in range(1023, 600, -1) if can_bind(number))
    container = make({"SMTP_PORT": str(port)}, capabilities=[*NEEDED, *(["net_bind_service"] if allowed else [])])
    container.launch()
    if allowed:
        wait_until(lambda: "daemon started" in container.log_text(), 20, "Postfix serves")
        assert container.stop() == 0
    else:
        assert container.wait() == 1
        wait_until(lambda: f"port {port}: Permission denied" in container.log_text(), 5, "the log says why")
