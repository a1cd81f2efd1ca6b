"""`explain` asks the origin what the gate finds in its replica: for any entries and addresses both find the same."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fuzz.strategies import addresses, names, reasons, scopes, subjects
from sendgate.address import mailbox, parse
from sendgate.entry import Entry, Found, Reason, parse_subject
from store.parts import EmbeddedLists, Lists, SharedLists, add

MATCH_BY_LIST = {"a": True, "b": False}
_ORIGINS: dict[str, Callable[[Path, bytes], Lists]] = {
    "embedded": lambda folder, secret: EmbeddedLists(folder, secret, MATCH_BY_LIST),
    "shared": lambda folder, secret: SharedLists(folder, secret, MATCH_BY_LIST, buckets=2),
}


def _about(address: str) -> st.SearchStrategy[str]:
    """Subjects that name an address or one of its other spellings, in every way there is."""
    exact = parse(address)
    ways = []
    for spelling in {exact, mailbox(exact)}:
        digest = hashlib.sha256(spelling.text.encode()).hexdigest()
        parents = ["@." + spelling.domain.partition(".")[2]] if "." in spelling.domain.strip("[]0123456789.") else []
        local = spelling.text.rpartition("@")[0]
        ways += [
            spelling.text,
            f"@{spelling.domain}",
            f"@.{spelling.domain}",
            f"{local}@",
            f"sha256:{digest}",
            *parents,
        ]
    return st.sampled_from(sorted(set(ways)))


_known = st.sampled_from(["user+a@example.com", "u.ser@gmail.com", "user@googlemail.com", "User@mail.example.com"])
_addresses = st.lists(_known | addresses, min_size=1, max_size=4)
_cases = _addresses.flatmap(
    lambda given: st.tuples(
        st.just(given),
        st.lists(
            st.builds(
                Entry,
                (st.one_of([*map(_about, given), subjects])).map(parse_subject),
                reasons,
                scopes,
                names,
                created=st.integers(0, 9),
                expires=st.none() | st.integers(1, 30),
            ),
            max_size=8,
        ),
    )
)


@pytest.mark.parametrize("opens", _ORIGINS.values(), ids=_ORIGINS.keys())
@given(_cases, st.sampled_from([b"", b"secret"]))
@example((["user@googlemail.com"], [Entry(parse_subject("user@"), Reason.TRAP)]), b"")
@settings(max_examples=settings.default.max_examples // 8 if settings.default else 40)
def test_an_origin_matches_what_the_gate_finds(
    opens: Callable[[Path, bytes], Lists], case: tuple[list[str], list[Entry]], secret: bytes
) -> None:
    asked, entries = case
    with tempfile.TemporaryDirectory() as folder:
        lists = opens(Path(folder), secret)
        add(lists, *entries)
        for address in asked:
            assert_alike(lists, address)
        lists.close()


def assert_alike(lists: Lists, address: str) -> None:
    matches = lists.origin.matches(parse(address))
    assert Counter(matches.found) == Counter(lists.lookup(address)), address
    for found, entry in matches.matches:
        assert told(found) == (entry.reason, entry.scope, entry.list, entry.created, entry.expires)
        assert entry in lists.origin.by_ref(found.ref)
    keys = {key[:4].hex() for _, key in matches.keys}
    assert {found.ref for found in matches.found} <= keys


def told(found: Found) -> tuple[object, ...]:
    return found[:5]
