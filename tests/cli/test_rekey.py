"""`sendgate rekey`: what it takes, what it answers, what it refuses."""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cli.parts import Program
from store.parts import shared_server

PEOPLE = ["anna@example.com", "bert@example.org", "carla@example.net"]
ALL = "\n".join(PEOPLE).encode()

Use = Callable[..., None]


@pytest.fixture(params=["embedded", "shared"])
def use(request: pytest.FixtureRequest, sendgate: Program) -> Use:
    """Writes the settings: which secrets are used. Three people are listed under the first."""
    url = f"lmdb://{sendgate.store}" if request.param == "embedded" else shared_server().url
    prefix = f"test-{uuid.uuid4()}"

    def write(current: str, previous: str | None = None) -> None:
        store: dict[str, object] = {"url": url, "prefix": prefix, "shards": 4, "buckets": 64}
        for key, secret in (("hash_key_file", current), ("previous_hash_key_file", previous)):
            if secret is not None:
                (sendgate.folder / secret).write_text(f"the secret {secret}\n")
                store[key] = str(sendgate.folder / secret)
        sendgate.config.write_text(yaml.safe_dump({"store": store}))

    write("first")
    assert sendgate("add", *PEOPLE, "--reason", "manual", "--note", "by phone").status == 0
    return write


def passes(sendgate: Program, *addresses: str) -> list[bool]:
    """Whether addresses pass, each."""
    return [sendgate("explain", address).status == 0 for address in addresses]


def test_entries_move_and_the_secret_before_is_not_needed_any_more(sendgate: Program, use: Use) -> None:
    use("second", "first")
    answer = sendgate("rekey", "-", stdin=ALL)
    assert (answer.status, answer.errors) == (0, "")
    assert "moved           3" in answer.out
    assert "every entry is under the current secret" in answer.out
    use("second")
    assert passes(sendgate, *PEOPLE) == [False] * 3
    assert [entry["note"] for entry in sendgate.exported()] == ["by phone"] * 3


def test_what_is_left_is_counted_and_makes_it_a_no(sendgate: Program, use: Use) -> None:
    use("second", "first")
    answer = sendgate("rekey", "-", stdin=PEOPLE[0].encode())
    assert answer.status == 1
    assert answer.out.splitlines()[-1] == (
        "2 entries were not named by the file; they stay in force for as long as store.previous_hash_key_file is set"
    )
    assert passes(sendgate, *PEOPLE) == [False] * 3


def test_it_answers_as_json(sendgate: Program, use: Use) -> None:
    use("second", "first")
    answer = sendgate("rekey", "-", "--json", stdin=PEOPLE[0].encode() + b"\nno address\n").json
    del answer["seconds"]
    assert answer == {
        "dry_run": False, "lines": 2, "bad_lines": 1, "secret_changed": True, "moved": 1, "already": 0, "unnamed": 2,
    }  # fmt: skip


def test_a_dry_run_changes_nothing(sendgate: Program, use: Use) -> None:
    use("second", "first")
    answer = sendgate("rekey", "-", "--dry-run", stdin=PEOPLE[0].encode())
    assert answer.status == 1
    assert answer.out.startswith("dry run: nothing was changed")
    assert "unnamed         2" in answer.out
    use("first")
    assert passes(sendgate, *PEOPLE) == [False] * 3


def test_check_config_tells_whether_the_secret_before_can_go(sendgate: Program, use: Use) -> None:
    use("second", "first")
    assert sendgate("check-config").status == 0
    use("second")
    assert sendgate("check-config").status == 3
    use("second", "first")
    sendgate("rekey", "-", stdin=ALL)
    use("second")
    assert sendgate("check-config").status == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("customers.csv", b"id,e-mail,date,reason\n1,Anna@Example.com,03/05/2024,likes it\n2,bert@example.org,?,\n"),
        ("customers.tsv", b"address\tname\nanna@example.com\tAnna\nbert@example.org\tBert\n"),
        ("customers.jsonl", b'{"email": "anna@example.com", "created": [1]}\n{"email": "bert@example.org"}\n'),
        ("customers.txt", b"# all of them\n\nanna@example.com\n<bert@example.org>\n"),
        ("customers", gzip.compress(b"anna@example.com\nbert@example.org\n", mtime=0)),
    ],
)
def test_only_the_subjects_of_a_file_matter(sendgate: Program, use: Use, name: str, content: bytes) -> None:
    use("second", "first")
    (sendgate.folder / name).write_bytes(content)
    answer = sendgate("rekey", sendgate.folder / name)
    assert (answer.errors, answer.status) == ("", 1)
    assert "moved           2" in answer.out


def test_bad_lines_are_told(sendgate: Program, use: Use) -> None:
    use("second", "first")
    answer = sendgate("rekey", "-", stdin=ALL + b"\nno address" * 25)
    assert answer.status == 0
    assert answer.complaints[0].startswith("line 4: ")
    assert answer.complaints[-1] == "25 bad lines, of which the first 20 are shown"


def test_an_export_of_keys_names_nobody(sendgate: Program, use: Use) -> None:
    exported = sendgate("export").out
    use("second", "first")
    answer = sendgate("rekey", "-", stdin=exported.encode())
    assert answer.status == 1
    assert answer.complaints == ["3 lines hold keys, as an export of this store does; they tell no address"]
    assert "unnamed         3" in answer.out


def test_a_file_that_is_no_list_changes_nothing(sendgate: Program, use: Use) -> None:
    use("second", "first")
    answer = sendgate("rekey", "-", stdin=b"name,town\nAnna,Bonn\n")
    assert answer.status == 2
    use("first")
    assert passes(sendgate, *PEOPLE) == [False] * 3


def test_without_a_secret_before_it_is_refused(sendgate: Program, use: Use) -> None:
    use("first")
    answer = sendgate("rekey", "-", stdin=ALL)
    assert answer.status == 2
    assert answer.complaints == [
        "store.previous_hash_key_file is not set; it names the secret that the store is under so far"
    ]


def test_secrets_that_are_not_those_of_the_store_are_refused(sendgate: Program, use: Use) -> None:
    use("third", "second")
    answer = sendgate("rekey", "-", stdin=ALL)
    assert answer.status == 3
    assert "written with another store.hash_key_file; name that one" in answer.errors


def test_without_a_store_there_is_none_afterwards(sendgate: Program) -> None:
    for name in ("old", "new"):
        (sendgate.folder / name).write_text(name)
    sendgate.config.write_text(
        yaml.safe_dump(
            {
                "store": {
                    "url": f"lmdb://{sendgate.store}",
                    "hash_key_file": str(sendgate.folder / "new"),
                    "previous_hash_key_file": str(sendgate.folder / "old"),
                }
            }
        )
    )
    assert sendgate("rekey", "-", stdin=ALL).status == 3
    assert not sendgate.store.exists()


@pytest.mark.parametrize(
    ("store", "problem"),
    [
        ({"previous_hash_key_file": "a"}, "store.previous_hash_key_file: needs store.hash_key_file"),
        ({"hash_key_file": "a", "previous_hash_key_file": "also a"}, "holds the same secret as store.hash_key_file"),
        ({"hash_key_file": "a", "previous_hash_key_file": "empty"}, "store.previous_hash_key_file: must hold 1 to 64"),
        ({"hash_key_file": "a", "previous_hash_key_file": "gone"}, "store.previous_hash_key_file: [Errno 2]"),
    ],
)
def test_settings_that_name_no_two_secrets_are_refused(
    sendgate: Program, tmp_path: Path, store: dict[str, str], problem: str
) -> None:
    for name, content in (("a", "a"), ("also a", "a\n"), ("empty", "")):
        (tmp_path / name).write_text(content)
    paths = {key: str(tmp_path / name) for key, name in store.items()}
    sendgate.config.write_text(yaml.safe_dump({"store": {"url": f"lmdb://{sendgate.store}", **paths}}))
    answer = sendgate("check-config")
    assert answer.status == 2
    assert problem in answer.errors
