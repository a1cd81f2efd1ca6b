"""Addresses, by the table `tests/data/addresses.tsv`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from sendgate.address import AddressError, mailbox, normalise_domain, parse, parse_plain
from sendgate.providers import PROVIDERS

_TABLE = Path(__file__).parents[1] / "data" / "addresses.tsv"
_ROWS = [
    (ast.literal_eval(raw), normalised, third)
    for raw, normalised, third in (
        line.split("\t") for line in _TABLE.read_text(encoding="utf-8").split("\n") if line and line[0] != "#"
    )
]
_GOOD = [row for row in _ROWS if row[1] != "!"]
_BAD = [(raw, error) for raw, mark, error in _ROWS if mark == "!"]


@pytest.mark.parametrize(("raw", "normalised", "_mailbox"), _GOOD)
def test_a_spelling_is_normalised(raw: bytes | str, normalised: str, _mailbox: str) -> None:
    assert parse(raw).text == normalised


@pytest.mark.parametrize(("raw", "normalised", "mailbox_text"), _GOOD)
def test_a_spelling_leads_to_its_mailbox(raw: bytes | str, normalised: str, mailbox_text: str) -> None:
    assert mailbox(parse(raw)).text == (normalised if mailbox_text == "=" else mailbox_text)


@pytest.mark.parametrize(("raw", "normalised", "_mailbox"), _GOOD)
def test_bytes_and_text_are_read_alike(raw: bytes | str, normalised: str, _mailbox: str) -> None:
    other = raw.decode() if isinstance(raw, bytes) else raw.encode()
    assert parse(other).text == normalised


@pytest.mark.parametrize(("raw", "error"), _BAD)
def test_what_is_no_address_is_refused_in_words(raw: bytes | str, error: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse(raw)
    assert str(caught.value) == error


@pytest.mark.parametrize(("raw", "normalised", "_mailbox"), _GOOD)
def test_the_fast_path_agrees_with_the_careful_one(raw: bytes | str, normalised: str, _mailbox: str) -> None:
    plain = parse_plain(raw if isinstance(raw, str) else raw.decode())
    assert plain is None or plain.text == normalised


@pytest.mark.parametrize(
    "text",
    ['"user"@example.com', "@a.example:user@example.com", "a%b@example.com", "a!user@example.com", "josé@example.com"],
)
def test_what_mail_systems_may_read_otherwise_is_not_plain(text: str) -> None:
    assert parse_plain(text) is None


def test_the_mailbox_of_a_mailbox_is_itself() -> None:
    reduced = mailbox(parse("f.i.r.s.t+x@googlemail.com"))
    assert mailbox(reduced) is reduced


@pytest.mark.parametrize("domain", sorted(PROVIDERS))
def test_every_spelling_of_a_provider_is_one_mailbox(domain: str) -> None:
    plain, tagged = mailbox(parse(f"user@{domain}")), mailbox(parse(f"User+news@{domain.upper()}"))
    assert plain == tagged
    assert plain.domain in PROVIDERS


def test_a_local_part_is_shown_in_quotes_only_where_it_needs_them() -> None:
    assert parse(b'"plain"@example.com').local == "plain"
    assert parse(b'"with space"@example.com').local == "with space"
    assert parse(b'"with space"@example.com').text == '"with space"@example.com'


def test_a_domain_alone_is_normalised_as_in_an_address() -> None:
    assert normalise_domain("BÜCHER.example.") == parse("user@BÜCHER.example.").domain
