"""A store that is missing, damaged, cut short, not ours, not readable or without room: told, with the remedy."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import lmdb
import pytest

from sendgate.keys import Keyer
from sendgate.store.embedded import EmbeddedOrigin
from sendgate.store.errors import StoreCorruptError, StoreError, StoreFullError, StoreMissingError
from sendgate.store.replica import open_replica
from store.parts import MAX_SIZE, EmbeddedLists, add, entry, everything, load, reasons, remove, rows
from trial.disk import small_disk
from unit import child


def for_reading(folder: Path) -> None:
    open_replica(folder, Keyer(), MAX_SIZE).close()


def for_writing(folder: Path) -> None:
    EmbeddedOrigin(folder, Keyer(), MAX_SIZE, create=False).close()


def for_creating(folder: Path) -> None:
    with closing(EmbeddedOrigin(folder, Keyer(), MAX_SIZE)) as origin:
        origin.apply([])  # what was only opened is no store yet


every_way = pytest.mark.parametrize("way", [for_reading, for_writing, for_creating])
Way = Callable[[Path], None]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder of a closed store with 2,000 entries."""
    lists = EmbeddedLists(tmp_path / "store")
    load(lists, rows((f"user{index}@example.com" for index in range(2000)), entry("x@example.com")))
    lists.close()
    return lists.folder


def refused(way: Way, folder: Path, error: type[StoreError], words: str) -> None:
    with pytest.raises(StoreError) as caught:
        way(folder)
    assert type(caught.value) is error
    assert str(caught.value).startswith(str(folder))
    assert words in str(caught.value)


@pytest.mark.parametrize("way", [for_reading, for_writing])
def test_a_missing_store_is_told_and_not_created(way: Way, tmp_path: Path) -> None:
    refused(way, tmp_path / "store", StoreMissingError, "no store; `sendgate add` or `sendgate import` creates it")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("way", [for_reading, for_writing])
def test_an_empty_folder_is_no_store(way: Way, tmp_path: Path) -> None:
    refused(way, tmp_path, StoreMissingError, "no store")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("way", [for_reading, for_writing])
def test_an_empty_file_is_no_store(way: Way, tmp_path: Path) -> None:
    (tmp_path / "data.mdb").touch()
    refused(way, tmp_path, StoreMissingError, "no store")


def test_a_store_is_created_with_its_parents(tmp_path: Path) -> None:
    for_creating(tmp_path / "var" / "lib" / "sendgate")
    for_reading(tmp_path / "var" / "lib" / "sendgate")


def test_a_creation_that_was_broken_off_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").touch()
    for_creating(tmp_path)
    for_reading(tmp_path)


@every_way
@pytest.mark.parametrize("content", [b"x", b"user@example.com\n" * 4096, os.urandom(65536)], ids=["x", "text", "noise"])
def test_a_file_of_something_else_is_damaged_and_left_alone(way: Way, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(content)
    refused(way, tmp_path, StoreCorruptError, "restore it from a copy or import the lists again")
    assert (tmp_path / "data.mdb").read_bytes() == content


@every_way
def test_another_program_s_lmdb_file_is_refused_and_left_alone(way: Way, tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), max_dbs=1) as environment, environment.begin(write=True) as txn:
        txn.put(b"theirs", b"1")
    refused(way, tmp_path, StoreCorruptError, "restore it from a copy or import the lists again")
    with lmdb.open(str(tmp_path), max_dbs=1) as environment, environment.begin() as txn:
        assert txn.stat()["entries"] == 1


@every_way
def test_a_store_of_another_version_is_refused(way: Way, store: Path) -> None:
    with lmdb.open(str(store), max_dbs=8) as environment:
        meta = environment.open_db(b"meta")
        with environment.begin(write=True) as txn:
            txn.put(b"format", b"sendgate 99", db=meta)
    refused(way, store, StoreCorruptError, "not a store of this version of Sendgate")


@every_way
@pytest.mark.parametrize("octets", [1, 4096, 8192, 65536, -1])
def test_a_file_that_is_cut_short_is_refused(way: Way, octets: int, store: Path) -> None:
    size = (store / "data.mdb").stat().st_size
    os.truncate(store / "data.mdb", octets if octets > 0 else size - 1)
    refused(way, store, StoreCorruptError, "restore it from a copy or import the lists again")


@every_way
def test_pages_of_zeros_are_damage(way: Way, store: Path) -> None:
    with (store / "data.mdb").open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(2 * 4096)
        file.write(bytes(size - 2 * 4096))
    refused(way, store, StoreCorruptError, "damaged")


def test_a_file_in_the_folder_s_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("x")
    refused(for_reading, tmp_path / "store", StoreMissingError, "no store")
    refused(for_creating, tmp_path / "store", StoreError, "File exists")


def test_a_good_store_is_current(store: Path) -> None:
    replica = open_replica(store, Keyer(), MAX_SIZE)
    replica.check_current()
    replica.close()


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (lambda file: os.truncate(file, 8192), StoreCorruptError, "cut short"),
        (lambda file: file.unlink(), StoreMissingError, "no store"),
        (lambda file: shutil.rmtree(file.parent), StoreMissingError, "no store"),
        (lambda file: file.rename(file.with_suffix(".old")), StoreMissingError, "no store"),
        (lambda file: shutil.copy(file.rename(file.with_suffix(".old")), str(file)), StoreMissingError, "replaced"),
    ],
    ids=["cut short", "file removed", "folder removed", "renamed", "replaced"],
)
def test_what_befalls_an_open_store_is_noticed(
    fault: Callable[[Path], object], error: type[StoreError], words: str, store: Path
) -> None:
    replica = open_replica(store, Keyer(), MAX_SIZE)
    fault(store / "data.mdb")
    with pytest.raises(error, match=words):
        replica.check_current()
    replica.close()


def test_a_store_that_may_not_be_read_is_told(store: Path) -> None:
    with tempfile.TemporaryDirectory() as open_to_all:  # unlike pytest's own, which is root's alone
        folder = Path(shutil.copytree(store, Path(open_to_all) / "store"))
        folder.parent.chmod(0o755)
        folder.chmod(0o755)
        (folder / "data.mdb").chmod(0)
        told = child.run(_OPEN_AS_NOBODY, folder)
    assert told.startswith(f"StoreError {folder}: ")
    assert told.endswith("Permission denied; see to its disk and to who may read and write it\n")


def test_a_full_store_refuses_the_change_whole_and_goes_on(tmp_path: Path) -> None:
    lists = EmbeddedLists(tmp_path / "store", max_size=200 * 1024)
    add(lists, entry("first@example.com"))
    before = lists.origin.position()
    attempts: list[Callable[[], object]] = [
        lambda: add(lists, *(entry(f"user{index}@example.com") for index in range(5000))),
        lambda: load(lists, rows((f"user{index}@example.com" for index in range(5000)), entry("x@example.com"))),
    ]
    for attempt in attempts:
        with pytest.raises(StoreFullError, match=r"/store: no room: .*free disk space or raise store.max_size"):
            attempt()
        assert [one.subject.text for one in everything(lists)] == ["first@example.com"]
        assert lists.origin.position() == before
    add(lists, entry("second@example.com"))
    remove(lists, "first@example.com")
    assert reasons(lists, "second@example.com") == ["manual"]
    lists.close()


def test_a_full_store_takes_more_when_max_size_is_raised(tmp_path: Path) -> None:
    many = [entry(f"user{index}@example.com") for index in range(5000)]
    small = EmbeddedLists(tmp_path / "store", max_size=200 * 1024)
    with pytest.raises(StoreFullError):
        add(small, *many)
    small.close()
    raised = EmbeddedLists(tmp_path / "store")
    assert add(raised, *many).added == 5000
    raised.close()


@pytest.mark.root
@pytest.mark.parametrize("how", ["add", "load"])
def test_a_full_disk_refuses_the_change_whole_and_goes_on(how: str, tmp_path: Path) -> None:
    subjects = [f"user{index}@example.com" for index in range(20_000)]
    with small_disk(tmp_path / "disk", "1m") as disk:
        lists = EmbeddedLists(disk / "store")
        add(lists, entry("first@example.com"))
        with pytest.raises(StoreFullError) as told:
            if how == "add":
                add(lists, *(entry(subject) for subject in subjects))
            else:
                load(lists, rows(subjects, entry("x@example.com")))
        assert str(told.value).startswith(f"{disk}/store: no room: ")
        assert str(told.value).endswith("free disk space or raise store.max_size. Nothing was changed.")
        assert [one.subject.text for one in everything(lists)] == ["first@example.com"]
        assert sorted(path.name for path in lists.folder.iterdir()) == ["data.mdb", "lock.mdb"]
        add(lists, entry("second@example.com"))
        assert [one.subject.text for one in everything(lists)] == ["first@example.com", "second@example.com"]
        lists.close()


_OPEN_AS_NOBODY = """
import os, sys
from pathlib import Path
from sendgate.keys import Keyer
from sendgate.store.errors import StoreError
from sendgate.store.replica import open_replica
if os.geteuid() == 0:  # whom no mode keeps out
    os.setuid(65534)
try:
    open_replica(Path(sys.argv[1]), Keyer(), 2**30)
except StoreError as error:
    print(type(error).__name__, error)
"""
