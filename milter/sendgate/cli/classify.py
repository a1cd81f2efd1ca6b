"""`sendgate classify` and `sendgate check-rules`: what replies mean, and whether rules can be used. Nothing is changed.

In: replies, one a line, as text or as JSON; a file of rules. Out: class and reason of each reply, and the rule that
decided. Refused: rules with mistakes; lines that are no reply, each with its number, after all others were answered.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from sendgate.cli.feedback_rules import rules_of
from sendgate.cli.options import ConfigOption, JsonOption, settings_of
from sendgate.cli.output import print_json
from sendgate.cli.problems import Exit, UsageError
from sendgate.cli.progress import show
from sendgate.feedback.classify import classify as judge
from sendgate.feedback.event import Answer, Phase, Verdict
from sendgate.feedback.rules import RulesError, load_rules, read_rules

MAX_LINE = 1 << 20
"""Characters of a line."""
MAX_COMPLAINTS = 100
"""Lines that are complained of one by one."""
_CODE = re.compile(r"[2-5]\d\d")
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_PHASES = {
    **{phase.value.lower(): phase for phase in Phase},
    "ehlo": Phase.HELO,
    "lhlo": Phase.HELO,
    "mail": Phase.MAIL,
    "rcpt": Phase.RCPT,
    "end-of-data": Phase.END_OF_DATA,
    "eod": Phase.END_OF_DATA,
    ".": Phase.END_OF_DATA,
}


def classify(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="Replies, one a line; - (the default) is stdin.")] = "-",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> int:
    """Tell what replies of servers mean. Changes nothing."""
    rules = rules_of(settings_of(context, config))
    problems: list[str] = []
    bad = 0
    for number, line in _lines(file):
        try:
            answer = _answer(line, plain=not as_json)
        except ValueError as error:
            bad += 1
            if len(problems) < MAX_COMPLAINTS:
                problems.append(f"{file}:{number}: {error}")
            continue
        verdict = judge(answer, rules)
        print(_as_json(number, verdict) if as_json else _for_people(answer, verdict))
    if bad > len(problems):
        problems.append(f"{file}: {bad - len(problems):,} more lines like these")
    if problems:
        raise UsageError(*problems)
    return Exit.YES


def check_rules(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A file of rules; else that of feedback.rules_file.")
    ] = None,
    reply: Annotated[
        str | None, typer.Option("--reply", metavar="TEXT", help="Tell which rule decides on this reply.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> int:
    """Check a file of rules; tell all mistakes at once, each with its line."""
    path = file or _rules_file(context, config)
    try:
        own = len(read_rules(path)) if path else 0
    except RulesError as error:
        if as_json:
            print_json({"ok": False, "problems": error.problems})
        raise UsageError(*error.problems) from None
    rules = load_rules(path)
    verdict = judge(Answer(reply), rules) if reply is not None else None
    if as_json:
        told: dict[str, Any] = {"ok": True, "file": str(path) if path else None, "rules": own}
        print_json(told | ({"verdict": _fields(verdict)} if verdict else {}))
        return Exit.YES
    named = f"{path}: {own} rules" if path else "feedback.rules_file is not set: no rules of your own"
    print(f"ok; {named}, before {len(rules) - own} that come with Sendgate")
    if verdict and reply is not None:
        print(_for_people(Answer(reply), verdict))
    return Exit.YES


def _rules_file(context: typer.Context, config: Path | None) -> Path | None:
    given = settings_of(context, config).feedback.rules_file
    return Path(given) if given else None


def _lines(file: str) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, and their numbers. Raises UsageError."""
    taken = 0
    try:
        with ExitStack() as stack:
            if file == "-":
                stream, size = sys.stdin.buffer, None
            else:
                stream = stack.enter_context(Path(file).open("rb"))
                size = Path(file).stat().st_size
            display = stack.enter_context(show())
            number = 0
            while data := stream.readline(MAX_LINE):
                number += 1
                taken += len(data)
                if number % 1024 == 0:
                    display.reading(number, taken, size)
                line = data.decode("utf-8", errors="replace").strip()
                if line:
                    yield number, line
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None


def _answer(line: str, *, plain: bool) -> Answer:
    """An answer as a line has it. Raises ValueError with what to write instead."""
    if plain and not line.startswith("{"):
        return Answer(line)
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError('no JSON; write {"reply": "550 5.1.1 User unknown"}, one a line') from None
    if not isinstance(value, dict) or not isinstance(value.get("reply"), str):
        raise ValueError('no reply; write {"reply": "550 5.1.1 User unknown"}, one a line')
    return Answer(
        value["reply"],
        _code(value.get("smtp_code")),
        _enhanced(value.get("enhanced")),
        _phase(value.get("phase")),
        value.get("deferred") is True or value.get("status") == "deferred",
    )


def _code(value: object) -> str:
    if value is None or value == "":
        return ""
    code = str(value)
    if not _CODE.fullmatch(code):
        raise ValueError(f"smtp_code {code[:20]!r} is none; write three digits such as 550, or null")
    return code


def _enhanced(value: object) -> str:
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not _ENHANCED.fullmatch(value):
        raise ValueError(f"enhanced {str(value)[:20]!r} is no such code; write one such as 5.1.1, or null")
    return value


def _phase(value: object) -> Phase:
    if value is None:
        return Phase.UNKNOWN
    phase = _PHASES.get(value.lower().removesuffix(" command")) if isinstance(value, str) else None
    if phase is None:
        known = ", ".join(phase.value for phase in Phase if phase.value)
        raise ValueError(f"phase {str(value)[:20]!r} is unknown; write one of {known}, or null")
    return phase


def _fields(verdict: Verdict) -> dict[str, str]:
    return {"class": verdict.event_class, "reason": verdict.type, "because": verdict.because}


def _as_json(number: int, verdict: Verdict) -> str:
    return json.dumps({"line": number, **_fields(verdict)}, ensure_ascii=True)


def _for_people(answer: Answer, verdict: Verdict) -> str:
    text = "".join(char if char.isprintable() else " " for char in answer.reply)
    return f"{verdict.event_class:<5}  {verdict.type:<14}  {text}  ({verdict.because})"
