"""A change of the embedded store's secret that is killed in the middle, and one that others work beside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

from sendgate.entry import parse_subject
from store.parts import add, entry, load, rows
from store.two_keys import BOTH, ONLY_NEW, ONLY_OLD, Embedded
from unit import child

PEOPLE = [f"person{number}@example.com" for number in range(25_000)]
_CHANGE = """
import sys
from pathlib import Path
from sendgate.entry import parse_subject
from store.two_keys import BOTH, Embedded
def progress(phase, done, all):
    print("waiting", flush=True)
    sys.stdin.readline()
people = [f"person{number}@example.com" for number in range(25_000)]
lists = Embedded(Path(sys.argv[1]), BOTH)
print(lists.origin.rekey(map(parse_subject, people), progress, dry_run=False).moved)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with a long list under the secret before."""
    with closing(Embedded(tmp_path / "store", ONLY_OLD)) as lists:
        load(lists, rows(PEOPLE, entry(PEOPLE[0])))
    return tmp_path / "store"


@contextmanager
def half_done(folder: Path) -> Iterator[Popen[str]]:
    """A change in a process of its own, which waits when it has moved a part; killed at the end."""
    process = child.start(_CHANGE, folder)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "waiting", process.communicate()[1]
        yield process
    finally:
        process.kill()
        process.communicate()


def released(lists: Embedded) -> int:
    return sum(not lists.lookup(person) for person in PEOPLE)


def test_a_kill_leaves_every_entry_in_force_and_the_same_again_does_the_rest(folder: Path) -> None:
    with half_done(folder):
        pass
    with closing(Embedded(folder, ONLY_NEW)) as lists:
        assert 0 < released(lists) < len(PEOPLE)
    with closing(Embedded(folder, BOTH)) as lists:
        assert released(lists) == 0
        done = lists.origin.rekey(map(parse_subject, PEOPLE), lambda *_: None, dry_run=False)
        assert not done.changed
        assert (done.moved + done.already, done.unnamed) == (len(PEOPLE), 0)
        assert 0 < done.moved < len(PEOPLE)
    with closing(Embedded(folder, ONLY_NEW)) as lists:
        assert released(lists) == 0


def test_others_read_and_write_in_between(folder: Path) -> None:
    with half_done(folder) as process:
        with closing(Embedded(folder, BOTH)) as lists:
            assert released(lists) == 0
            add(lists, entry("new@example.com"))
        out, errors = process.communicate("\n" * 300, timeout=60)
        assert process.returncode == 0, errors
        assert out.split()[-1] == str(len(PEOPLE))
    with closing(Embedded(folder, ONLY_NEW)) as lists:
        assert released(lists) == 0
        assert lists.lookup("new@example.com")
