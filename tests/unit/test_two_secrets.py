"""Keys while one secret takes another's place."""

from __future__ import annotations

from sendgate.entry import parse_subject
from sendgate.keys import NO_SECRET, Keyer, fingerprint, fingerprints

_OLD, _NEW = Keyer(b"old"), Keyer(b"new")
_BOTH = Keyer(b"new", Keyer(b"old"))


def test_a_text_has_a_key_under_each_secret_the_current_one_first() -> None:
    assert _BOTH.keys("user@example.com") == [_NEW.key("user@example.com"), _OLD.key("user@example.com")]
    assert _NEW.keys("user@example.com") == [_NEW.key("user@example.com")]


def test_keys_are_made_with_the_current_secret() -> None:
    assert _BOTH.key("user@example.com") == _NEW.key("user@example.com")


def test_entries_are_looked_for_under_the_secret_before_and_then_under_the_current_one() -> None:
    subject = parse_subject("User+tag@example.com")
    assert _BOTH.keys_of(subject) == _OLD.keys_of(subject) + _NEW.keys_of(subject)
    assert [wide for _, wide in _BOTH.keys_of(subject)] == [False, True, False, True]


def test_a_subject_that_is_a_key_is_in_one_place_whatever_the_secret() -> None:
    assert _BOTH.keys_of(parse_subject("key:" + "7f" * 16)) == [(b"\x7f" * 16, False)]


def test_a_store_names_the_keyer_that_it_is_written_by() -> None:
    for alone in (_OLD, _NEW):
        named = _BOTH.named(fingerprint(alone.secret))
        assert named is not None
        assert (named.secret, named.previous) == (alone.secret, None)
    assert _BOTH.named(fingerprint(b"another")) is None
    assert _BOTH.named(None) is None
    assert Keyer().named(NO_SECRET) is not None


def test_the_current_secret_is_the_first() -> None:
    assert _BOTH.secrets == (b"new", b"old")
    assert fingerprints(_BOTH.secrets) == (fingerprint(b"new"), fingerprint(b"old"))
    assert fingerprints(b"new") == fingerprints(_NEW.secrets) == (fingerprint(b"new"),)
