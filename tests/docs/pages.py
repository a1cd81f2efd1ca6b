"""Markdown pages, as far as the tests of this folder need them.

In: the project's .md files. Out: tables, fenced blocks, headings and links of a page.
Refused: nothing; a page that is not there raises FileNotFoundError.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block: its language and its text."""

    language: str
    text: str


def pages() -> list[Path]:
    """All pages of the project."""
    found = (path for path in ROOT.rglob("*.md") if not _is_foreign(path.relative_to(ROOT)))
    return sorted(found)


def docs(name: str) -> str:
    """The text of a page in docs/."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The texts of all fenced blocks of a language."""
    return [block.text for block in (Block(*match) for match in _FENCE.findall(text)) if block.language == language]


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return _FENCE.sub("", text)


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows, headings included, rulers not."""
    lines = (line for line in prose(text).splitlines() if line.startswith("|"))
    table = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in table if not all(re.fullmatch(r"-+", cell) for cell in row)]


def section(text: str, heading: str) -> str:
    """What is under a heading, up to the next of its level or above."""
    match = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert match, f"there is no heading {heading!r}"
    rest = text[match.end() :]
    end = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def code(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def headings(text: str) -> list[str]:
    """All headings, as they are written."""
    return re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)


def anchor(heading: str) -> str:
    """The fragment that a heading is linked by."""
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.replace(" ", "-")


def links(text: str) -> list[str]:
    """The targets of all links that lead to files, not to other hosts."""
    return [target for target in _LINK.findall(prose(text)) if not re.match(r"[a-z]+:", target)]


def _is_foreign(path: Path) -> bool:
    return any(part.startswith(".") or part in ("build", "dist", "node_modules") for part in path.parts)
