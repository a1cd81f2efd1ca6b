"""Options that several commands share, and what becomes of them.

In: what the command line says. Out: settings and the words of the lists.
Refused: `SettingsError`, `EntryError`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from sendgate.entry import EVERYWHERE, Reason, Scope, check_name, parse_scope
from sendgate.settings import Settings, load

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Settings file; else SENDGATE_CONFIG, else /etc/sendgate/sendgate.yaml."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]
ReasonOption = Annotated[Reason | None, typer.Option("--reason", help="Only entries with this reason.")]
ScopeOption = Annotated[
    str | None,
    typer.Option("--scope", metavar="SCOPE", help="Only entries of this scope: *, stream:NAME or campaign:NAME."),
]
ListOption = Annotated[str | None, typer.Option("--list", metavar="LIST", help="Only entries of this list.")]


def settings_of(context: typer.Context, config: Path | None) -> Settings:
    """The settings, from the file named after the command, else before it, else as `settings.load` finds one."""
    return load(config or context.obj, os.environ)


def scope_of(text: str | None) -> Scope | None:
    """A scope from an option, None when it was not given."""
    return None if text is None else parse_scope(text)


def scope_or_everywhere(text: str | None) -> Scope:
    """A scope for new entries."""
    return scope_of(text) or EVERYWHERE


def list_of(text: str | None) -> str | None:
    """A list's name from an option, None when it was not given."""
    return None if text is None else check_name(text, "list")


def now() -> int:
    """Unix time in whole seconds, as entries have it."""
    return int(time.time())
