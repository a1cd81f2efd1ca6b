"""A store with a secret key: no address in clear anywhere in it, and everything still works from the address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sendgate.entry import parse_subject
from sendgate.keys import Keyer
from sendgate.store.errors import WrongKeyError
from sendgate.store.origin import LoadOptions
from sendgate.store.replica import open_replica
from store.parts import MAX_SIZE, EmbeddedLists, add, entry, everything, load, reasons, remove, rows

SECRET = b"a secret of the operator"
SUBJECTS = ["wilhelmina@example.com", "@secretive.example", "@.hidden.example", "postbox@"]
WORDS = [b"wilhelmina", b"secretive", b"hidden", b"postbox", b"ludmilla", b"gmail"]


@pytest.fixture
def secret(tmp_path: Path) -> Iterator[EmbeddedLists]:
    opened = EmbeddedLists(tmp_path / "store", SECRET)
    add(opened, *(entry(subject) for subject in SUBJECTS), entry("Ludmilla+x@gmail.com", "trap"))
    yield opened
    opened.close()


def test_no_file_of_the_store_shows_an_address(secret: EmbeddedLists) -> None:
    load(secret, rows([f"wilhelmina{index}@secretive.example" for index in range(1000)], entry("x@example.com")))
    files = [path for path in secret.folder.rglob("*") if path.is_file()]
    assert files
    content = b"".join(path.read_bytes() for path in files).lower()
    assert [word for word in WORDS if word in content] == []


def nameless_files(folder: Path) -> list[Path]:
    """The files that this process has open in a folder, though they have no name there."""
    descriptors = Path("/proc/self/fd").iterdir()
    return [one for one in descriptors if one.is_symlink() and str(one.readlink()).startswith(f"{folder}/#")]


def test_the_working_files_of_an_import_show_no_address(secret: EmbeddedLists) -> None:
    seen: list[bytes] = []

    def look(_phase: str, _done: int, _all: int) -> None:
        seen.extend(path.read_bytes() for path in nameless_files(secret.folder))

    subjects = rows([f"wilhelmina{index}@secretive.example" for index in range(1000)], entry("x@example.com"))
    secret.origin.load(subjects, LoadOptions(), look)
    content = b"".join(seen)
    assert len(content) > 1000 * 32
    assert [word for word in WORDS if word in content] == []


def test_without_a_secret_the_same_look_does_find_the_address(tmp_path: Path) -> None:
    lists = EmbeddedLists(tmp_path / "store")
    add(lists, entry("wilhelmina@example.com"))
    assert b"wilhelmina" in (lists.folder / "data.mdb").read_bytes()
    lists.close()


def test_recipients_are_found_from_their_addresses(secret: EmbeddedLists) -> None:
    assert reasons(secret, "Wilhelmina@Example.COM") == ["manual"]
    assert reasons(secret, "user@secretive.example") == ["manual"]
    assert reasons(secret, "user@a.b.hidden.example") == ["manual"]
    assert reasons(secret, "postbox@example.org") == ["manual"]
    assert reasons(secret, "l.udmilla@googlemail.com") == ["trap"]
    assert reasons(secret, "other@example.com") == []


@pytest.mark.parametrize("subject", [*SUBJECTS, "lud.milla@gmail.com"])
def test_entries_are_got_and_removed_from_the_address(secret: EmbeddedLists, subject: str) -> None:
    (one,) = secret.origin.get(parse_subject(subject))
    assert one.subject.text.startswith("key:")
    assert one.subject.kind is parse_subject(subject).kind
    assert remove(secret, subject) == 1
    assert len(everything(secret)) == len(SUBJECTS)


def test_entries_are_got_and_removed_by_what_a_scan_shows(secret: EmbeddedLists) -> None:
    for one in everything(secret):
        assert secret.origin.get(one.subject) == [one]
        assert remove(secret, one.subject.text) == 1
    assert everything(secret) == []
    assert reasons(secret, "user@secretive.example") == []


def test_what_a_scan_shows_can_be_loaded_into_another_store_with_the_secret(
    secret: EmbeddedLists, tmp_path: Path
) -> None:
    other = EmbeddedLists(tmp_path / "other", SECRET)
    load(other, ((one.subject, one) for one in secret.origin.scan()))
    assert reasons(other, "wilhelmina@example.com") == ["manual"]
    assert reasons(other, "user@a.hidden.example") == ["manual"]
    assert reasons(other, "ludmilla@gmail.com") == ["trap"]
    other.close()


@pytest.mark.parametrize("given", [b"", b"another secret"])
def test_another_secret_is_refused(secret: EmbeddedLists, given: bytes) -> None:
    secret.close()
    with pytest.raises(WrongKeyError, match=r"/store: written with another store.hash_key_file; name that one"):
        EmbeddedLists(secret.folder, given)
    with pytest.raises(WrongKeyError):
        open_replica(secret.folder, Keyer(given), MAX_SIZE)
    again = EmbeddedLists(secret.folder, SECRET)
    assert reasons(again, "wilhelmina@example.com") == ["manual"]
    again.close()


def test_a_store_without_secret_refuses_one(tmp_path: Path) -> None:
    EmbeddedLists(tmp_path / "store").close()
    with pytest.raises(WrongKeyError):
        EmbeddedLists(tmp_path / "store", SECRET)


def test_replacing_and_sweeping_work_without_addresses(secret: EmbeddedLists) -> None:
    like = entry("x@example.com", list_name="partners", expires=1000)
    load(secret, rows([f"wilhelmina{index}@example.com" for index in range(100)], like))
    load(secret, rows([f"wilhelmina{index}@example.com" for index in range(10, 100)], like), replace="partners")
    assert reasons(secret, "wilhelmina9@example.com") == []
    assert secret.sweep(1000) == 90
    assert len(everything(secret)) == len(SUBJECTS) + 1
