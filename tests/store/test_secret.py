"""Lists with a secret key: no address in clear anywhere in them, and everything still works from the address."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sendgate.entry import parse_subject
from sendgate.keys import Keyer
from sendgate.store.errors import WrongKeyError
from sendgate.store.origin import LoadOptions
from sendgate.store.replica import open_replica
from store.parts import MAX_SIZE, Lists, add, entry, everything, load, reasons, remove, rows

SECRET = b"a secret of the operator"
DIGEST = hashlib.sha256(b"rosalinde@example.com").hexdigest()
SUBJECTS = ["wilhelmina@example.com", "@secretive.example", "@.hidden.example", "postbox@", f"sha256:{DIGEST}"]
WORDS = [b"wilhelmina", b"secretive", b"hidden", b"postbox", b"ludmilla", b"gmail", DIGEST.encode(), b"adelheid"]
NOTE = "550 5.1.1 <Adelheid@secretive.example>: unknown, see wilhelmina@example.com"
Opens = Callable[..., Lists]


@pytest.fixture
def secret(opens: Opens, tmp_path: Path) -> Iterator[Lists]:
    opened = opens(tmp_path / "store", SECRET)
    add(opened, *(entry(subject) for subject in SUBJECTS), entry("Ludmilla+x@gmail.com", "trap"))
    opened.lookup("nobody@example.com")  # a replica has caught up when it is asked
    yield opened
    opened.close()


def words_in(content: bytes) -> list[bytes]:
    """What must not be there and is, in any case, in clear or in hex."""
    lower = content.lower()
    return [word for word in WORDS if word in lower or word.hex().encode() in lower]


def test_nothing_that_the_lists_keep_shows_an_address(secret: Lists) -> None:
    like = entry("x@example.com", note=NOTE)
    load(secret, rows([f"wilhelmina{index}@secretive.example" for index in range(1000)], like))
    remove(secret, "wilhelmina@example.com")
    add(secret, entry("adelheid@hidden.example", "complaint", note=NOTE))
    assert reasons(secret, "adelheid+x@hidden.example") == ["complaint", "manual"]
    content = secret.at_rest()
    assert len(content) > 1000 * 32
    assert words_in(content) == []


def test_without_a_secret_the_same_look_does_find_the_address(lists: Lists) -> None:
    add(lists, entry("wilhelmina@example.com"))
    assert words_in(lists.at_rest()) == [b"wilhelmina"]


def test_a_note_keeps_all_but_its_addresses(secret: Lists) -> None:
    add(secret, entry("adelheid@example.com", note=NOTE))
    load(secret, rows(["adelheid@example.org"], entry("x@example.com", note=NOTE)))
    for subject in ("adelheid@example.com", "adelheid@example.org"):
        (one,) = secret.origin.get(parse_subject(subject))
        assert one.note == "550 5.1.1 <address>: unknown, see <address>"


def test_without_a_secret_a_note_is_kept_as_it_is(lists: Lists) -> None:
    add(lists, entry("adelheid@example.com", note=NOTE))
    load(lists, rows(["adelheid@example.org"], entry("x@example.com", note=NOTE)))
    assert [one.note for one in everything(lists)] == [NOTE, NOTE]


def test_the_same_note_again_changes_nothing(secret: Lists) -> None:
    given = entry("adelheid@example.com", note=NOTE)
    add(secret, given)
    assert add(secret, given).unchanged == 1
    assert load(secret, [(given.subject, given)]).unchanged == 1


def nameless_files(folder: Path) -> list[Path]:
    """The files that this process has open in a folder, though they have no name there."""
    descriptors = Path("/proc/self/fd").iterdir()
    return [one for one in descriptors if one.is_symlink() and str(one.readlink()).startswith(f"{folder}/#")]


def test_the_working_files_of_an_import_show_no_address(
    secret: Lists, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    like = entry("x@example.com", list_name="partners", note=NOTE)
    load(secret, rows(["adelheid@secretive.example"], like))
    seen: list[bytes] = []

    def look(_phase: str, done: int, all_: int) -> None:
        for folder in (tmp_path / "temporary", tmp_path / "store") if done in (1, all_) else ():
            seen.extend(path.read_bytes() for path in nameless_files(folder))

    subjects = rows([f"wilhelmina{index}@secretive.example" for index in range(1000)], like)
    secret.origin.load(subjects, LoadOptions(replace="partners", force=True), look)
    content = b"".join(seen)
    assert len(content) > 1000 * 32
    assert words_in(content) == []


def test_recipients_are_found_from_their_addresses(secret: Lists) -> None:
    assert reasons(secret, "Wilhelmina@Example.COM") == ["manual"]
    assert reasons(secret, "user@secretive.example") == ["manual"]
    assert reasons(secret, "user@a.b.hidden.example") == ["manual"]
    assert reasons(secret, "postbox@example.org") == ["manual"]
    assert reasons(secret, "Rosalinde@example.com") == ["manual"]
    assert reasons(secret, "l.udmilla@googlemail.com") == ["trap"]
    assert reasons(secret, "other@example.com") == []


@pytest.mark.parametrize("subject", [*SUBJECTS, "lud.milla@gmail.com"])
def test_entries_are_got_and_removed_from_the_address(secret: Lists, subject: str) -> None:
    (one,) = secret.origin.get(parse_subject(subject))
    assert one.subject.text.startswith("key:")
    assert one.subject.kind is parse_subject(subject).kind
    assert remove(secret, subject) == 1
    assert len(everything(secret)) == len(SUBJECTS)


def test_entries_are_got_and_removed_by_what_a_scan_shows(secret: Lists) -> None:
    for one in everything(secret):
        assert secret.origin.get(one.subject) == [one]
        assert remove(secret, one.subject.text) == 1
    assert everything(secret) == []
    assert reasons(secret, "user@secretive.example") == []


def test_what_a_scan_shows_can_be_loaded_into_another_store_with_the_secret(
    secret: Lists, opens: Opens, tmp_path: Path
) -> None:
    other = opens(tmp_path / "other", SECRET)
    load(other, ((one.subject, one) for one in secret.origin.scan()))
    assert reasons(other, "wilhelmina@example.com") == ["manual"]
    assert reasons(other, "user@a.hidden.example") == ["manual"]
    assert reasons(other, "rosalinde@example.com") == ["manual"]
    assert reasons(other, "ludmilla@gmail.com") == ["trap"]
    other.close()


@pytest.mark.parametrize("given", [b"", b"another secret"])
def test_another_secret_is_refused(secret: Lists, given: bytes) -> None:
    with pytest.raises(WrongKeyError, match=r": written with another store.hash_key_file; name that one"):
        secret.again(given)
    again = secret.again(SECRET)
    assert reasons(again, "wilhelmina@example.com") == ["manual"]
    again.close()


def test_the_gate_opens_nothing_with_another_secret(secret: Lists, tmp_path: Path) -> None:
    secret.close()
    for given in (b"", b"another secret"):
        with pytest.raises(WrongKeyError):
            open_replica(tmp_path / "store", Keyer(given), MAX_SIZE)
    open_replica(tmp_path / "store", Keyer(SECRET), MAX_SIZE).close()


def test_lists_without_a_secret_refuse_one(lists: Lists) -> None:
    with pytest.raises(WrongKeyError):
        lists.again(SECRET)


def test_replacing_and_sweeping_work_without_addresses(secret: Lists) -> None:
    like = entry("x@example.com", list_name="partners", expires=1000)
    load(secret, rows([f"wilhelmina{index}@example.com" for index in range(100)], like))
    load(secret, rows([f"wilhelmina{index}@example.com" for index in range(10, 100)], like), replace="partners")
    assert reasons(secret, "wilhelmina9@example.com") == []
    assert secret.sweep(1000) == 90
    assert len(everything(secret)) == len(SUBJECTS) + 1
