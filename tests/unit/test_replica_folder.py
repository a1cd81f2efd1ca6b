"""A pod's replica on disk: which version is served, and how old it is."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sendgate.store.errors import StoreError, StoreMissingError
from sendgate.store.replica_folder import ReplicaFolder
from trial.waiting import wait_until
from unit import child

NOW = 1_790_000_000.0
_SWITCH = """
import sys
from pathlib import Path
from sendgate.store.replica_folder import ReplicaFolder
folder = ReplicaFolder(Path(sys.argv[1]))
versions = [folder.new_version() for _ in range(2)]
folder.switch(versions[0])
print("switched", flush=True)
while True:
    for version in versions:
        folder.switch(version)
        folder.mark_in_step(1_790_000_000)
"""


@pytest.fixture
def folder(tmp_path: Path) -> ReplicaFolder:
    return ReplicaFolder(tmp_path / "replica")


@contextmanager
def switching(folder: ReplicaFolder) -> Iterator[subprocess.Popen[str]]:
    """A process that switches between two versions without a pause; it is killed at the end."""
    process = child.start(_SWITCH, folder.folder)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "switched\n", process.communicate()[1]
        yield process
    finally:
        process.kill()
        process.communicate()


def made_current(folder: ReplicaFolder) -> Path:
    version = folder.new_version()
    (version / "data.mdb").write_bytes(b"lists")
    folder.switch(version)
    return version


def test_without_a_version_there_is_no_replica(folder: ReplicaFolder) -> None:
    with pytest.raises(StoreMissingError, match="no replica yet"):
        folder.current()


def test_a_version_is_served_when_it_is_switched_to_and_not_before(folder: ReplicaFolder) -> None:
    version = folder.new_version()
    with pytest.raises(StoreMissingError):
        folder.current()
    folder.switch(version)
    assert folder.current() == version


def test_a_new_version_is_beside_the_current_one(folder: ReplicaFolder) -> None:
    first = made_current(folder)
    second = folder.new_version()
    assert second != first
    assert (folder.current(), list(second.iterdir())) == (first, [])
    assert (first / "data.mdb").read_bytes() == b"lists"


def test_there_is_a_current_version_at_every_moment_of_a_switch(folder: ReplicaFolder) -> None:
    with switching(folder):
        seen = [folder.current() for _ in range(20_000)]
    assert {path.is_dir() for path in set(seen)} == {True}
    assert len(set(seen)) == 2


def test_an_age_is_told_at_every_moment(folder: ReplicaFolder) -> None:
    with switching(folder):
        wait_until(lambda: folder.age(NOW) == 0, 10, "the replica is in step")
        assert {folder.age(NOW) for _ in range(5_000)} == {0.0}


@pytest.mark.parametrize("attempt", range(3))
def test_a_process_that_is_killed_while_it_switches_leaves_a_current_version(
    folder: ReplicaFolder, attempt: int
) -> None:
    with switching(folder) as process:
        for _ in range(attempt * 500):
            folder.current()
        process.kill()
        process.wait()
    kept = folder.current()
    assert kept.is_dir()
    folder.tidy()
    assert {path for path in folder.folder.iterdir() if "in_step" not in path.name} == {kept, folder.folder / "current"}


def test_tidying_keeps_the_current_version_alone(folder: ReplicaFolder) -> None:
    old, current, begun = made_current(folder), made_current(folder), folder.new_version()
    (folder.folder / f"{begun.name}.link").symlink_to(begun.name)
    folder.mark_in_step(NOW)
    folder.tidy()
    assert not old.exists()
    assert sorted(path.name for path in folder.folder.iterdir()) == sorted(["current", "in_step", current.name])
    assert folder.current() == current


def test_tidying_without_a_current_version_removes_what_was_begun(folder: ReplicaFolder) -> None:
    folder.new_version()
    folder.tidy()
    assert list(folder.folder.iterdir()) == []


def test_tidying_leaves_the_files_of_others_alone(folder: ReplicaFolder) -> None:
    made_current(folder)
    (folder.folder / "lost+found").mkdir()
    (folder.folder / "notes.txt").write_text("of the operator")
    folder.tidy()
    assert (folder.folder / "lost+found").is_dir()
    assert (folder.folder / "notes.txt").exists()


def test_a_deleted_version_can_be_read_by_those_who_have_it_open(folder: ReplicaFolder) -> None:
    with (made_current(folder) / "data.mdb").open("rb") as file:
        made_current(folder)
        folder.tidy()
        assert file.read() == b"lists"


def test_discarding_ends_serving_and_leaves_the_version_to_the_next_tidying(folder: ReplicaFolder) -> None:
    version = made_current(folder)
    folder.mark_in_step(NOW)
    folder.discard()
    with pytest.raises(StoreMissingError):
        folder.current()
    assert folder.age(NOW) == float("inf")
    assert version.is_dir()
    folder.discard()


def test_a_replica_ages_from_when_it_was_in_step(folder: ReplicaFolder) -> None:
    made_current(folder)
    folder.mark_in_step(NOW)
    assert folder.age(NOW) == 0
    assert folder.age(NOW + 90.5) == 90.5
    folder.mark_in_step(NOW + 90)
    assert folder.age(NOW + 90.5) == 0.5


def test_a_clock_that_was_set_back_makes_no_replica_younger_than_new(folder: ReplicaFolder) -> None:
    made_current(folder)
    folder.mark_in_step(NOW)
    assert folder.age(NOW - 3600) == 0


def test_a_replica_that_never_was_in_step_is_endlessly_old(folder: ReplicaFolder) -> None:
    assert folder.age(NOW) == float("inf")
    made_current(folder)
    assert folder.age(NOW) == float("inf")


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"soon\n", b"\xff\xfe", b"17900", b"\0" * 15, b"-inf\n", b"nan\n", b"inf\n"]
)
def test_a_broken_in_step_file_makes_no_replica_young(folder: ReplicaFolder, content: bytes) -> None:
    made_current(folder)
    (folder.folder / "in_step").write_bytes(content)
    assert folder.age(NOW) > 10**9
    folder.mark_in_step(NOW)
    assert folder.age(NOW) == 0


def test_an_in_step_file_that_cannot_be_read_makes_no_replica_young(folder: ReplicaFolder) -> None:
    made_current(folder)
    (folder.folder / "in_step").mkdir()
    assert folder.age(NOW) == float("inf")
    with pytest.raises(StoreError):
        folder.mark_in_step(NOW)


def test_a_replica_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "replica").write_text("")
    with pytest.raises(StoreError, match="/replica"):
        ReplicaFolder(tmp_path / "replica").new_version()


def test_a_folder_that_moved_still_has_its_replica(folder: ReplicaFolder, tmp_path: Path) -> None:
    name = made_current(folder).name
    folder.folder.rename(tmp_path / "elsewhere")
    assert ReplicaFolder(tmp_path / "elsewhere").current() == tmp_path / "elsewhere" / name


def test_others_may_not_read_a_version(folder: ReplicaFolder) -> None:
    assert folder.new_version().stat().st_mode & 0o007 == 0
