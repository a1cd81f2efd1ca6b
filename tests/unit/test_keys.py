"""Keys and the texts a recipient is looked up by."""

from __future__ import annotations

import hashlib

import pytest

from sendgate.address import parse
from sendgate.entry import Kind, parse_subject
from sendgate.keys import Keyer, domain_texts, local_and_hash_texts, ref_of

_ALL = Kind.LOCAL.value | Kind.SHA256.value | Kind.SHA1.value | Kind.MD5.value


def test_a_key_is_blake2b_of_the_text_in_16_bytes() -> None:
    expected = hashlib.blake2b(b"user@example.com", digest_size=16).digest()
    assert Keyer().key("user@example.com") == expected


def test_a_secret_changes_every_key() -> None:
    keys = {Keyer(secret).key("user@example.com") for secret in (b"", b"one", b"two")}
    assert len(keys) == 3


def test_a_mailbox_wide_subject_is_filed_under_the_mailbox() -> None:
    keyer = Keyer()
    tagged, plain = parse_subject("user+tag@example.com"), parse_subject("user@example.com")
    assert keyer.subject_key(tagged, mailbox_wide=True) == keyer.subject_key(plain, mailbox_wide=True)
    assert keyer.subject_key(tagged, mailbox_wide=False) != keyer.subject_key(plain, mailbox_wide=False)


@pytest.mark.parametrize("text", ["user@example.com", "@example.com", "@.example.com", "user@"])
def test_subjects_are_written_in_clear_only_without_a_secret(text: str) -> None:
    subject = parse_subject(text)
    keyer = Keyer(b"secret")
    stored = keyer.stored_text(subject, keyer.subject_key(subject, mailbox_wide=False))
    assert Keyer().stored_text(subject, b"") == text
    assert "example" not in stored
    assert "user" not in stored


@pytest.mark.parametrize("text", ["user@example.com", "@example.com", "@.example.com", "user@", "md5:" + "0" * 32])
def test_a_subject_written_as_its_key_is_read_back_with_its_kind_and_key(text: str) -> None:
    subject = parse_subject(text)
    keyer = Keyer(b"secret")
    key = keyer.subject_key(subject, mailbox_wide=False)
    again = parse_subject(keyer.stored_text(subject, key))
    assert again.kind is subject.kind
    assert keyer.subject_key(again, mailbox_wide=False) == key
    assert keyer.stored_text(again, key) == again.text


def test_a_reference_is_the_first_eight_hex_digits_of_the_key() -> None:
    assert ref_of(bytes.fromhex("7f3a9c21" + "00" * 12)) == "7f3a9c21"


def test_a_domain_is_looked_up_with_all_its_parents_as_subtrees() -> None:
    assert domain_texts("mail.example.co.uk") == [
        "@mail.example.co.uk",
        "@.mail.example.co.uk",
        "@.example.co.uk",
        "@.co.uk",
        "@.uk",
    ]


def test_a_domain_literal_has_no_parents() -> None:
    assert domain_texts("[192.0.2.1]") == ["@[192.0.2.1]", "@.[192.0.2.1]"]


def test_the_hashes_are_those_of_the_normalised_address() -> None:
    texts = list(local_and_hash_texts(parse("<User@EXAMPLE.com.>"), _ALL))
    assert texts == [
        "user@",
        "sha256:b4c9a289323b21a01c3e940f150eb9b8c542587f1abfd8f0e1cc1ffc5e475514",
        "sha1:63a710569261a24b3766275b7000ce8d7b32e2f7",
        "md5:b58996c504c5638798eb6b511e6f49af",
    ]


@pytest.mark.parametrize("kind", [Kind.LOCAL, Kind.SHA256, Kind.SHA1, Kind.MD5])
def test_only_the_kinds_that_a_store_holds_are_made(kind: Kind) -> None:
    (text,) = local_and_hash_texts(parse("user@example.com"), kind.value)
    assert parse_subject(text).kind is kind


def test_a_quoted_local_part_is_looked_up_as_its_subject_is_written() -> None:
    (text,) = local_and_hash_texts(parse('"John Smith"@example.com'), Kind.LOCAL.value)
    assert text == parse_subject('"john smith"@').text
