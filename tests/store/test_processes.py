"""Several processes at one store: what one commits the others see whole, and a killed one leaves no trace."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sendgate.entry import Add, parse_subject
from sendgate.keys import Keyer
from sendgate.store.embedded import EmbeddedOrigin
from store.parts import MAX_SIZE, EmbeddedLists, add, entry, everything, load, reasons, remove, rows
from unit import child

_PARTS = """
import sys
from pathlib import Path
from sendgate.address import parse
from sendgate.entry import Add, Remove, parse_subject
from sendgate.keys import Keyer
from sendgate.store.origin import LoadOptions
from sendgate.store.replica import open_replica
from store.parts import EmbeddedLists, add, entry, load, reasons, remove, rows
folder = Path(sys.argv[1])
users = [f"user{index}@example.com" for index in range(10_000)]
like = entry("x@example.com", list_name="partners")
def wait():
    print("waiting", flush=True)
    sys.stdin.readline()
"""
_READ = """
replica = open_replica(folder, Keyer(), 2**30)
print("open", flush=True)
for address in sys.stdin:
    print(len(replica.lookup(parse(address.strip()))), flush=True)
"""
_WAIT_WHILE_READING = """
def given():
    yield from rows(users[:9_000], like)
    wait()
    yield from rows(users[9_000:], like)
print(load(EmbeddedLists(folder), given(), replace="partners", force=True).added)
"""
_WAIT_WHILE_WRITING = """
lists = EmbeddedLists(folder)
def progress(phase, done, all):
    if done == all // 2:
        wait()
print(lists.origin.load(rows(users, like), LoadOptions(replace="partners", force=True), progress).added)
"""
_WAIT_WHILE_APPLYING = """
def changes():
    yield Remove(parse_subject("old@example.com"))
    yield Add(like)
    wait()
EmbeddedLists(folder).origin.apply(changes())
"""
_TOGGLE = """
lists = EmbeddedLists(folder)
three = ["user@example.com", "@example.com", "user@"]
for _ in range(150):
    lists.origin.apply([Add(entry(subject)) for subject in three])
    lists.origin.apply([Remove(parse_subject(subject)) for subject in three])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with one entry of the list that the children load."""
    lists = EmbeddedLists(tmp_path / "store")
    add(lists, entry("old@example.com", list_name="partners"))
    lists.close()
    return lists.folder


@contextmanager
def waiting(code: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A child that has come to its `wait()`; it is killed at the end, if it still runs."""
    process = child.start(_PARTS + code, folder)
    try:
        assert read(process) == "waiting", process.communicate()[1]
        yield process
    finally:
        process.kill()
        process.communicate()


def read(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def write(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name not in ("data.mdb", "lock.mdb")]


def assert_untouched(folder: Path) -> None:
    lists = EmbeddedLists(folder)
    assert [one.subject.text for one in everything(lists)] == ["old@example.com"]
    assert sum(lists.origin.counts().values()) == lists.origin.position() == 1
    assert reasons(lists, "user1@example.com") == []
    lists.close()


def test_an_entry_added_by_one_process_is_found_by_another_that_is_open(folder: Path) -> None:
    reader = child.start(_PARTS + _READ, folder)
    assert read(reader) == "open"
    lists = EmbeddedLists(folder)

    def seen(address: str) -> str:
        write(reader, address)
        return read(reader)

    assert seen("user@example.com") == "0"
    add(lists, entry("user@example.com"))
    assert seen("user@example.com") == "1"
    add(lists, entry("@example.com"), entry("@.com"), entry("user@"))
    assert seen("user@example.com") == "4"
    remove(lists, "@example.com")
    assert seen("user@example.com") == "3"
    load(lists, rows(["user@example.com"], entry("x@example.com", "trap")))
    assert seen("u.ser@example.com") == "1"
    assert seen("user+tag@example.com") == "2"
    lists.close()
    reader.communicate()


def test_a_reader_sees_all_of_a_change_or_nothing(folder: Path) -> None:
    lists = EmbeddedLists(folder)
    writer = child.start(_PARTS + _TOGGLE, folder)
    seen = set()
    while writer.poll() is None:
        seen.add(len(lists.lookup("user@example.com")))
        seen.add(sum(count for label, count in lists.origin.counts().items() if label.list == "default"))
    assert writer.communicate()[1] == ""
    lists.close()
    assert seen == {0, 3}


@pytest.mark.parametrize("code", [_WAIT_WHILE_READING, _WAIT_WHILE_WRITING], ids=["while reading", "while writing"])
def test_a_load_that_is_killed_leaves_the_old_list_whole(code: str, folder: Path) -> None:
    with waiting(code, folder) as process:
        process.kill()
        process.wait()
    assert leftovers(folder) == []
    assert_untouched(folder)


@pytest.mark.parametrize("code", [_WAIT_WHILE_READING, _WAIT_WHILE_WRITING], ids=["while reading", "while writing"])
def test_the_next_load_after_a_killed_one_succeeds(code: str, folder: Path) -> None:
    with waiting(code, folder) as process:
        process.kill()
        process.wait()
    lists = EmbeddedLists(folder)
    load(lists, rows(["user1@example.com"], entry("x@example.com")))
    assert reasons(lists, "user1@example.com") == reasons(lists, "old@example.com") == ["manual"]
    lists.close()


def test_a_batch_that_is_killed_changes_nothing(folder: Path) -> None:
    with waiting(_WAIT_WHILE_APPLYING, folder) as process:
        process.kill()
        process.wait()
    assert_untouched(folder)


def test_a_killed_writer_does_not_keep_others_from_writing(folder: Path) -> None:
    lists = EmbeddedLists(folder)
    with waiting(_WAIT_WHILE_APPLYING, folder) as process:
        process.kill()
        process.wait()
    add(lists, entry("new@example.com"))
    assert reasons(lists, "new@example.com") == ["manual"]
    lists.close()


def test_readers_go_on_while_a_load_writes(folder: Path) -> None:
    with waiting(_WAIT_WHILE_WRITING, folder) as process:
        reader = EmbeddedOrigin(folder, Keyer(), MAX_SIZE, write=False)
        assert [one.subject.text for one in reader.scan()] == ["old@example.com"]
        assert len(reader.get(parse_subject("old@example.com"))) == 1
        write(process, "")
        assert read(process) == "10000"
        assert sum(reader.counts().values()) == 10_000
        reader.close()


def test_two_loads_at_once_leave_each_other_s_rows_alone(folder: Path) -> None:
    lists = EmbeddedLists(folder)
    with waiting(_WAIT_WHILE_READING, folder) as process:
        load(lists, rows(["user@example.net"], entry("x@example.com")))
        write(process, "")
        assert read(process) == "10000"
    assert leftovers(folder) == []
    assert sum(lists.origin.counts().values()) == 10_001
    lists.close()


def test_what_was_added_while_a_replacing_load_read_its_rows_goes_with_the_old_list(folder: Path) -> None:
    lists = EmbeddedLists(folder)
    with waiting(_WAIT_WHILE_READING, folder) as process:
        lists.origin.apply([Add(entry("meanwhile@example.com", list_name="partners")), Add(entry("kept@example.com"))])
        write(process, "")
        assert read(process) == "10000"
    assert reasons(lists, "meanwhile@example.com") == []
    assert reasons(lists, "kept@example.com") == ["manual"]
    lists.close()
