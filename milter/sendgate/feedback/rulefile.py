"""Files of rules: from YAML to `Rule`s, with the place of every mistake.

In: a path. Out: its rules in their order. Refused: `RulesError` with all mistakes at once, each as `file:line: ...`:
not YAML, unknown fields, classes, phases or codes, patterns that `pattern` refuses, names twice, rules that can
never decide because an earlier one always does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from sendgate.feedback.event import BounceType, Phase
from sendgate.feedback.pattern import Pattern, compile_pattern

MAX_OCTETS = 1 << 20
"""Of a file; the rules that come with Sendgate have a twentieth."""
MAX_RULES = 2_000
_QUICK_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""For our own rules alone: nesting without end overflows its stack, which ends the process."""
_FIELDS = ("name", "class", "because", "patterns", "unless", "enhanced", "smtp", "phase", "host")
_CONDITIONS = ("patterns", "enhanced", "smtp", "phase", "host")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ENHANCED = re.compile(r"[245](\.\d{1,3}){0,2}")
_SMTP = re.compile(r"[245]\d{0,2}")
_PHASES = {phase.name.lower().replace("_", "-"): phase for phase in Phase}
_T = TypeVar("_T")


class RulesError(ValueError):
    """Rules that cannot be used. `problems` has one text for each mistake, beginning with its place."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. It fits when any of its patterns is found, none of `unless` is, and each condition it has is met."""

    name: str
    type: BounceType
    because: str
    place: str
    patterns: tuple[Pattern, ...] = ()
    unless: tuple[Pattern, ...] = ()
    enhanced: tuple[str, ...] = ()
    smtp: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    hosts: tuple[Pattern, ...] = ()

    def meets(self, text: str, code: str, enhanced: str, phase: Phase, host: str) -> bool:
        """Whether all but the patterns fits; `text` is folded, host in lower case."""
        if self.smtp and not code.startswith(self.smtp):
            return False
        if self.enhanced and not any(_under(enhanced, one) for one in self.enhanced):
            return False
        if self.phases and phase not in self.phases:
            return False
        if self.hosts and not any(one.expression.search(host) or one.expression.search(text) for one in self.hosts):
            return False
        return not any(one.expression.search(text) for one in self.unless)


@dataclass(slots=True)
class _File:
    """What was found wrong so far in a file."""

    name: str
    problems: list[str] = field(default_factory=list)

    def wrong(self, node: yaml.Node, text: str) -> None:
        self.problems.append(f"{self.name}:{node.start_mark.line + 1}: {text}")


def read_rules(path: Path, *, ours: bool = False) -> tuple[Rule, ...]:
    """The rules of one file; ours: it comes with Sendgate. Raises RulesError."""
    file = _File(str(path))
    node = _read(path, _QUICK_LOADER if ours else yaml.SafeLoader)
    if node is None:
        return ()
    if not isinstance(node, yaml.SequenceNode):
        file.wrong(node, "must be a list of rules, each beginning with `- name:`")
        raise RulesError(file.problems)
    if len(node.value) > MAX_RULES:
        file.wrong(node, f"has more than {MAX_RULES} rules; put patterns of one class together")
        raise RulesError(file.problems)
    rules = [rule for item in node.value if (rule := _rule(item, file)) is not None]
    file.problems.extend(_twice(rules))
    file.problems.extend(_shadowed(rules))
    if file.problems:
        raise RulesError(file.problems)
    return tuple(rules)


def _read(path: Path, loader: Any) -> yaml.Node | None:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_OCTETS + 1)
        if len(data) > MAX_OCTETS:
            raise RulesError([f"{path}: larger than {MAX_OCTETS:,} octets; is this a file of rules?"])
        node: yaml.Node | None = yaml.compose(data.decode(), Loader=loader)
    except FileNotFoundError:
        raise RulesError([f"{path}: no such file; name another"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RulesError([f"{path}: cannot be read: {error}"]) from None
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        text = getattr(error, "problem", None) or "nested too deeply"
        remedy = "put patterns in single quotes, and indent with spaces"
        raise RulesError([f"{place}: not YAML: {text}; {remedy}"]) from None
    return node


def _rule(node: yaml.Node, file: _File) -> Rule | None:
    """One rule, or None when it has a mistake."""
    before = len(file.problems)
    if not isinstance(node, yaml.MappingNode):
        file.wrong(node, "a rule must have name, class, because and patterns")
        return None
    fields: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if key.value not in _FIELDS or not isinstance(key, yaml.ScalarNode):
            file.wrong(key, f"{key.value!s:.40}: unknown; a rule has {', '.join(_FIELDS)}")
        elif key.value in fields:
            file.wrong(key, f"{key.value}: written twice; take one out")
        else:
            fields[key.value] = value
    missing = [name for name in ("name", "class", "because") if name not in fields]
    if missing:
        file.wrong(node, f"a rule must have {', '.join(missing)}, too")
    if not any(name in fields for name in _CONDITIONS):
        file.wrong(node, f"a rule must have at least one of {', '.join(_CONDITIONS)}; it would decide everything")
    name = _scalar(fields.get("name"), file, _name)
    kind = _scalar(fields.get("class"), file, _bounce_type)
    because = _scalar(fields.get("because"), file, _because)
    lists = {
        "patterns": _list(fields.get("patterns"), file, compile_pattern),
        "unless": _list(fields.get("unless"), file, compile_pattern),
        "hosts": _list(fields.get("host"), file, compile_pattern),
    }
    enhanced = _list(fields.get("enhanced"), file, _enhanced)
    smtp = _list(fields.get("smtp"), file, _smtp)
    phases = _list(fields.get("phase"), file, _phase)
    if len(file.problems) > before or name is None or kind is None or because is None:
        return None
    place = f"{file.name}:{node.start_mark.line + 1}"
    return Rule(name, kind, because, place, enhanced=enhanced, smtp=smtp, phases=phases, **lists)


def _scalar(node: yaml.Node | None, file: _File, read: Callable[[str], _T]) -> _T | None:
    if node is None:
        return None
    if not isinstance(node, yaml.ScalarNode):
        file.wrong(node, "must be a text")
        return None
    try:
        return read(str(node.value))
    except ValueError as error:
        file.wrong(node, f"{node.value!s:.80}: {error}")
        return None


def _list(node: yaml.Node | None, file: _File, read: Callable[[str], _T]) -> tuple[_T, ...]:
    """A list of texts, or one alone."""
    if node is None:
        return ()
    items = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if not items:
        file.wrong(node, "is empty; take it out or fill it")
    found = (_scalar(item, file, read) for item in items)
    return tuple(one for one in found if one is not None)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("is no name; write small letters, digits and hyphens, 64 at most")
    return text


def _bounce_type(text: str) -> BounceType:
    try:
        return BounceType(text)
    except ValueError:
        raise ValueError(f"is no class; write one of {', '.join(BounceType)}") from None


def _because(text: str) -> str:
    if not text.strip() or len(text) > 200:
        raise ValueError("say in 1 to 200 characters why such a reply means that class")
    return " ".join(text.split())


def _enhanced(text: str) -> str:
    if not _ENHANCED.fullmatch(text):
        raise ValueError("is no enhanced code; write 5.1.1, or its beginning such as 5.7, in quotes")
    return text


def _smtp(text: str) -> str:
    if not _SMTP.fullmatch(text):
        raise ValueError("is no SMTP code; write 550, or its beginning such as 55, in quotes")
    return text


def _phase(text: str) -> Phase:
    found = _PHASES.get(text.lower().replace("_", "-"))
    if found is None:
        raise ValueError(f"is no phase; write one of {', '.join(_PHASES)}")
    return found


def _twice(rules: Sequence[Rule]) -> list[str]:
    first: dict[str, str] = {}
    found = []
    for rule in rules:
        if rule.name in first:
            found.append(f"{rule.place}: {rule.name}: named twice, first at {first[rule.name]}; give it another name")
        first.setdefault(rule.name, rule.place)
    return found


def _shadowed(rules: Sequence[Rule]) -> list[str]:
    """Rules all of whose patterns an earlier rule without other conditions has, too."""
    owner: dict[str, Rule] = {}
    found = []
    for rule in rules:
        sources = [pattern.expression.pattern for pattern in rule.patterns]
        earlier = [owner.get(source) for source in sources]
        if sources and all(earlier):
            by = earlier[0]
            assert by is not None
            found.append(
                f"{rule.place}: {rule.name}: can never decide, since {by.name} ({by.place}) has the same patterns and"
                " comes first; move it before that, or take it out"
            )
        if not (rule.unless or rule.enhanced or rule.smtp or rule.phases or rule.hosts):
            for source in sources:
                owner.setdefault(source, rule)
    return found


def _under(code: str, prefix: str) -> bool:
    """Whether an enhanced code is one, or begins with its parts: 5.7.26 is under 5.7, not under 5.7.2."""
    return code == prefix or code.startswith(prefix + ".")
