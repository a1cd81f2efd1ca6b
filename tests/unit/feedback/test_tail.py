"""Following a log file: its lines, each once, whatever is done to the file meanwhile."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendgate.feedback.log.tail import MAX_LINE, LogFile, Position


class Writer:
    """A log and what is done to it. The times of its files are a minute apart, as if it were never in a hurry."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "maillog"
        self._clock = 1_700_000_000

    def write(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)
        self._touch(self.path)

    def rename(self, name: str) -> Path:
        return self.path.rename(self.path.with_name(name))

    def pack(self, path: Path) -> Path:
        """Gzip a file as gzip(1) does: the packed one has its time."""
        packed = path.with_name(path.name + ".gz")
        changed = path.stat().st_mtime_ns
        packed.write_bytes(gzip.compress(path.read_bytes()))
        os.utime(packed, ns=(changed, changed))
        path.unlink()
        return packed

    def copy_and_truncate(self, name: str) -> None:
        copy = self.path.with_name(name)
        shutil.copyfile(self.path, copy)
        os.truncate(self.path, 0)
        self._touch(copy)
        self._touch(self.path)

    def _touch(self, path: Path) -> None:
        self._clock += 60
        os.utime(path, (self._clock, self._clock))


class Reader:
    """Reads a log; forgets everything but the last position at `restart`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = LogFile(path)
        self._position: Position | None = None
        self.lines: list[str] = []

    def read(self, limit: int = 1 << 20) -> list[str]:
        """What is there to be read now."""
        got: list[str] = []
        while lines := self._file.read(limit):
            got += [line for line, _ in lines]
            self._position = lines[-1][1]
        self.lines += got
        return got

    def read_and_lose(self, keep: int) -> None:
        """Read, and be killed when only so many of the lines were taken in."""
        for line, position in self._file.read()[:keep]:
            self.lines.append(line)
            self._position = position
        self.restart()

    def restart(self) -> None:
        self._file.close()
        saved = self._position and json.dumps(self._position.as_object())
        self._file = LogFile(self._path, Position.of(json.loads(saved)) if saved else None)


@pytest.fixture
def log(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


@pytest.fixture
def reader(log: Writer) -> Reader:
    return Reader(log.path)


def test_a_file_that_is_not_there_yet_has_no_lines(log: Writer, reader: Reader) -> None:
    assert reader.read() == []
    log.write(b"one\n")
    assert reader.read() == ["one"]


def test_half_a_line_waits_for_its_other_half(log: Writer, reader: Reader) -> None:
    log.write(b"one\ntw")
    assert reader.read() == ["one"]
    log.write(b"o\nthree\n")
    assert reader.read() == ["two", "three"]


def test_each_line_has_the_position_behind_it(log: Writer) -> None:
    log.write(b"one\ntwo\nthree\n")
    lines = LogFile(log.path).read()
    for number, (_, position) in enumerate(lines, 1):
        assert [line for line, _ in LogFile(log.path, position).read()] == ["one", "two", "three"][number:]


def test_a_batch_is_no_larger_than_asked_for_and_no_line_is_lost_between_batches(log: Writer) -> None:
    log.write(b"".join(b"%d %s\n" % (number, b"x" * 1000) for number in range(500)))
    file = LogFile(log.path)
    batches = []
    while lines := file.read(100_000):
        batches.append([int(line.split()[0]) for line, _ in lines])
    assert len(batches) > 4
    assert [number for batch in batches for number in batch] == list(range(500))


def test_after_a_restart_reading_goes_on_where_it_was(log: Writer, reader: Reader) -> None:
    log.write(b"one\ntwo\n")
    reader.read()
    reader.restart()
    log.write(b"three\n")
    assert reader.read() == ["three"]


def test_the_rest_of_a_renamed_file_comes_before_the_new_one(log: Writer, reader: Reader) -> None:
    log.write(b"one\n")
    reader.read()
    log.write(b"two\n")
    log.rename("maillog.20261122-030000")
    log.write(b"three\n")
    assert reader.read() == ["two", "three"]


def test_a_renamed_file_is_read_on_until_a_new_one_has_content(log: Writer, reader: Reader) -> None:
    log.write(b"one\n")
    reader.read()
    renamed = log.rename("maillog.1")
    log.path.touch()
    with renamed.open("ab") as file:
        file.write(b"two\n")
    assert reader.read() == ["two"]
    log.write(b"three\n")
    assert reader.read() == ["three"]


def test_a_file_that_was_renamed_while_nobody_read_is_found_again(log: Writer, reader: Reader) -> None:
    log.write(b"one\n")
    reader.read()
    log.write(b"two\n")
    log.rename("maillog-20261122")
    log.write(b"three\n")
    reader.restart()
    assert reader.read() == ["two", "three"]


def test_a_file_that_was_renamed_and_gzipped_while_nobody_read_is_found_again(log: Writer, reader: Reader) -> None:
    log.write(b"one\n")
    reader.read()
    log.write(b"two\n")
    log.pack(log.rename("maillog.20261122-030000"))
    log.write(b"three\n")
    reader.restart()
    assert reader.read() == ["two", "three"]


def test_a_gzipped_file_is_gone_on_with_after_another_restart(log: Writer, reader: Reader) -> None:
    log.write(b"one\ntwo\nthree\n")
    reader.read_and_lose(keep=1)
    log.pack(log.rename("maillog.1"))
    log.write(b"four\n")
    reader.read_and_lose(keep=1)
    assert reader.read() == ["three", "four"]


def test_files_that_were_rotated_between_two_looks_are_read_in_their_order(log: Writer, reader: Reader) -> None:
    log.write(b"one\n")
    reader.read()
    for number, line in enumerate([b"two\n", b"three\n", b"four\n"]):
        log.write(line)
        log.pack(log.rename(f"maillog.2026112{number}-030000"))
    log.write(b"five\n")
    reader.restart()
    assert reader.read() == ["two", "three", "four", "five"]


def test_half_a_line_at_the_end_of_a_rotated_file_counts_as_a_line(log: Writer, reader: Reader) -> None:
    log.write(b"one\ntw")
    reader.read()
    log.rename("maillog.1")
    log.write(b"three\n")
    assert reader.read() == ["tw", "three"]
    reader.restart()
    assert reader.read() == []


def test_a_truncated_file_is_read_from_its_beginning(log: Writer, reader: Reader) -> None:
    log.write(b"one\ntwo\n")
    reader.read()
    os.truncate(log.path, 0)
    log.write(b"three\n")
    assert reader.read() == ["three"]


def test_a_truncated_file_that_has_outgrown_its_old_length_is_read_from_its_beginning(
    log: Writer, reader: Reader
) -> None:
    log.write(b"one\n")
    reader.read()
    os.truncate(log.path, 0)
    log.write(b"two\nthree\nfour\n")
    assert reader.read() == ["two", "three", "four"]


def test_what_was_not_read_before_copy_and_truncate_is_read_from_the_copy(log: Writer, reader: Reader) -> None:
    log.write(b"one\n")
    reader.read()
    log.write(b"two\n")
    log.copy_and_truncate("maillog.1")
    log.write(b"three\n")
    assert reader.read() == ["two", "three"]


def test_a_file_that_lost_its_end_is_not_read_again(log: Writer, reader: Reader) -> None:
    log.write(b"one\ntwo\nthree\n")
    reader.read()
    os.truncate(log.path, len(b"one\ntwo\n"))
    assert reader.read() == []
    log.write(b"four\n")
    assert reader.read() == ["four"]


def test_a_hole_left_by_a_writer_that_did_not_see_the_truncation_is_passed_over(log: Writer, reader: Reader) -> None:
    log.write(b"x" * 80_000 + b"\n" + b"one\n" * 20_000)
    reader.read()
    size = log.path.stat().st_size
    os.truncate(log.path, 0)
    with log.path.open("r+b") as file:
        file.seek(size)
        file.write(b"two\n")
    assert reader.read() == ["two"]
    log.write(b"three\n")
    assert reader.read() == ["three"]


def test_a_file_that_is_replaced_by_another_with_its_inode_is_read_from_its_beginning(
    log: Writer, reader: Reader
) -> None:
    log.write(b"one\ntwo\n")
    reader.read()
    log.path.write_bytes(b"three\nfour\n")  # the same file to the system
    reader.restart()
    assert reader.read() == ["three", "four"]


def test_a_missing_file_ends_nothing(log: Writer, reader: Reader) -> None:
    log.write(b"one\n")
    reader.read()
    log.path.unlink()
    assert reader.read() == []
    reader.restart()
    assert reader.read() == []
    log.write(b"two\n")
    assert reader.read() == ["two"]


def test_a_line_without_end_is_passed_over_up_to_its_end(log: Writer, reader: Reader) -> None:
    log.write(b"one\n" + b"x" * (3 * MAX_LINE))
    assert reader.read() == ["one"]
    log.write(b"y" * (40 * MAX_LINE))
    assert reader.read() == []
    log.write(b"\ntwo\n")
    assert reader.read() == ["two"]


def test_a_line_without_end_is_passed_over_after_a_restart_in_it(log: Writer, reader: Reader) -> None:
    log.write(b"one\n" + b"x" * (3 * MAX_LINE))
    reader.read()
    reader.restart()
    log.write(b"x\ntwo\n")
    assert reader.read() == ["two"]


def test_a_line_of_the_longest_length_is_a_line(log: Writer, reader: Reader) -> None:
    log.write(b"x" * MAX_LINE + b"\n" + b"y" * (MAX_LINE + 1) + b"\nz\n")
    assert [len(line) for line in reader.read()] == [MAX_LINE, 1]


def test_octets_that_are_no_text_do_no_harm(log: Writer, reader: Reader) -> None:
    log.write(b"\xff\xfe \x80\r\nplain\n")
    assert reader.read() == ["�� �", "plain"]


def test_a_copy_beside_the_log_is_not_taken_for_a_rotated_file(log: Writer, reader: Reader) -> None:
    log.write(b"one\n")
    reader.read()
    shutil.copyfile(log.path, log.path.with_name("maillog.bak"))
    log.rename("maillog.1")
    log.write(b"two\n")
    assert reader.read() == ["two"]


def test_a_damaged_gzip_file_ends_nothing(log: Writer, reader: Reader) -> None:
    log.write(b"one\n")
    reader.read()
    log.path.rename(log.path.with_name("gone"))
    log.path.with_name("maillog.1.gz").write_bytes(b"\x1f\x8b\x08\x00 no gzip")
    log.write(b"two\n")
    reader.restart()
    assert reader.read() == ["two"]


STEPS = st.lists(
    st.sampled_from(
        ["line", "line", "lines", "half", "rename", "rename and pack", "copy", "read", "read", "restart", "killed"]
    ),
    max_size=40,
)


class Story:
    """A log that is written, rotated and read in some order, and all the lines it ever had."""

    def __init__(self, folder: Path) -> None:
        self.log = Writer(folder)
        self.reader = Reader(self.log.path)
        self.written: list[str] = []
        self._is_half = False
        self._rotated = 0

    def write(self, end: bytes = b"\n") -> None:
        """The next line, or the rest of one that is half there."""
        if not self._is_half:
            self.written.append(f"line {len(self.written)}")
            self.log.write(self.written[-1].encode())
        self.log.write(end)
        self._is_half = not end

    def rotate(self, how: str) -> None:
        if not self.log.path.exists() or not self.log.path.stat().st_size:
            return
        self._rotated += 1
        name = f"maillog.{self._rotated:08}"
        if how == "copy":
            self.log.copy_and_truncate(name)
        else:
            path = self.log.rename(name)
            if how == "rename and pack":
                self.log.pack(path)
        self._is_half = False

    def step(self, step: str, keep: int) -> None:
        match step:
            case "line":
                self.write()
            case "lines":
                for _ in range(3):
                    self.write()
            case "half":
                self.write(end=b"\n" if self._is_half else b"")
            case "read":
                self.reader.read()
            case "restart":
                self.reader.restart()
            case "killed":
                self.reader.read_and_lose(keep)
            case _:
                self.rotate(step)


@given(steps=STEPS, keep=st.integers(0, 3))
def test_no_line_is_lost_and_none_comes_twice(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], keep: int
) -> None:
    story = Story(tmp_path_factory.mktemp("log"))
    story.write()
    story.reader.read()
    for step in steps:
        story.step(step, keep)
    story.write()
    story.write()
    story.reader.read()
    assert story.reader.lines == story.written
