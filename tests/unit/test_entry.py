"""The words of the lists, as operators and files write them."""

from __future__ import annotations

import pytest

from sendgate.address import Address
from sendgate.entry import (
    EVERYWHERE,
    MAX_NOTE_OCTETS,
    MAX_STRIKES,
    MAX_TIME,
    Entry,
    EntryError,
    Found,
    Kind,
    Reason,
    Scope,
    check_name,
    check_note,
    parse_reason,
    parse_scope,
    parse_subject,
)

_SHA256 = "b4c9a289323b21a01c3e940f150eb9b8c542587f1abfd8f0e1cc1ffc5e475514"  # of user@example.com
_SHA1 = "63a710569261a24b3766275b7000ce8d7b32e2f7"
_MD5 = "b58996c504c5638798eb6b511e6f49af"

_SUBJECTS = [
    ("user@example.com", Kind.ADDRESS, "user@example.com"),
    ("  User@EXAMPLE.com.\n", Kind.ADDRESS, "user@example.com"),
    ("<user@example.com>", Kind.ADDRESS, "user@example.com"),
    ("<@relay.example:user@example.com>", Kind.ADDRESS, "user@example.com"),
    ("@relay.example:user@example.com", Kind.ADDRESS, "user@example.com"),
    ('"john smith"@example.com', Kind.ADDRESS, '"john smith"@example.com'),
    ("user@[IPv6:2001:DB8::1]", Kind.ADDRESS, "user@[ipv6:2001:db8::1]"),
    ("@Example.COM", Kind.DOMAIN, "@example.com"),
    ("@bücher.example", Kind.DOMAIN, "@xn--bcher-kva.example"),
    ("@[192.0.2.1]", Kind.DOMAIN, "@[192.0.2.1]"),
    ("@[IPv6:2001:db8::1]", Kind.DOMAIN, "@[ipv6:2001:db8::1]"),
    ("@.Example.com.", Kind.SUBTREE, "@.example.com"),
    ("@.com", Kind.SUBTREE, "@.com"),
    ("Abuse@", Kind.LOCAL, "abuse@"),
    ('"abuse"@', Kind.LOCAL, "abuse@"),
    ('"John Smith"@', Kind.LOCAL, '"john smith"@'),
    ('"a@b"@', Kind.LOCAL, '"a@b"@'),
    (f"sha256:{_SHA256}", Kind.SHA256, f"sha256:{_SHA256}"),
    (f"SHA256: {_SHA256.upper()}", Kind.SHA256, f"sha256:{_SHA256}"),
    (f"sha1:{_SHA1}", Kind.SHA1, f"sha1:{_SHA1}"),
    (f"md5:{_MD5}", Kind.MD5, f"md5:{_MD5}"),
    (f"key:{_MD5}", Kind.ADDRESS, f"key:{_MD5}"),
    (f"key:subtree:{_MD5}", Kind.SUBTREE, f"key:subtree:{_MD5}"),
]


@pytest.mark.parametrize(("text", "kind", "normalised"), _SUBJECTS)
def test_a_subject_is_read_and_normalised(text: str, kind: Kind, normalised: str) -> None:
    subject = parse_subject(text)
    assert (subject.kind, subject.text) == (kind, normalised)


@pytest.mark.parametrize(("text", "_kind", "normalised"), _SUBJECTS)
def test_a_subject_s_text_is_read_back_as_the_same_subject(text: str, _kind: Kind, normalised: str) -> None:
    assert parse_subject(normalised) == parse_subject(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("user", "no domain"),
        ("@", "not a valid domain"),
        ("@.", "not a valid domain"),
        ("@exa mple.com", "not a valid domain"),
        ("us er@", "not a valid local part"),
        ("us\0er@example.com", "control characters"),
        ("*@example.com@", "not a valid domain"),
        (f"sha256:{_SHA1}", "64 hex digits"),
        ("sha1:zz", "40 hex digits"),
        ("md5:", "32 hex digits"),
        ("key:1234", "key:<32 hex digits>"),
        (f"key:nothing:{_MD5}", "key:<32 hex digits>"),
    ],
)
def test_what_is_no_subject_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(EntryError, match="is no subject") as caught:
        parse_subject(text)
    assert words in str(caught.value)


def test_only_an_address_is_filed_under_its_mailbox() -> None:
    address, local = parse_subject("first.last+tag@gmail.com"), parse_subject("user+tag@")
    assert address.matched_text(mailbox_wide=True) == "firstlast@gmail.com"
    assert address.matched_text(mailbox_wide=False) == "first.last+tag@gmail.com"
    assert local.matched_text(mailbox_wide=True) == "user+tag@"
    assert address.address == Address.of("first.last+tag", "gmail.com")


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_read_by_name_in_any_case(reason: Reason) -> None:
    assert parse_reason(f" {reason.upper()} ") is reason


def test_an_unknown_reason_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(EntryError, match=r"'bounce' is no reason; one of: trap, legal, .*manual, allow"):
        parse_reason("bounce")


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("", EVERYWHERE),
        (" * ", EVERYWHERE),
        ("stream:marketing", Scope("stream", "marketing")),
        ("campaign: spring-26 ", Scope("campaign", "spring-26")),
        ("campaign:a:b", Scope("campaign", "a:b")),
    ],
)
def test_a_scope_is_read_and_written(text: str, scope: Scope) -> None:
    assert parse_scope(text) == scope
    assert parse_scope(str(scope)) == scope


@pytest.mark.parametrize("text", ["marketing", "streams:x", "stream:", "campaign:  ", "campaign:a b", "campaign:\0"])
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(EntryError):
        parse_scope(text)


@pytest.mark.parametrize(
    ("scope", "covers"),
    [
        ("*", True),
        ("campaign:spring", True),
        ("campaign:autumn", False),
        ("stream:news", True),
        ("stream:spring", False),
        ("campaign:news", False),
    ],
)
def test_a_scope_covers_its_campaign_or_stream_alone(scope: str, covers: bool) -> None:
    assert parse_scope(scope).covers("spring", "news") is covers


def test_a_stream_s_entry_does_not_hold_for_a_campaign_without_stream() -> None:
    assert not parse_scope("stream:news").covers("spring", "")


@pytest.mark.parametrize("name", ["default", "imported-2026.03", "é", "a" * 128, " padded "])
def test_a_name_is_taken(name: str) -> None:
    assert check_name(name, "list") == name.strip()


@pytest.mark.parametrize("name", ["", " ", "a b", "a,b", "a;b", 'a"b', "a'b", "a\nb", "\x9f", "é" * 65, "\udc80"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(EntryError, match="is no list name"):
        check_name(name, "list")


def test_a_note_has_no_control_characters_and_is_cut_between_characters() -> None:
    assert check_note(" two\r\n lines\0 ") == "two  lines"
    assert check_note("é" * MAX_NOTE_OCTETS) == "é" * (MAX_NOTE_OCTETS // 2)
    assert len(check_note("x" + "é" * MAX_NOTE_OCTETS).encode()) == MAX_NOTE_OCTETS - 1


def test_a_note_of_bytes_that_are_not_utf_8_can_be_stored() -> None:
    assert check_note("caf\udce9").encode() == b"caf?"


def test_an_entry_expires_at_its_second() -> None:
    found = Found(Reason.MANUAL, EVERYWHERE, "default", created=0, expires=1000, ref="00000000")
    assert not found.expired(999.9)
    assert found.expired(1000)


def test_an_entry_without_expiry_never_expires() -> None:
    assert not Found(Reason.MANUAL, EVERYWHERE, "default", 0, None, "00000000").expired(MAX_TIME + 1)


@pytest.mark.parametrize(
    ("given", "held"), [(0, 1), (-5, 1), (1, 1), (MAX_TIME, MAX_TIME), (253402300799, MAX_TIME), (None, None)]
)
def test_an_expiry_is_brought_within_what_a_store_holds(given: int | None, held: int | None) -> None:
    assert Entry(parse_subject("user@"), Reason.MANUAL, expires=given).expires == held


def test_creation_and_strikes_are_brought_within_what_a_store_holds() -> None:
    low = Entry(parse_subject("user@"), Reason.MANUAL, created=-1, strikes=-1)
    high = Entry(parse_subject("user@"), Reason.MANUAL, created=2**40, strikes=1000)
    assert (low.created, low.strikes) == (0, 0)
    assert (high.created, high.strikes) == (MAX_TIME, MAX_STRIKES)
