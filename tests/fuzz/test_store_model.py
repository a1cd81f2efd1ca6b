"""Any sequence of changes leaves an origin with just what a plain dict would have; with and without a secret key."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fuzz.model import Model
from fuzz.strategies import names, reasons, scopes
from sendgate.entry import MAILBOX_WIDE, Add, Entry, Origin, Reason, Remove, RemoveList, parse_subject
from store.parts import EmbeddedLists, Lists, SharedLists, load

_ADDRESSES = [
    "user@example.com",
    "user+tag@example.com",
    "u.ser+x@gmail.com",
    "user@googlemail.com",
    "user@gmail.com",
    "user@mail.example.com",
    '"a b"@example.com',
    "josé@bücher.example",
]
_SUBJECTS = [
    *_ADDRESSES,
    "@example.com",
    "@.example.com",
    "@.com",
    "@gmail.com",
    "user@",
    '"a b"@',
    "md5:" + hashlib.md5(b"user@example.com", usedforsecurity=False).hexdigest(),
    "sha1:" + hashlib.sha1(b"user@gmail.com", usedforsecurity=False).hexdigest(),
    "sha256:" + hashlib.sha256(b"user+tag@example.com").hexdigest(),
]
_subjects = st.sampled_from(_SUBJECTS).map(parse_subject)
_entries = st.builds(
    Entry,
    _subjects,
    st.sampled_from([Reason.TRAP, Reason.COMPLAINT, Reason.MANUAL, Reason.SOFT_BOUNCE]),
    scopes,
    names,
    st.sampled_from(Origin),
    created=st.integers(0, 9),
    expires=st.none() | st.integers(1, 30),
    strikes=st.integers(1, 3),
    note=st.sampled_from(["", "note", "é"]),
)
_few = st.lists(_entries, max_size=6)

Step = Callable[[Lists, Model], None]


def add(entries: list[Entry]) -> Step:
    def step(lists: Lists, model: Model) -> None:
        lists.origin.apply([Add(entry) for entry in entries])
        for entry in entries:
            model.add(entry)

    return step


def remove(change: Remove) -> Step:
    def step(lists: Lists, model: Model) -> None:
        before = len(model.entries)
        model.remove(change.subject, change.reason, change.list)
        assert lists.origin.apply([change]).removed == before - len(model.entries)

    return step


def remove_list(name: str) -> Step:
    def step(lists: Lists, model: Model) -> None:
        lists.origin.apply([RemoveList(name)])
        model.keep([entry for entry in model.entries.values() if entry.list != name])

    return step


def load_some(entries: list[Entry], dry_run: bool) -> Step:
    def step(lists: Lists, model: Model) -> None:
        load(lists, ((entry.subject, entry) for entry in entries), dry_run=dry_run)
        for entry in entries if not dry_run else []:
            model.add(entry)

    return step


def replace_list(entries: list[Entry], name: str) -> Step:
    def step(lists: Lists, model: Model) -> None:
        new = [replace(entry, list=name) for entry in entries]
        load(lists, ((entry.subject, entry) for entry in new), replace=name, force=True)
        model.replace_list(name, new)

    return step


def sweep(now: int) -> Step:
    def step(lists: Lists, model: Model) -> None:
        lists.sweep(now)
        model.keep([entry for entry in model.entries.values() if entry.expires is None or entry.expires > now])

    return step


_steps = st.one_of(
    st.builds(add, _few),
    st.builds(add, _few),
    st.builds(remove, st.builds(Remove, _subjects, st.none() | reasons, st.none(), st.none() | names)),
    st.builds(remove_list, names),
    st.builds(load_some, _few, st.booleans()),
    st.builds(replace_list, _few, names),
    st.builds(sweep, st.integers(0, 30)),
)


def assert_alike(lists: Lists, model: Model, secret: bytes) -> None:
    scanned = list(lists.origin.scan())
    if secret:
        assert all(one.subject.text.startswith("key:") for one in scanned)
    else:
        assert Counter(scanned) == Counter(model.entries.values())
    assert len(scanned) == len(model.entries)
    counts = {(label.reason, label.scope, label.list): count for label, count in lists.origin.counts().items()}
    assert counts == Counter((one.reason, one.scope, one.list) for one in model.entries.values())
    assert all(label.mailbox_wide == (label.reason in MAILBOX_WIDE) for label in lists.origin.counts())
    for address in _ADDRESSES:
        found = Counter((one.reason, one.scope, one.list, one.expires) for one in lists.lookup(address))
        assert found == model.lookup(address), address
    if isinstance(lists, SharedLists):
        assert lists.replica_rows() == lists.origin_rows()
        assert (lists.replica.count(), lists.replica.position()) == (lists.origin.counts(), lists.origin.position())


_any_steps = st.lists(_steps, max_size=8)
_secrets = st.sampled_from([b"", b"secret"])
_EXAMPLES = settings.default.max_examples if settings.default else 300


@given(_any_steps, _secrets)
@example([add([Entry(parse_subject("user@"), Reason.TRAP)])], b"")
@settings(max_examples=_EXAMPLES // 3)
def test_an_embedded_store_is_what_a_dict_would_be(steps: list[Step], secret: bytes) -> None:
    assert_like_a_dict(EmbeddedLists, steps, secret)


@given(_any_steps, _secrets)
@settings(max_examples=_EXAMPLES // 8)
def test_a_shared_origin_is_what_a_dict_would_be(steps: list[Step], secret: bytes) -> None:
    assert_like_a_dict(partial(SharedLists, buckets=2), steps, secret)


def assert_like_a_dict(opens: Callable[..., Lists], steps: list[Step], secret: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lists, model = opens(Path(folder) / "lists", secret), Model()
        for step in steps:
            step(lists, model)
            assert_alike(lists, model, secret)
        again = lists.again(secret)
        assert_alike(again, model, secret)
        again.close()
