"""Whatever is given as an address or a subject: refused in words, or read the same however it is written."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import idna
from hypothesis import assume, example, given
from hypothesis import strategies as st

from fuzz.strategies import addresses, domains, locals_, octets, subjects, texts
from sendgate.address import Address, AddressError, _parse_carefully, mailbox, parse, parse_plain
from sendgate.entry import EntryError, Kind, Subject, parse_subject
from sendgate.keys import Keyer, domain_texts, local_and_hash_texts

_ALL_KINDS = sum(kind.value for kind in Kind)


def read(raw: bytes | str) -> Address:
    """What `raw` is read as; an example that is no address is passed over."""
    try:
        return parse(raw)
    except AddressError:
        assume(False)
        raise


def read_subject(text: str) -> Subject:
    try:
        return parse_subject(text)
    except EntryError:
        assume(False)
        raise


@given(octets | texts)
@example(b"")
@example(b"<>")
@example(b"\xff@example.com")
@example("\udcff@example.com")
@example("a@" + "é" * 64)
def test_anything_is_an_address_or_an_address_error(raw: bytes | str) -> None:
    try:
        parse(raw)
    except AddressError as error:
        assert str(error)


@given(addresses | texts)
@example("a\u037eb@example.com")
@example('"\u3000"@example.com')
@example("Σ.a@example.com")
@example("a@\u0130.example")
def test_a_normalised_address_is_read_as_itself(raw: str) -> None:
    address = read(raw)
    assert parse(address.text) == address
    assert parse(f"<{address.text}>") == address


@given(addresses)
def test_a_mailbox_is_an_address_and_its_own_mailbox(raw: str) -> None:
    reduced = mailbox(read(raw))
    assert parse(reduced.text) == reduced
    assert mailbox(reduced) == reduced


@given(addresses | texts)
@example("a@" + "b." * 130 + "example")
@example("\u212a@example.com")
def test_the_fast_path_reads_nothing_otherwise_than_the_careful_one(text: str) -> None:
    plain = parse_plain(text)
    if plain is not None:
        assert plain == _parse_carefully(text)


_LOCAL_SPELLINGS: list[Callable[[str], str]] = [
    str,
    str.upper,
    str.lower,
    str.swapcase,
    lambda local: unicodedata.normalize("NFD", local),
    lambda local: f'"{local}"',
    lambda local: '"' + "".join(f"\\{character}" for character in local) + '"',
    lambda local: ".".join(f'"{word}"' for word in local.split(".")),
]
_DOMAIN_SPELLINGS: list[Callable[[str], str]] = [
    str,
    str.lower,
    lambda domain: f"{domain}." if domain[0] != "[" else domain,
    lambda domain: domain.replace(".", "。") if domain[0] != "[" else domain,
    lambda domain: unicodedata.normalize("NFD", domain),
    lambda domain: idna.encode(domain, uts46=True).decode() if domain[0] != "[" else domain,
    lambda domain: idna.encode(domain, uts46=True).decode().upper() if domain[0] != "[" else domain,
]
_AROUND: list[Callable[[str], str]] = [
    str,
    lambda text: f"<{text}>",
    lambda text: f" <{text}> ",
    lambda text: f"<@relay.example:{text}>",
    lambda text: f"@relay.example,@b.example:{text}",
]


@given(
    locals_,
    domains,
    st.sampled_from(_LOCAL_SPELLINGS),
    st.sampled_from(_DOMAIN_SPELLINGS),
    st.sampled_from(_AROUND),
    st.booleans(),
)
@example("οδος.a", "example.com", str.upper, str, str, False)
def test_every_spelling_of_an_address_has_the_same_keys(
    local: str,
    domain: str,
    spell_local: Callable[[str], str],
    spell_domain: Callable[[str], str],
    around: Callable[[str], str],
    as_octets: bool,
) -> None:
    address = read(f"{local}@{domain}")
    try:
        spelling = around(f"{spell_local(local)}@{spell_domain(domain)}")
    except idna.IDNAError:
        assume(False)
        raise
    again = parse(spelling.encode() if as_octets else spelling)
    assert (again, mailbox(again)) == (address, mailbox(address))
    assert Keyer().key(again.text) == Keyer().key(address.text)


@given(subjects | texts)
@example('"a b"@')
@example('"a@b"@')
@example("\u3000@example.com")
@example("@.\u3002")
@example("@a:b@")
def test_any_text_is_a_subject_that_is_read_back_or_an_entry_error(text: str) -> None:
    subject = read_subject(text)
    assert parse_subject(subject.text) == subject


@given(addresses)
def test_all_that_an_address_is_looked_up_by_can_be_stored_as_a_subject(raw: str) -> None:
    address = read(raw)
    looked_up = [address.text, *domain_texts(address.domain), *local_and_hash_texts(address, _ALL_KINDS)]
    assert [parse_subject(text).text for text in looked_up] == looked_up


@given(subjects, st.booleans())
def test_a_subject_written_as_its_key_has_that_key(text: str, mailbox_wide: bool) -> None:
    subject = read_subject(text)
    keyer = Keyer(b"secret")
    key = keyer.subject_key(subject, mailbox_wide)
    again = parse_subject(keyer.stored_text(subject, key))
    assert (again.kind, keyer.subject_key(again, mailbox_wide)) == (subject.kind, key)
