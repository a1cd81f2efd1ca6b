"""Texts from outside: settings, units, names, notes, campaigns, replies, metrics' labels."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from fuzz.strategies import texts
from sendgate.campaign import CampaignResolver
from sendgate.decision import BAD_ADDRESS
from sendgate.entry import MAX_NOTE_OCTETS, EntryError, check_name, check_note, parse_reason, parse_scope
from sendgate.reply import reply_to
from sendgate.settings import CampaignSettings, Settings, load
from sendgate.settings_file import SettingsError
from sendgate.units import parse_duration, parse_size

_VARIABLES = [
    f"SENDGATE_{section}__{key}".upper()
    for section, inner in Settings()
    if not isinstance(inner, (dict, str))
    for key in type(inner).model_fields
]
_PIECES = [
    "milter", "store", "campaign", "actions", "observe", "lists", "workers", "socket", "streams", "from", ":", ": ",
    "\n", "\n  ", "- ", "{", "}", "[", "]", ",", "'", '"', "&a ", "*a", "!!python/object:os.system ", "<<", "? ", "~",
    "1", "-1", "0660", "6h", "true", "^news-", "(?P<campaign>", "#", "\t", "|", ">", "%", "---\n", "é", "\x85",
    "2026-03-01",
]  # fmt: skip
_YAML = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(_PIECES), max_size=15).map("".join))
_RESOLVER = CampaignResolver(CampaignSettings(streams={"marketing": "^n"}), "pod-7")


@given(_YAML)
@example("milter: &a {socket: *a}")
@example("milter: &a [*a]")
@example("? {a: b}\n: c")
@example("1: 2\n~: 3\ntrue: 4")
@example("a: !!binary x")
@example("a: 2026-99-99")
@example("[" * 300)
@example("{a: " * 300)
def test_any_settings_file_is_settings_or_a_settings_error(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sendgate.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        try:
            load(path, {})
        except SettingsError as error:
            assert all(problem.startswith(str(path)) for problem in error.problems)


@given(
    st.dictionaries(st.sampled_from([*_VARIABLES, "CAMPAIGN_ID", "SENDGATE___", "SENDGATE_X__Y__Z"]), _YAML, max_size=3)
)
@example({"SENDGATE_STORE__URL": "&a [*a]"})
def test_any_environment_is_settings_or_a_settings_error(environment: dict[str, str]) -> None:
    try:
        load(None, {"SENDGATE_CONFIG": "/dev/null", **environment})
    except SettingsError as error:
        assert all(problem.startswith(tuple(environment)) for problem in error.problems)


@given(st.text(max_size=12) | st.integers() | st.floats() | st.none() | st.booleans())
def test_any_value_is_a_unit_or_a_value_error(value: object) -> None:
    for parse in (parse_duration, parse_size):
        try:
            assert parse(value) >= 0
        except ValueError as error:
            assert str(error).startswith("must be a ")


@given(texts)
def test_any_text_is_a_name_that_is_kept_or_an_entry_error(text: str) -> None:
    for read in (parse_reason, parse_scope, lambda name: check_name(name, "list")):
        try:
            assert read(str(read(text))) == read(text)
        except EntryError as error:
            assert str(error).encode(errors="backslashreplace")


@given(texts | st.text())
def test_any_note_can_be_stored(text: str) -> None:
    note = check_note(text)
    assert len(note.encode()) <= MAX_NOTE_OCTETS
    assert "\0" not in note
    assert check_note(note) == note


@given(texts, texts, texts)
@example("+00", "bounce+\0@x", "\udcff")
def test_any_envelope_has_a_campaign_with_a_usable_name(envid: str, sender: str, login: str) -> None:
    name = _RESOLVER.resolve(envid, sender, login).campaign.name
    assert check_name(name, "campaign") == name
    refined = _RESOLVER.refine(envid)
    assert refined is None or check_name(refined.name, "campaign") == refined.name


@given(texts | st.text(min_size=200))
def test_any_recipient_can_be_shown_in_one_reply_line(recipient: str) -> None:
    line = f"{reply_to(BAD_ADDRESS, recipient)}\r\n"
    assert len(line.encode("ascii")) <= 512
    assert line[:-2].isprintable()
