"""`import`: each format, and what it makes of odd files. The files are in tests/data/lists."""

from __future__ import annotations

import gzip
import re

import pytest

from cli.parts import LISTS, Program

FIVE = ['"two words"@example.com', "anna@example.com", "bert@example.com", "dora@example.com", "postmaster@"]
HASH = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
TWO = ["anna@example.com", "bert@example.com"]

IMPORTED = {
    "plain.txt": [*FIVE, "@.parked.example", "@spam.example", HASH],
    "odd.txt": [*TWO, "carla@example.com"],
    "header.csv": TWO,
    "semicolons.csv": TWO,
    "tabs.tsv": TWO,
    "no_header.csv": TWO,
    "several_lines.csv": TWO,
    "broken.csv": ["bert@example.com", "hanna@example.com"],
    "postal.csv": ["anna@example.com"],
    "entries.jsonl": ["@spam.example", "anna@example.com"],
    "odd.jsonl": ["anna@example.com", "ida@example.com"],
}
"""The subjects that each file must give."""

BAD = {
    "odd.txt": {3: "no domain", 5: "not UTF-8", 6: "md5 takes 32 hex digits"},
    "no_header.csv": {3: "2 fields, but no first line that names them"},
    "several_lines.csv": {5: "no domain"},
    "broken.csv": {
        2: "not csv",
        4: "2 fields, but the first line names 3",
        5: "'nonsense' is no reason",
        6: "not csv",
        7: "no reason",
        8: "4 fields, but the first line names 3",
    },
    "odd.jsonl": {
        2: "not JSON",
        4: "not a JSON object",
        5: "not a JSON object",
        6: "no key is named subject, email or address",
        7: "email must be text",
        8: "no reason",
        9: "'yesterday' is no time",
        10: "write dates as 2031-12-31",
        11: "out of range",
        12: "is no list name",
    },
}
"""The numbers of the bad lines of each file, and why they are."""

_NEEDS_REASON = ("plain.txt", "odd.txt", "no_header.csv")


def arguments(name: str) -> list[str]:
    return ["--reason", "manual"] if name in _NEEDS_REASON else []


@pytest.mark.parametrize("name", IMPORTED)
def test_a_file_gives_its_subjects(name: str, sendgate: Program) -> None:
    answer = sendgate("import", LISTS / name, *arguments(name))
    assert answer.status == (1 if name in BAD else 0)
    assert sendgate.subjects() == sorted(IMPORTED[name])


@pytest.mark.parametrize("name", BAD)
def test_bad_lines_are_told_with_their_numbers(name: str, sendgate: Program) -> None:
    answer = sendgate("import", LISTS / name, *arguments(name))
    told = {int(match[1]): line for line in answer.complaints if (match := re.match(r"line (\d+): ", line))}
    assert sorted(told) == sorted(BAD[name])
    for number, reason in BAD[name].items():
        assert reason in told[number]


@pytest.mark.parametrize("name", IMPORTED)
def test_a_gzipped_file_gives_the_same_whatever_its_name(name: str, sendgate: Program) -> None:
    packed = sendgate.folder / "list"
    packed.write_bytes(gzip.compress((LISTS / name).read_bytes()))
    form = {"tsv": "csv"}.get(name.rpartition(".")[2], name.rpartition(".")[2])
    sendgate("import", packed, "--format", form, *arguments(name))
    assert sendgate.subjects() == sorted(IMPORTED[name])


@pytest.mark.parametrize("name", [name for name in IMPORTED if name != "no_header.csv"])
def test_stdin_is_understood_by_its_content(name: str, sendgate: Program) -> None:
    sendgate("import", "-", *arguments(name), stdin=(LISTS / name).read_bytes())
    assert sendgate.subjects() == sorted(IMPORTED[name])


def test_columns_become_attributes(sendgate: Program) -> None:
    sendgate("import", LISTS / "header.csv")
    assert sendgate.exported("--list", "partners") == [
        {
            "subject": "anna@example.com",
            "reason": "trap",
            "scope": "campaign:sale",
            "list": "partners",
            "origin": "feedback",
            "created": "2025-01-02T00:00:00Z",
            "expires": "2031-01-01T00:00:00Z",
            "strikes": 3,
            "note": 'said "no", twice',
        }
    ]


def test_empty_fields_become_defaults(sendgate: Program) -> None:
    sendgate("import", LISTS / "header.csv", "--scope", "stream:news")
    (entry,) = sendgate.exported("--list", "default")
    assert entry == {
        "subject": "bert@example.com",
        "reason": "hard_bounce",
        "scope": "stream:news",
        "list": "default",
        "origin": "import",
        "created": "2025-01-02T00:00:00Z",
        "expires": None,
        "strikes": 1,
        "note": "",
    }


def test_keys_of_objects_become_attributes_in_any_order(sendgate: Program) -> None:
    sendgate("import", LISTS / "entries.jsonl")
    first, second = sorted(sendgate.exported(), key=lambda entry: str(entry["reason"]), reverse=True)
    assert (first["scope"], first["list"], first["note"], first["strikes"]) == ("stream:news", "partners", "é", 2)
    assert (second["reason"], second["note"]) == ("manual", "keys in another order")


def test_line_breaks_in_a_note_become_spaces(sendgate: Program) -> None:
    sendgate("import", LISTS / "several_lines.csv")
    assert "one two three" in [entry["note"] for entry in sendgate.exported()]


def test_columns_that_mean_nothing_are_named(sendgate: Program) -> None:
    assert sendgate("import", LISTS / "header.csv", "--json").json["ignored_columns"] == ["First Name"]
    assert sendgate("import", LISTS / "entries.jsonl", "--json").json["ignored_columns"] == ["score"]


def test_a_column_named_email_is_taken_before_one_named_address(sendgate: Program) -> None:
    answer = sendgate("import", LISTS / "postal.csv", "--json")
    assert answer.json["ignored_columns"] == ["Address"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfea\x00@\x00", "UTF-16"),
        (gzip.compress(b"a@example.com\n" * 1000)[:-9], "damaged gzip"),
        (b"\x1f\x8bno gzip at all", "damaged gzip"),
    ],
    ids=["UTF-16", "cut short", "no gzip"],
)
def test_a_file_that_cannot_be_read_is_refused_whole(content: bytes, words: str, sendgate: Program) -> None:
    (sendgate.folder / "list.txt").write_bytes(content)
    answer = sendgate("import", sendgate.folder / "list.txt", "--reason", "manual")
    assert answer.status == 2
    assert words in answer.errors
    assert not sendgate.store.exists()


def test_a_csv_without_a_column_of_addresses_is_refused_whole(sendgate: Program) -> None:
    answer = sendgate("import", LISTS / "no_address.csv")
    assert answer.status == 2
    assert "line 1: no column is named subject, email or address" in answer.errors
    assert not sendgate.store.exists()


@pytest.mark.parametrize("name", ["plain.txt", "no_header.csv"])
def test_a_file_that_can_have_no_reasons_needs_one(name: str, sendgate: Program) -> None:
    answer = sendgate("import", LISTS / name)
    assert answer.status == 2
    assert "--reason" in answer.errors


def test_a_line_without_an_end_is_bad_and_costs_no_memory(sendgate: Program) -> None:
    content = b"anna@example.com\n" + b"x" * 3_000_000 + b"\nbert@example.com\n"
    answer = sendgate("import", "-", "--reason", "manual", "--format", "txt", stdin=content)
    assert answer.status == 1
    assert "line 2: longer than 65,536 characters" in answer.errors
    assert len(answer.errors) < 300
    assert sendgate.subjects() == TWO


def test_a_quote_that_is_never_closed_costs_one_line_however_long_the_file_is(sendgate: Program) -> None:
    good = b"".join(b"user%d@example.com,manual\n" % number for number in range(10_000))
    content = b'email,reason\n"anna@example.com,manual\n' + good
    answer = sendgate("import", "-", "--json", stdin=content)
    assert answer.json["added"] == 10_000
    assert answer.json["bad_lines"] == 1
    assert answer.json["lines"] == 10_002


def test_lines_of_one_file_that_name_the_same_address_make_one_entry(sendgate: Program) -> None:
    content = b"anna@example.com\nAnna@Example.com\n<anna@example.com>\n"
    answer = sendgate("import", "-", "--reason", "manual", "--json", stdin=content)
    assert (answer.json["lines"], answer.json["added"], answer.json["unchanged"]) == (3, 1, 2)
