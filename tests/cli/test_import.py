"""`import` as a whole: all or nothing, the guard, the dry run, defaults, what it tells."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from cli.parts import LISTS, Program


def users(count: int, domain: str = "example.com") -> bytes:
    return b"".join(b"user%d@%s\n" % (number, domain.encode()) for number in range(count))


@pytest.fixture
def partners(sendgate: Program) -> Program:
    """A store whose list `partners` has ten entries."""
    assert sendgate("import", "-", "--reason", "manual", "--list", "partners", stdin=users(10)).status == 0
    return sendgate


def test_the_summary_counts_every_line(sendgate: Program) -> None:
    answer = sendgate("import", LISTS / "broken.csv", "--json")
    told = answer.json
    assert told.pop("seconds") >= 0
    assert told.pop("lines_per_second") > 0
    assert told == {
        "dry_run": False,
        "lines": 9,
        "added": 2,
        "refreshed": 0,
        "unchanged": 0,
        "removed": 0,
        "bad_lines": 6,
        "ignored_columns": [],
    }


def test_the_summary_for_people_has_the_same_counts(partners: Program) -> None:
    answer = partners("import", "-", "--reason", "manual", "--list", "partners", stdin=users(12))
    lines = [line.split() for line in answer.out.splitlines()]
    assert ["lines", "12"] in lines
    assert ["added", "2"] in lines
    assert ["unchanged", "10"] in lines


def test_an_empty_file_makes_an_empty_store(sendgate: Program) -> None:
    assert sendgate("import", "-").status == 0
    assert sendgate.exported() == []


def test_options_are_for_lines_that_do_not_say(sendgate: Program) -> None:
    content = b"email,reason,list\na@example.com,,\nb@example.com,trap,own\n"
    options = ["--reason", "role", "--list", "given", "--scope", "stream:news", "--expires", "30d"]
    sendgate("import", "-", *options, stdin=content)
    first, second = sorted(sendgate.exported(), key=lambda entry: str(entry["subject"]))
    assert (first["reason"], first["list"], second["reason"], second["list"]) == ("role", "given", "trap", "own")
    assert first["scope"] == second["scope"] == "stream:news"
    assert first["expires"] == second["expires"] is not None


def test_replacing_removes_what_the_file_lacks(partners: Program) -> None:
    partners("add", "user9@example.com", "--reason", "manual", "--list", "other")
    answer = partners("import", "-", "--reason", "manual", "--list", "partners", "--replace", "--json", stdin=users(9))
    assert (answer.status, answer.json["unchanged"], answer.json["removed"]) == (0, 9, 1)
    assert len(partners.subjects("--list", "partners")) == 9
    assert partners.subjects("--list", "other") == ["user9@example.com"]


def test_a_list_that_would_shrink_too_much_is_kept(partners: Program) -> None:
    arguments = ["import", "-", "--reason", "manual", "--list", "partners", "--replace"]
    answer = partners(*arguments, stdin=users(7))
    assert answer.status == 1
    assert "from 10 to 7" in answer.errors
    assert "--force" in answer.errors
    assert len(partners.exported()) == 10
    assert partners(*arguments, stdin=b"").status == 1
    assert partners(*arguments, "--force", stdin=users(7)).status == 0
    assert len(partners.exported()) == 7


def test_replacing_needs_a_list_and_takes_lines_of_no_other(partners: Program) -> None:
    assert partners("import", "-", "--reason", "manual", "--replace", stdin=users(10)).status == 2
    content = b"email,list\nuser10@example.com,partners\nuser11@example.com,other\n"
    answer = partners("import", "-", "--reason", "manual", "--list", "partners", "--replace", "--force", stdin=content)
    assert answer.status == 1
    assert "line 3: is of list 'other'" in answer.errors
    assert partners.subjects() == ["user10@example.com"]


def test_a_dry_run_tells_and_changes_nothing(partners: Program) -> None:
    options = ["--reason", "manual", "--list", "partners", "--replace", "--force", "--dry-run"]
    before = partners("stats", "--json").json
    answer = partners("import", "-", *options, "--json", stdin=users(3, "example.org"))
    assert (answer.json["dry_run"], answer.json["added"], answer.json["removed"]) == (True, 3, 10)
    assert partners("stats", "--json").json == before


def test_a_dry_run_where_there_is_no_store_makes_none(sendgate: Program) -> None:
    answer = sendgate("import", "-", "--reason", "manual", "--dry-run", stdin=users(3))
    assert answer.status == 0
    assert answer.out.startswith("dry run: nothing was changed")
    assert not sendgate.store.exists()


def test_the_first_bad_lines_are_shown_and_all_are_written(sendgate: Program) -> None:
    path = sendgate.folder / "bad"
    content = b"a@example.com\n" + b"bad line\n" * 50
    answer = sendgate("import", "-", "--reason", "manual", "--format", "txt", "--errors", path, stdin=content)
    assert len([line for line in answer.complaints if line.startswith("line ")]) == 20
    assert answer.complaints[-1].startswith("50 bad lines, of which the first 20 are shown")
    numbers = [int(line.split("\t")[0]) for line in path.read_text().splitlines()]
    assert numbers == list(range(2, 52))


@pytest.mark.parametrize("options", [["none.txt"], [".", "--format", "txt"], ["-", "--errors", "none/bad"]])
def test_a_file_that_cannot_be_opened_is_told_before_a_store_is_made(options: list[str], sendgate: Program) -> None:
    name, *rest = options
    answer = sendgate("import", name, "--reason", "manual", *rest)
    assert (answer.status, len(answer.complaints)) == (2, 1)
    assert not sendgate.store.exists()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_an_import_that_is_stopped_leaves_the_old_list(end: signal.Signals, partners: Program) -> None:
    with start_import(partners) as process:
        process.send_signal(end)
        process.wait(timeout=30)
        assert process.returncode != 0
    assert len(partners.exported()) == 10
    assert sorted(path.name for path in partners.store.iterdir()) == ["data.mdb", "lock.mdb"]


def test_an_interrupt_is_told_without_a_traceback(partners: Program) -> None:
    with start_import(partners) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b"sendgate: interrupted; nothing was changed\n"


# a process of its own between: a child is counted with what its parent had when it was forked
MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""


def start_import(program: Program) -> subprocess.Popen[bytes]:
    """A replacing import that has read much and waits for more."""
    process = program.start("import", "-", "--format", "txt", "--reason", "manual", "--list", "partners", "--replace")
    assert process.stdin is not None
    process.stdin.write(users(100_000, "example.org"))  # more than the pipe and the buffers on the way can hold
    process.stdin.flush()
    return process


def test_many_lines_do_not_take_more_memory(sendgate: Program) -> None:
    path = sendgate.folder / "users.txt"
    path.write_bytes(users(200_000))
    command = [sys.executable, "-m", "sendgate", "import", str(path), "--reason", "manual", "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", MEASURED, *command], env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout)["added"] == 200_000
    # Python with its libraries, and the pages that LMDB has not written yet
    assert int(done.stderr) < 200 * 1024


def test_attributes_that_differ_on_every_line_are_kept_apart(sendgate: Program) -> None:
    lines = [b"%d@example.com,%d,note %d\n" % (number, 1_700_000_000 + number, number) for number in range(30_000)]
    sendgate("import", "-", "--reason", "manual", stdin=b"email,created,note\n" + b"".join(lines))
    entries = sendgate.exported()
    assert len(entries) == 30_000
    assert all(entry["note"] == f"note {entry['subject'].partition('@')[0]}" for entry in entries)
