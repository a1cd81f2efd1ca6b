"""`export` and `import`: what one writes the other reads with nothing lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.parts import LISTS, Program


@pytest.fixture
def filled(sendgate: Program) -> Program:
    for name in ("plain.txt", "header.csv", "several_lines.csv", "entries.jsonl"):
        sendgate("import", LISTS / name, "--reason", "manual")
    sendgate("add", "gustav@bücher.example", "--reason", "allow", "--expires", "30d", "--note", 'é "quoted"; odd')
    return sendgate


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_comes_back_with_nothing_lost(form: str, filled: Program) -> None:
    before = filled.exported()
    path = filled.folder / f"all.{form}"
    assert filled("export", "--format", form, "--output", path).status == 0
    filled.store = filled.folder / "other"
    filled.configure()
    assert filled("import", path).status == 0
    assert sorted(map(str, filled.exported())) == sorted(map(str, before))


def test_an_export_to_stdout_is_what_a_file_would_be(filled: Program) -> None:
    path = filled.folder / "all.csv"
    filled("export", "--output", path)
    assert filled("export").out == path.read_text(encoding="utf-8")
    assert filled.separately("export").out == path.read_text(encoding="utf-8")


def test_hashed_subjects_come_back_into_a_store_with_the_same_secret(sendgate: Program) -> None:
    (sendgate.folder / "secret").write_text("a secret\n")
    sendgate.config.write_text(
        f"store: {{url: 'lmdb://{sendgate.folder}/a', hash_key_file: '{sendgate.folder}/secret'}}\n"
    )
    sendgate("add", "anna@example.com", "@spam.example", "--reason", "manual")
    exported = sendgate("export").out
    assert "anna" not in exported
    sendgate.config.write_text(sendgate.config.read_text().replace("/a'", "/b'"))
    assert sendgate("import", "-", stdin=exported.encode()).status == 0
    assert sendgate("explain", "anna@example.com").status == 1
    assert sendgate("explain", "user@spam.example").status == 1
    assert sendgate("explain", "user@example.org").status == 0


@pytest.mark.parametrize(
    ("options", "subjects"),
    [
        (["--list", "partners"], ["anna@example.com", "anna@example.com"]),
        (["--reason", "hard_bounce"], ["bert@example.com"]),
        (["--scope", "campaign:sale"], ["anna@example.com"]),
        (["--list", "partners", "--reason", "trap", "--scope", "stream:news"], ["anna@example.com"]),
        (["--list", "nothing"], []),
    ],
)
def test_an_export_is_narrowed(options: list[str], subjects: list[str], filled: Program) -> None:
    assert filled.subjects(*options) == subjects


def test_an_export_that_cannot_be_written_is_told_and_leaves_no_file(filled: Program) -> None:
    answer = filled("export", "--output", filled.folder / "none" / "all.csv")
    assert answer.status == 2
    assert "No such file or directory" in answer.errors
    assert list(Path(filled.folder).glob(".all*")) == []


def test_an_export_into_a_closed_pipe_ends_in_silence(filled: Program) -> None:
    lines = b"".join(b"user%d@example.com\n" % number for number in range(20_000))
    filled("import", "-", "--reason", "manual", stdin=lines)
    with filled.start("export") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
