"""The log is on a volume for Sendgate and on stdout; neither its reader nor its size stops mail."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from container.parts import Container, give_to_group
from container.test_start import processes
from pods.cgroups import ROOT, is_unified
from sendgate.feedback.log.tail import LogFile
from trial.disk import fill, small_disk
from trial.sink import Sink
from trial.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
Make = Callable[..., Container]
SENDGATE = 10001
PIPE_SIZE = 4096
MAX_BYTES = 8000
SECONDS_TO_STOP = 8


def can_read(container: Container, name: str) -> bool:
    """Whether Sendgate's user, without its group, can read a file of the log's volume."""
    path = container.log.parent / name
    reader = ["setpriv", f"--reuid={SENDGATE}", f"--regid={SENDGATE}", "--clear-groups", "head", "-c1"]
    inside = subprocess.run([*reader], stdin=path.open(), capture_output=True)
    return inside.returncode == 0 and bool(path.stat().st_mode & stat.S_IROTH)


def delivered_to(recipient: str, container: Container) -> bool:
    """Whether a line of its own tells of it."""
    return bool(re.search(rf"^\w{{3}} [ \d]\d \d.*: to=<{recipient}>.*status=sent", container.log_text(), re.MULTILINE))


def delivered(lines: list[str]) -> int:
    return sum("status=sent" in line for line in lines)


def test_rotation_loses_no_line_for_the_follower_and_keeps_two_files(make: Make, sink: Sink) -> None:
    container = make({"LOG_MAX_BYTES": str(MAX_BYTES)})
    container.start()
    follower = LogFile(container.log)
    lines: list[str] = []
    seen: set[str] = set()
    sent = 0

    def rotated_often_enough() -> bool:
        nonlocal sent
        container.send(*(f"user{sent + number}@example.net" for number in range(10)))
        sent += 10
        seen.update(path.name for path in container.rotated())
        lines.extend(line for line, _ in follower.read())
        return len(seen) >= 3

    wait_until(rotated_often_enough, 60, "three rotations")
    sink.wait_for(sent)

    def all_read() -> bool:
        lines.extend(line for line, _ in follower.read())
        return delivered(lines) >= sent

    wait_until(all_read, 10, "the follower has every delivery")
    follower.close()
    assert delivered(lines) == sent
    wait_until(lambda: len(container.rotated()) == 2, 10, "two old files are kept")
    assert all(can_read(container, path.name) for path in [container.log, *container.rotated()])
    wait_until(lambda: delivered(container.output().splitlines()) == sent, 5, "stdout has every delivery")


@pytest.mark.parametrize("closed", [False, True], ids=["slow", "closed"])
def test_a_reader_of_stdout_that_stops_does_not_stop_mail(make: Make, sink: Sink, closed: bool) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    container = make()
    container.start(stdout=writing)
    os.close(writing)
    if closed:
        os.close(reading)
    container.send(*(f"user{number}@example.net" for number in range(30)))
    sink.wait_for(30)
    assert len(container.log_text()) > 2 * PIPE_SIZE
    assert container.stop(SECONDS_TO_STOP) == 0
    if not closed:
        os.close(reading)


def test_a_log_whose_volume_was_full_is_written_again(make: Make, sink: Sink) -> None:
    container = make()
    sent = count(1)
    with small_disk(container.log.parent, "64k") as volume:
        give_to_group(volume)
        container.start()
        ballast = fill(volume)

        def stands_still() -> bool:
            before = len(container.log_text())
            container.send(*(f"user{next(sent)}@example.net" for _ in range(10)))
            return len(container.log_text()) == before

        wait_until(stands_still, 30, "nothing more is logged")
        wait_until(lambda: "is full" in container.errors(), 10, "it is told")
        ballast.unlink()
        wait_until(lambda: "is not full any more" in container.errors(), 10, "it is told")
        container.send("last@example.net")
        sink.wait_for(next(sent))
        wait_until(lambda: delivered_to("last@example.net", container), 10, "the last delivery is logged")
        assert container.stop() == 0


def test_a_log_whose_volume_has_become_read_only_is_told(container: Container, sink: Sink) -> None:
    volume = str(container.folder / "root" / "var" / "log" / "postfix")
    inside = ["nsenter", "-t", str(container.init), "--mount"]
    subprocess.run([*inside, "mount", "--bind", volume, volume], check=True)
    subprocess.run([*inside, "mount", "-o", "remount,bind,ro", volume], check=True)
    wait_until(lambda: "its volume is read-only" in container.errors(), 10, "it is told")
    container.send("user@example.net")
    assert len(sink.wait_for(1)) == 1
    subprocess.run([*inside, "umount", "--lazy", volume], check=True)
    wait_until(lambda: "its volume is not read-only any more" in container.errors(), 10, "it is told")
    assert container.errors().count("postfix-start:") == 2


@pytest.mark.parametrize("how", ["logrotate", "mv", "rm"])
def test_a_log_that_was_moved_by_hand_goes_on_for_sendgate_and_on_stdout(container: Container, how: str) -> None:
    wait_until(lambda: "daemon started" in container.output(), 10, "the log is copied")
    before = container.log.stat().st_ino
    other = str(container.log.with_name("maillog.1"))
    commands = {"mv": ["mv", str(container.log), other], "rm": ["rm", str(container.log)]}
    if how in commands:
        subprocess.run(commands[how], check=True)
    else:
        container.exec("postfix", "logrotate")
    wait_until(lambda: container.log.exists() and container.log.stat().st_ino != before, 10, "a new log")
    container.send("after@example.net")
    wait_until(lambda: delivered_to("after@example.net", container), 10, "the log has the delivery")
    wait_until(lambda: "to=<after@example.net>" in container.output(), 10, "stdout has the delivery")
    assert can_read(container, container.log.name)


@contextlib.contextmanager
def no_more_processes(container: Container) -> Iterator[None]:
    """The container may have no process more than it has."""
    root = ROOT if is_unified() else ROOT / "pids"
    if is_unified():
        (root / "cgroup.subtree_control").write_text("+pids")
    group = root / f"sendgate-log-{container.init}"
    group.mkdir()
    try:
        for pid in processes(container):
            with contextlib.suppress(ProcessLookupError):
                (group / "cgroup.procs").write_text(str(pid))
        (group / "pids.max").write_text("1")
        yield
        (group / "pids.max").write_text("max")
    finally:
        for member in (group / "cgroup.procs").read_text().split():
            (root / "cgroup.procs").write_text(member)
        group.rmdir()


def test_the_log_is_looked_after_again_when_processes_had_run_out(make: Make, sink: Sink) -> None:
    container = make({"LOG_MAX_BYTES": str(MAX_BYTES)})
    container.start()
    with no_more_processes(container):
        wait_until(lambda: "Cannot fork" in container.errors(), 10, "there is no process for it")
    container.send(*(f"user{number}@example.net" for number in range(20)))
    wait_until(lambda: container.rotated() != [], 10, "the log is rotated")
    sink.wait_for(20)
    wait_until(lambda: delivered(container.output().splitlines()) == 20, 10, "stdout has every delivery")


def test_sendgates_user_can_read_the_log(container: Container) -> None:
    assert can_read(container, container.log.name)


def test_an_old_log_is_gone_on_with_and_not_repeated_on_stdout(make: Make) -> None:
    container = make()
    container.start()
    assert container.stop() == 0
    before = container.log_text()
    container.start()
    assert container.log_text().startswith(before)
    wait_until(lambda: container.output().count("daemon started") == 2, 5, "each start is told once")
