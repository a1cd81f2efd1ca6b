"""Where settings come from: the YAML file with the line of every key, and the environment.

In: a path, the environment. Out: a `Document`: plain values, and a place for each of them.
Refused: `SettingsError`: no file, not readable, not YAML, not a mapping, a key twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

PREFIX = "SENDGATE_"
MAX_DEPTH = 8
"""Of mappings in mappings; an alias of YAML can make one hold itself."""
_NOT_YAML = (yaml.YAMLError, ValueError, RecursionError)
"""The latter two for what looks like a date but is none, and for nesting without end."""


class SettingsError(ValueError):
    """Settings that cannot be used. `problems` has one text for each mistake, beginning with its place."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(slots=True)
class Document:
    """Values by section and key, and where each was written."""

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[tuple[str, ...], str] = field(default_factory=dict)

    def place(self, path: tuple[str, ...]) -> str:
        """`file:line: dotted.key` (or the variable) of the nearest written part of `path`."""
        for length in range(len(path), 0, -1):
            where = self.places.get(path[:length])
            if where is not None:
                return f"{where}: {'.'.join(path)}"
        return f"{self.name}: {'.'.join(path)}" if path else self.name


def read_file(path: Path, required: bool) -> Document:
    """Read a settings file. A missing one is an empty document unless `required`. Raises SettingsError."""
    document = Document(str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if not required:
            return document
        raise SettingsError([f"{path}: no such file; name another with --config or SENDGATE_CONFIG"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path}: cannot be read: {error}"]) from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except _NOT_YAML as error:
        raise SettingsError([f"{path}{_line(error)}: not YAML: {_one_line(error)}"]) from None
    if values is None:
        return document
    if not isinstance(values, dict):
        raise SettingsError([f"{path}:1: must be a mapping of sections"])
    problems: list[str] = []
    _note_places(node, (), document, problems)
    if problems:
        raise SettingsError(problems)
    document.values = values
    return document


def read_environment(environment: Mapping[str, str], document: Document) -> list[str]:
    """Lay `SENDGATE_SECTION__KEY` variables over the document; returns the problems found in them."""
    problems = []
    for variable, text in sorted(environment.items()):
        if not variable.startswith(PREFIX) or "__" not in variable:
            continue
        path = tuple(part.lower() for part in variable.removeprefix(PREFIX).split("__"))
        try:
            value = yaml.safe_load(text)
        except _NOT_YAML as error:
            problems.append(f"{variable}: not YAML: {_one_line(error)}")
            continue
        if not _lay(document.values, path, value):
            problems.append(f"{variable}: {'.'.join(path[:-1])} is no section")
            continue
        for length in range(1, len(path)):
            document.places.setdefault(path[:length], variable)
        document.places[path] = variable
    return problems


def _lay(values: dict[str, Any], path: tuple[str, ...], value: object) -> bool:
    for part in path[:-1]:
        inner = values.setdefault(part, {})
        if inner is None:
            inner = values[part] = {}
        if not isinstance(inner, dict):
            return False
        values = inner
    values[path[-1]] = value
    return True


def _note_places(node: Any, path: tuple[str, ...], document: Document, problems: list[str]) -> None:
    if not isinstance(node, yaml.MappingNode) or len(path) == MAX_DEPTH:
        return
    for key_node, value_node in node.value:
        key = (*path, str(key_node.value))
        where = f"{document.name}:{key_node.start_mark.line + 1}"
        if key in document.places:
            problems.append(f"{where}: {'.'.join(key)}: written twice")
        document.places[key] = where
        _note_places(value_node, key, document, problems)


def _line(error: Exception) -> str:
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return f":{mark.line + 1}" if mark else ""


def _one_line(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        return ", ".join(part for part in (error.context, error.problem) if part)
    return " ".join(str(error).split())
