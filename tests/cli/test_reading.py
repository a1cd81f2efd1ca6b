"""`stats`, `lists` and `check-config`."""

from __future__ import annotations

import pytest
import yaml

from cli.parts import Program


@pytest.fixture
def filled(sendgate: Program) -> Program:
    sendgate("add", "a@example.com", "b@example.com", "--reason", "manual", "--list", "old")
    sendgate("add", "a@example.com", "@example.org", "--reason", "trap")
    return sendgate


def test_stats_count_by_reason_list_and_kind(filled: Program) -> None:
    told = filled("stats", "--json").json
    assert told["entries"] == told["position"] == 4
    assert told["reasons"] == {"trap": 2, "manual": 2}
    assert told["lists"] == {"default": 2, "old": 2}
    assert told["kinds"] == {"address": 3, "domain": 1}
    assert told["octets"] == (filled.store / "data.mdb").stat().st_size
    assert told["octets_per_entry"] == round(told["octets"] / 4, 1)


def test_stats_for_people(filled: Program) -> None:
    lines = [line.split() for line in filled("stats").out.splitlines()]
    assert ["trap", "2"] in lines
    assert ["old", "2"] in lines
    assert ["entries", "4"] in lines


def test_stats_of_an_empty_store(sendgate: Program) -> None:
    sendgate("import", "-")
    assert sendgate("stats").status == 0
    assert sendgate("stats", "--json").json["octets_per_entry"] is None


def test_lists_are_named_with_their_reasons(filled: Program) -> None:
    assert filled("lists", "--json").json == {
        "default": {"entries": 2, "reasons": {"trap": 2}},
        "old": {"entries": 2, "reasons": {"manual": 2}},
    }
    assert [line.split() for line in filled("lists").out.splitlines()] == [
        ["list", "entries", "by", "reason"],
        ["default", "2", "trap", "2"],
        ["old", "2", "manual", "2"],
    ]


def test_good_settings_are_shown_as_they_are_in_effect(filled: Program) -> None:
    filled.configure("actions: {trap: tempfail}\n")
    answer = filled("check-config")
    assert (answer.status, answer.errors) == (0, "")
    first, _, rest = answer.out.partition("\n")
    assert first.startswith("ok")
    effective = yaml.safe_load(rest)
    assert effective["actions"]["trap"] == "tempfail"
    assert effective["campaign"]["from"] == ["envid", "sender", "sasl", "env"]
    assert filled("check-config", "--json").json == {"ok": True, "warnings": [], "settings": effective}


def test_the_settings_in_effect_are_settings(filled: Program) -> None:
    shown = filled("check-config").out.partition("\n")[2]
    filled.config.write_text(shown)
    assert filled("check-config").out.partition("\n")[2] == shown


def test_all_mistakes_are_told_with_their_places(sendgate: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    sendgate.configure("milter: {bogus: 1}\ncampaign: {sender_pattern: '('}\n")
    monkeypatch.setenv("SENDGATE_OPS__LISTEN", "nowhere")
    answer = sendgate("check-config")
    assert answer.status == 2
    assert len(answer.complaints) == 3
    for words in (
        f"{sendgate.config}:2: milter.bogus: unknown key",
        ":3: campaign.sender_pattern",
        "SENDGATE_OPS__LISTEN",
    ):
        assert words in answer.errors
    answer = sendgate("check-config", "--json")
    assert answer.json["ok"] is False
    assert answer.json["problems"] == answer.complaints


@pytest.mark.parametrize(("content", "words"), [(None, "No such file"), (b"", "1 to 64"), (b"x" * 65, "holds 65")])
def test_a_secret_that_cannot_be_used_is_told(content: bytes | None, words: str, sendgate: Program) -> None:
    path = sendgate.folder / "secret"
    if content is not None:
        path.write_bytes(content)
    sendgate.config.write_text(f"store: {{url: 'lmdb://{sendgate.store}', hash_key_file: '{path}'}}")
    answer = sendgate("check-config")
    assert answer.status == 2
    assert words in answer.errors
    assert sendgate("add", "user@example.com", "--reason", "manual").status == 2


def test_a_store_that_is_not_there_yet_is_a_warning(sendgate: Program) -> None:
    answer = sendgate("check-config")
    assert answer.status == 0
    assert answer.complaints[0].startswith(f"warning: {sendgate.store}: no store")
    assert len(sendgate("check-config", "--json").json["warnings"]) == 1


def test_a_store_that_cannot_be_used_is_told(filled: Program) -> None:
    (filled.store / "data.mdb").write_bytes(b"no store" * 1000)
    answer = filled("check-config")
    assert (answer.status, len(answer.complaints)) == (3, 1)
