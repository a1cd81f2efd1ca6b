"""From exceptions to exit codes and one line each on stderr. Commands raise; only `main` asks here.

0 yes; 1 no; 2 usage or configuration; 3 the store cannot be reached.
"""

from __future__ import annotations

import sys
from enum import IntEnum

import typer

from sendgate.entry import EntryError
from sendgate.feedback.state import StateError
from sendgate.listfile.errors import ListFileError
from sendgate.settings_file import SettingsError
from sendgate.smtp.listener import ListenError
from sendgate.store.errors import ShrinkError, StoreError


class Exit(IntEnum):
    """What the exit status of every command means."""

    YES = 0
    NO = 1
    USAGE = 2
    STORE = 3
    INTERRUPTED = 130


class UsageError(Exception):
    """What was asked for cannot be done; `problems` has one text for each mistake."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


EXPECTED = (
    UsageError,
    EntryError,
    ListFileError,
    SettingsError,
    ListenError,
    ShrinkError,
    StateError,
    StoreError,
    typer.TyperException,
)
"""Everything that is an answer to what was asked, and no fault of the program."""


def tell(error: Exception) -> Exit:
    """Write each problem as a line on stderr. Returns the exit status."""
    for problem in _problems(error):
        complain(problem)
    if isinstance(error, (StoreError, StateError)):
        return Exit.STORE
    return Exit.NO if isinstance(error, ShrinkError) else Exit.USAGE


def complain(problem: str) -> None:
    """One line on stderr."""
    print(f"sendgate: {' '.join(problem.split())}", file=sys.stderr)


def _problems(error: Exception) -> list[str]:
    if isinstance(error, (UsageError, SettingsError)):
        return list(error.problems)
    if isinstance(error, typer.TyperException):
        message = error.format_message().replace("Value error, ", "").rstrip(".")
        return [f"{message}. See `sendgate --help` or `sendgate COMMAND --help`."]
    return [str(error)]
