"""The container starts on whatever its volumes hold, stays, and ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from container.parts import Container, give_to_group
from container.rootfs import NO_NAME_SERVER, UID
from trial.ports import free_port
from trial.sink import Sink
from trial.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
Make = Callable[..., Container]
SECONDS_TO_STOP = 5


def processes(container: Container) -> dict[int, str]:
    """The state of each process in the container, by its id outside."""
    namespace = Path(f"/proc/{container.init}/ns/pid").readlink()
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "ns" / "pid").readlink() == namespace:
                    found[int(entry.name)] = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
    return found


def master(container: Container) -> int:
    """The process id of Postfix's master, outside."""
    inside = (container.queue / "pid" / "master.pid").read_text().strip()
    for pid in processes(container):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        if any(line.startswith("NSpid:") and line.split()[-1] == inside for line in lines):
            return pid
    raise AssertionError(f"no process {inside}")


def with_a_message_in_the_queue(make: Make) -> Container:
    """A container that has ended, with a deferred message, whose next hop is up by now."""
    container = make()
    hop = container.environment["POSTFIX_RELAYHOST"]
    container.environment["POSTFIX_RELAYHOST"] = f"[127.0.0.1]:{free_port()}"
    container.start()
    container.send("user@example.net")
    wait_until(lambda: container.messages("deferred") == 1, 10, "the message is deferred")
    assert container.stop() == 0
    container.environment["POSTFIX_RELAYHOST"] = hop
    container.environment["POSTFIX_QUEUE_RUN_DELAY"] = "1s"
    container.environment["POSTFIX_MINIMAL_BACKOFF_TIME"] = "2s"
    (container.folder / "log" / "maillog").unlink()
    for path in (container.queue / "deferred").rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))  # due
    return container


def test_mail_goes_through_on_empty_volumes_without_a_complaint(container: Container, sink: Sink) -> None:
    container.send("user@example.net")
    assert sink.wait_for(1)[0].recipients == ["user@example.net"]
    assert container.warnings() == []


def test_what_the_gate_refuses_is_refused(container: Container, gate_with_entry: str) -> None:
    with container.client() as client:
        client.ehlo()
        client.mail("sender@example.com")
        code, text = client.rcpt(gate_with_entry)
    assert code == 550 and b"recipient suppressed" in text


def test_the_log_is_on_stdout_as_well(container: Container, sink: Sink) -> None:
    container.send("user@example.net")
    sink.wait_for(1)
    wait_until(lambda: "status=sent" in container.output(), 5, "the delivery is on stdout")


def test_a_queue_after_kubelets_fs_group_is_delivered_without_a_complaint(make: Make, sink: Sink) -> None:
    container = with_a_message_in_the_queue(make)
    give_to_group(container.folder / "spool")
    container.start()
    sink.wait_for(1)
    assert container.warnings() == []


def test_what_a_killed_postfix_had_just_begun_does_not_stop_the_next_one(make: Make, sink: Sink) -> None:
    container = with_a_message_in_the_queue(make)
    begun = container.queue / "incoming" / "642144.298"  # a message before it has a queue id
    begun.touch(0o600)
    os.chown(begun, UID, UID)
    container.start()
    assert len(sink.wait_for(1)) == 1
    assert not begun.exists()


def test_a_restored_queue_whose_files_have_other_inodes_is_delivered(make: Make, sink: Sink) -> None:
    container = with_a_message_in_the_queue(make)
    (message,) = (path for path in (container.queue / "deferred").rglob("*") if path.is_file())
    copy = message.with_name("copy")
    shutil.copy2(message, copy)
    os.chown(copy, UID, UID)
    copy.rename(message)
    container.start()
    assert len(sink.wait_for(1)) == 1


def test_a_queue_of_a_foreign_owner_is_put_right_and_delivered(make: Make, sink: Sink) -> None:
    container = with_a_message_in_the_queue(make)
    for path in container.queue.rglob("*"):
        os.chown(path, 4242, 4242, follow_symlinks=False)
    container.start()
    sink.wait_for(1)
    assert container.warnings() == []
    assert {path.stat().st_uid for path in (container.queue / "deferred").rglob("*")} <= {UID}


def test_files_are_not_walked_when_the_folders_are_right(make: Make) -> None:
    container = with_a_message_in_the_queue(make)
    stray = container.queue / "saved" / "stray"
    stray.touch()
    container.start()
    assert stray.stat().st_uid == 0


def test_a_container_after_sigkill_starts_over_its_old_pid_file(make: Make, sink: Sink) -> None:
    container = make()
    container.start()
    container.kill()
    assert (container.queue / "pid" / "master.pid").exists()
    container.start()
    container.send("user@example.net")
    sink.wait_for(1)
    assert container.warnings() == []


def test_sigterm_ends_it_in_seconds_with_a_session_open(container: Container) -> None:
    with container.client() as client:
        client.ehlo()
        assert container.stop(SECONDS_TO_STOP) == 0


def test_the_probe_passes_while_postfix_runs_and_the_log_does_not_show_it(container: Container) -> None:
    before = container.log_text()
    assert container.exec("postfix-ready").returncode == 0
    assert container.log_text() == before


def test_the_probe_fails_where_postfix_does_not_run(make: Make) -> None:
    assert make().once("postfix-ready").returncode == 1


def test_the_probe_fails_when_the_queue_cannot_be_written(container: Container) -> None:
    spool = container.folder / "root" / "srv" / "spool"
    inside = ["nsenter", "-t", str(container.init), "--mount", "mount"]
    subprocess.run([*inside, "--bind", str(spool), str(spool)], check=True)
    subprocess.run([*inside, "-o", "remount,bind,ro", str(spool)], check=True)
    done = container.exec("postfix-ready")
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr


def test_sigterm_before_postfix_runs_ends_it(make: Make) -> None:
    container = make()
    container.launch()
    wait_until(lambda: (container.folder / "etc" / "main.cf").exists(), 10, "it renders")
    assert container.stop(SECONDS_TO_STOP) == 0


def test_the_last_lines_reach_stdout(container: Container) -> None:
    assert container.stop() == 0
    assert "terminating on signal 15" in container.output()


def test_a_master_that_dies_ends_the_container_with_a_failure(container: Container) -> None:
    os.kill(master(container), signal.SIGKILL)
    assert container.wait() == 1
    assert "ended by itself" in container.errors()


def test_no_zombie_is_left_over(container: Container, sink: Sink) -> None:
    for number in range(3):
        container.exec("sh", "-c", "(sleep 0.2 &) ; true")
        container.send(f"user{number}@example.net")
    sink.wait_for(3)
    wait_until(lambda: "Z" not in processes(container).values(), 5, "all dead processes are reaped")


def test_a_second_container_on_the_same_queue_ends_and_touches_nothing(container: Container, make: Make) -> None:
    begun = container.queue / "incoming" / "642144.298"  # the first one writes a message just now
    begun.touch(0o600)
    second = make()
    (second.folder / "spool").rmdir()
    (second.folder / "spool").symlink_to(container.folder / "spool")
    second.launch()
    assert second.wait() == 1
    assert begun.exists()
    assert "another Postfix works on /srv/spool/postfix" in second.errors()


def test_name_servers_that_do_not_answer_change_nothing(container: Container, sink: Sink) -> None:
    assert container.exec("cat", "/etc/resolv.conf").stdout == NO_NAME_SERVER
    container.send("user@example.net")
    sink.wait_for(1)


def test_a_started_again_container_has_the_new_settings(make: Make) -> None:
    container = make({"POSTFIX_SMTPD_BANNER": "one"})
    container.start()
    assert container.stop() == 0
    container.environment["POSTFIX_SMTPD_BANNER"] = "two"
    container.start()
    with container.client() as client:
        assert client.docmd("NOOP")[0] == 250
    assert "smtpd_banner = two" in (container.folder / "etc" / "main.cf").read_text()
