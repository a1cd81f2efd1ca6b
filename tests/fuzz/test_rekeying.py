"""Whatever is listed, before, during and after a change of the secret the same recipients are refused."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.test_store_model import _ADDRESSES, _SUBJECTS, _entries
from sendgate.address import parse
from sendgate.entry import Add, Entry, parse_subject
from sendgate.keys import Keyer
from sendgate.store.record import later_expiry
from store.parts import everything
from store.two_keys import BOTH, ONLY_NEW, ONLY_OLD, Embedded, Shared, TwoKeyLists, told

Refused = dict[str, dict[tuple[object, ...], int]]

_few = st.lists(_entries, max_size=8)
_LOOK_EVERY = 32
_named = st.lists(st.sampled_from(_SUBJECTS), max_size=6)


def refused(lists: TwoKeyLists) -> Refused:
    """By address, what it is refused for and until when; what is there twice, under either secret, is so once."""
    found: Refused = {}
    if isinstance(lists, Shared):
        lists.catch_up()
    for address in _ADDRESSES:
        of_address = found[address] = {}
        for one in lists.replica.lookup(parse(address)):
            identity, expires = (one.reason, one.scope, one.list), one.expires or 0
            of_address[identity] = later_expiry(of_address.get(identity, expires), expires)
    return found


def add(lists: TwoKeyLists, entries: list[Entry]) -> None:
    lists.origin.apply([Add(entry) for entry in entries])


@pytest.mark.parametrize("opens", [Embedded, Shared])
@settings(max_examples=30)
@given(before=_few, between=_few, after=_few, named=_named)
def test_recipients_are_refused_alike_at_every_moment_of_a_change(
    opens: Callable[[Path, Keyer], TwoKeyLists],
    before: list[Entry],
    between: list[Entry],
    after: list[Entry],
    named: list[str],
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder, name = Path(temporary), f"test-{uuid.uuid4()}"
        with closing(Embedded(folder / "model", ONLY_OLD)) as model:
            with closing(opens(folder / name, ONLY_OLD)) as lists:
                add(lists, before)
            add(model, before)
            with closing(opens(folder / name, BOTH)) as lists:
                assert refused(lists) == refused(model)
                for more, subjects in ((between, named), (after, named), ([], _SUBJECTS)):
                    add(lists, more)
                    add(model, more)
                    lists.origin.rekey(map(parse_subject, subjects), partial(same, lists, model), dry_run=False)
                    assert refused(lists) == refused(model)
            with closing(opens(folder / name, ONLY_NEW)) as lists:
                assert refused(lists) == refused(model)
                assert sorted(map(told, everything(lists)), key=repr) == sorted(map(told, everything(model)), key=repr)


def same(lists: TwoKeyLists, model: TwoKeyLists, _phase: str, done: int, _all: int) -> None:
    """Looked at now and then on the way."""
    if done % _LOOK_EVERY == 0:
        assert refused(lists) == refused(model)
