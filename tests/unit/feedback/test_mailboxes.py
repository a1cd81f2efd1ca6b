"""Messages out of files and folders: all of them, one at a time, whatever is in there."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sendgate.feedback.mail.mailboxes import MOST_OCTETS, messages_in

MESSAGE = b"From: a@example.com\nSubject: one\n\nfirst\n\nFrom here on it is text\n>From quoted\n>>From twice\n"
FROM = b"From MAILER-DAEMON Tue Apr  7 09:16:02 2026\n"


def read(path: Path) -> list[tuple[str, bytes]]:
    return [(name.removeprefix(f"{path.parent}/"), data) for name, data in messages_in(path)]


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_file_is_a_message(tmp_path: Path) -> None:
    assert read(write(tmp_path / "one.eml", MESSAGE)) == [("one.eml", MESSAGE)]


@pytest.mark.parametrize(
    "line",
    [
        FROM,
        b"From a@example.com Tue Apr 07 09:16:02 2026\r\n",
        b"From - Tue Apr  7 09:16:02 2026\n",
        b'From "a b"@example.com  Tue Apr  7 09:16:02 +0200 2026 remote from x\n',
        b"From a@example.com Tue, 7 Apr 2026 09:16:02 +0000\n",
        b"From Hello There Tue Apr  7 09:16:02 2026\n",
    ],
)
def test_an_mbox_gives_its_messages_by_number_with_from_lines_unquoted(tmp_path: Path, line: bytes) -> None:
    path = write(tmp_path / "old.mbox", line + MESSAGE + b"\n" + line + b"Subject: two\n\nsecond\n\n" + line)
    assert read(path) == [
        ("old.mbox#1", MESSAGE.replace(b">From quoted", b"From quoted").replace(b">>From", b">From")),
        ("old.mbox#2", b"Subject: two\n\nsecond\n"),
        ("old.mbox#3", b""),
    ]


def test_an_mbox_of_one_message_and_an_eml_with_from_lines_are_one_message(tmp_path: Path) -> None:
    assert read(write(tmp_path / "single", FROM + b"Subject: x\n\ny\n")) == [("single", b"Subject: x\n\ny\n")]
    data = FROM + b"Subject: x\n\ny\n\n" + FROM + b"Subject: z\n\n"
    assert read(write(tmp_path / "one.eml", data)) == [("one.eml", data)]


def test_a_from_line_within_a_paragraph_begins_no_message(tmp_path: Path) -> None:
    data = b"Subject: x\n\nIt said\n" + FROM + b"and more\n\nFrom now on, 12:30:00 is noon\n"
    assert read(write(tmp_path / "m", FROM + data)) == [("m", data)]


def test_lines_may_end_with_cr_lf(tmp_path: Path) -> None:
    data = (FROM + b"Subject: x\n\ny\n\n" + FROM + b"Subject: z\n\n").replace(b"\n", b"\r\n")
    assert [message for _, message in read(write(tmp_path / "m", data))] == [
        b"Subject: x\r\n\r\ny\r\n",
        b"Subject: z\r\n",
    ]


def test_gzipped_files_are_read_by_their_content(tmp_path: Path) -> None:
    packed = gzip.compress(FROM + b"Subject: x\n\n\n" + FROM + b"Subject: y\n\n")
    for name in ("m.mbox.gz", "m"):
        assert [one for one, _ in read(write(tmp_path / name, packed))] == [f"{name}#1", f"{name}#2"]
    assert read(write(tmp_path / "one.eml.gz", gzip.compress(FROM + MESSAGE))) == [("one.eml.gz", FROM + MESSAGE)]


def test_damaged_gzip_ends_where_it_is_damaged(tmp_path: Path) -> None:
    packed = gzip.compress(FROM + b"Subject: x\n\n\n" + FROM + b"Subject: y\n\n" + os.urandom(100_000))
    names = [name for name, _ in read(write(tmp_path / "m", packed[:50_000]))]
    assert names == ["m#1", "m#2"]
    assert len(read(write(tmp_path / "header", packed[:5]))) == 1
    assert len(read(write(tmp_path / "changed", packed[:60] + b"\xff" * 500 + packed[560:]))) >= 1


def test_a_maildir_gives_what_is_delivered_in_all_its_folders(tmp_path: Path) -> None:
    for folder in ("box", "box/.Junk"):
        for name in ("new/3.host", "cur/1.host:2,S", "tmp/2.host"):
            write(tmp_path / folder / name, name.encode())
    write(tmp_path / "box/dovecot-uidlist", b"3 V1 N2")
    write(tmp_path / "box/cur/.hidden", b"")
    assert [name for name, _ in read(tmp_path / "box")] == [
        "box/.Junk/cur/1.host:2,S",
        "box/.Junk/new/3.host",
        "box/cur/1.host:2,S",
        "box/new/3.host",
    ]


def test_a_folder_gives_all_that_is_in_it_but_hidden_and_special_files(tmp_path: Path) -> None:
    box = tmp_path / "box"
    for name in ("b.eml", "a.eml", "sub/c.eml", ".hidden/d.eml", ".e.eml"):
        write(box / name, name.encode())
    write(box / "d.mbox", FROM + b"A: b\n\n\n" + FROM + b"A: c\n\n")
    os.mkfifo(box / "pipe")
    (box / "sub/loop").symlink_to(box)
    (box / "gone").symlink_to(box / "nowhere")
    assert [name for name, _ in read(box)] == [
        "box/a.eml",
        "box/b.eml",
        "box/d.mbox#1",
        "box/d.mbox#2",
        "box/sub/c.eml",
    ]


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(messages_in(tmp_path / "nowhere"))


def test_an_empty_file_is_an_empty_message(tmp_path: Path) -> None:
    assert read(write(tmp_path / "empty", b"")) == [("empty", b"")]


def test_a_pipe_can_be_read() -> None:
    reading, writing = os.pipe()
    os.write(writing, FROM + b"A: b\n\n\n" + FROM + b"A: c\n\n")
    os.close(writing)
    assert [data for _, data in messages_in(Path(f"/dev/fd/{reading}"))] == [b"A: b\n\n", b"A: c\n"]
    os.close(reading)


def test_memory_stays_small_however_long_an_mbox_or_a_message_is(tmp_path: Path) -> None:
    path = tmp_path / "long"
    with path.open("wb") as file:
        for number in range(12):
            file.write(
                FROM
                + b"Subject: %d\n\n" % number
                + b"x" * 100_000
                + b"\n"
                + b"text\n" * 20_000
                + (b"z" * 999 + b"\n") * 4_000
                + b"\n"
            )
        file.write(FROM + b"A: b\n\n" + b"y" * 40_000_000)
    tracemalloc.start()
    sizes = [len(data) for _, data in messages_in(path)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(sizes) == 13
    assert MOST_OCTETS <= max(sizes) < MOST_OCTETS + 100_000
    assert peak < 30_000_000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    st.lists(
        st.sampled_from([FROM, b"\n", b"\r", b"From ", b">From x\n", b"A: b\n", b"\x1f\x8b\x08", b"\x00", b"\xff"])
    )
)
def test_any_octets_are_read(tmp_path: Path, pieces: list[bytes]) -> None:
    assert len(read(write(tmp_path / "any", b"".join(pieces)))) >= 1
