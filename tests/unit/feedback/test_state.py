"""The state of feedback: saved whole or not at all, shared by the processes of a pod."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sendgate.feedback.state import SEEN_SECONDS, State, StateError

NOW = 1_795_341_600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "feedback"


def test_what_is_put_is_there_after_a_restart(folder: Path) -> None:
    state = State(folder)
    with state.transaction():
        state.put("position", {"offset": 7})
        state.put_open_messages({"4F1B2C": ["news", "anna@example.com"], "4F1B2D": ["txn"]})
        state.add_counts({("bounces", "news", "full"): 2})
    state.close()
    again = State(folder)
    assert again.get("position") == {"offset": 7}
    assert again.open_messages() == {"4F1B2C": ["news", "anna@example.com"], "4F1B2D": ["txn"]}
    assert again.counts() == [("bounces", "news", "full", 2)]


def test_nothing_is_there_at_first(folder: Path) -> None:
    state = State(folder)
    assert (state.get("position"), state.open_messages(), state.counts()) == (None, {}, [])


def test_a_message_that_is_done_is_forgotten(folder: Path) -> None:
    state = State(folder)
    with state.transaction():
        state.put_open_messages({"4F1B2C": ["news"]})
    with state.transaction():
        state.put_open_messages({"4F1B2C": None})
    assert state.open_messages() == {}


def test_a_transaction_that_fails_leaves_nothing(folder: Path) -> None:
    state = State(folder)
    with pytest.raises(KeyError), state.transaction():
        state.put("position", 1)
        state.add_counts({("bounces", "news", "full"): 1})
        raise KeyError("the place could not be told")
    assert (state.get("position"), state.counts()) == (None, [])


def test_counts_go_on_and_keep_their_order(folder: Path) -> None:
    state = State(folder)
    for campaign in ("news", "txn", "news"):
        with state.transaction():
            state.add_counts({("complaints", campaign, ""): 1})
    assert state.counts() == [("complaints", "news", "", 2), ("complaints", "txn", "", 1)]


def test_failures_are_known_for_as_long_as_a_bounce_may_tell_them_again(folder: Path) -> None:
    state = State(folder)
    with state.transaction():
        state.put_seen(["failure 4F1B2C anna@example.com"], NOW)
    with state.transaction():
        state.put_seen(["failure 4F1B2D bert@example.com"], NOW + SEEN_SECONDS)
    both = ["failure 4F1B2C anna@example.com", "failure 4F1B2D bert@example.com", "failure 4F1B2E cleo@example.com"]
    assert state.seen(both) == set(both[:2])
    with state.transaction():
        state.put_seen([], NOW + SEEN_SECONDS + 1)
    assert state.seen(both) == {both[1]}


def test_a_second_process_waits_for_the_first(folder: Path) -> None:
    state = State(folder)
    told, tell = os.pipe()
    with state.lock():
        child = os.fork()
        if not child:
            with State(folder).lock():
                os.write(tell, b"second")
            os._exit(0)
        os.write(tell, b"first,")
    os.waitpid(child, 0)
    assert os.read(told, 64) == b"first,second"


def test_a_folder_that_cannot_be_made_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"file/feedback: feedback\.state cannot be used"):
        State(tmp_path / "file" / "feedback")


def test_a_file_that_is_no_database_is_told(folder: Path) -> None:
    folder.mkdir()
    (folder / "state.sqlite3").write_bytes(b"no database at all, and longer than a header" * 100)
    with pytest.raises(StateError, match=r"remove state\.sqlite3 there"):
        State(folder)
