"""docs/log.md against the events of the log."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest
from structlog.testing import capture_logs

from docs.pages import blocks, code, docs, section
from sendgate import events
from sendgate.decision import OTHER_FATE, Cause, Decision, Verdict
from sendgate.entry import EVERYWHERE, Found, Reason

_PAGE = docs("log.md")
_REFUSED = Decision(Verdict.REJECT, Cause.ENTRY, Found(Reason.TRAP, EVERYWHERE, "default", 0, None, "7f3a9c21"))
_SAMPLES: dict[Any, Any] = {
    str: "text",
    int: 1,
    float: 1.0,
    float | None: 1.0,
    int | None: 1,
    bool: True,
    list[str]: ["text"],
    list[int]: [1],
    dict[str, int]: {"default": 1},
    Exception: ValueError("text"),
    BaseException: ValueError("text"),
    Decision: _REFUSED,
}
_EXAMPLES = [json.loads(line) for block in blocks(_PAGE, "json") for line in block.splitlines()]


def _reporters() -> list[Callable[..., None]]:
    functions = [function for _, function in inspect.getmembers(events, inspect.isfunction)]
    own = [one for one in functions if one.__module__ == events.__name__ and not one.__name__.startswith("_")]
    return [one for one in own if one is not events.configure]


def _report(reporter: Callable[..., None], **given: object) -> dict[str, Any]:
    """The line that a function of events writes."""
    hints = get_type_hints(reporter)
    arguments = {name: _SAMPLES[hints[name]] for name in inspect.signature(reporter).parameters} | given
    with capture_logs() as lines:
        reporter(**arguments)
    [line] = lines
    # structlog's own name for it while a test listens
    return {name: value for name, value in line.items() if name != "log_level"}


_LINES = {reporter.__name__: _report(reporter) for reporter in _reporters()}


def test_there_are_events_to_look_for() -> None:
    assert {"recipient", "serving", "store_unavailable"} <= {line["event"] for line in _LINES.values()}


@pytest.mark.parametrize("line", _LINES.values(), ids=_LINES)
def test_an_event_has_a_section_and_an_example_with_its_fields(line: dict[str, Any]) -> None:
    lines = blocks(section(_PAGE, line["event"]), "json")
    example = json.loads(lines[0].splitlines()[0])
    assert example.keys() - {"level", "time"} == line.keys()


@pytest.mark.parametrize("line", _LINES.values(), ids=_LINES)
def test_the_fields_of_an_event_are_explained(line: dict[str, Any]) -> None:
    assert line.keys() - {"event"} <= set(code(section(_PAGE, line["event"])))


def test_a_recipient_without_an_entry_has_an_example() -> None:
    line = _report(events.recipient_judged, decision=OTHER_FATE)
    examples = [one for one in _EXAMPLES if one["event"] == "recipient" and one["cause"] == "other_fate"]
    assert examples[0].keys() - {"level", "time"} == line.keys()


def test_every_example_is_of_an_event() -> None:
    assert {example["event"] for example in _EXAMPLES} == {line["event"] for line in _LINES.values()}


def test_the_level_of_an_example_is_one_that_is_written() -> None:
    assert {example["level"] for example in _EXAMPLES} == {"info", "warning", "error"}
