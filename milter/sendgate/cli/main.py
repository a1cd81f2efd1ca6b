"""The `sendgate` command: its commands, and what becomes of their answers.

In: the command line. Out: an exit status (see `problems`). Refused: nothing ends in a traceback that is not a
fault of the program.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from sendgate import __version__
from sendgate.cli.options import ConfigOption
from sendgate.cli.problems import EXPECTED, Exit, complain, tell

COMMANDS = {
    "check-config": "check:check_config",
    "check-rules": "classify:check_rules",
    "classify": "classify:classify",
    "add": "add:add",
    "remove": "remove:remove",
    "import": "importing:import_",
    "export": "exporting:export",
    "ingest": "ingest:ingest",
    "explain": "explain:explain",
    "parse": "parse:parse",
    "rekey": "rekey:rekey",
    "repair": "repair:repair",
    "stats": "stats:stats",
    "lists": "stats:lists",
    "undo": "undo:undo",
    "verp": "verp:app",
}
"""Every command but serve: its module in this package, and what is there. A command loads its own module only."""


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"sendgate {__version__}")
        raise typer.Exit


def _root(
    context: typer.Context,
    config: ConfigOption = None,
    version: Annotated[  # noqa: ARG001 - the callback does it
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = config


def _serve(context: typer.Context, config: ConfigOption = None) -> None:
    """Run the gate until SIGTERM; SIGHUP reads the settings again."""
    from sendgate.cli.serve import serve  # here, so that no other command pays for libmilter and the HTTP server

    chosen: Path | None = config or context.obj
    serve(chosen)


def program(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with serve and these commands."""
    app = typer.Typer(
        name="sendgate",
        help="The gate between a sender and the world: refuses suppressed recipients.",
        epilog="Exit status: 0 yes, 1 no, 2 usage or configuration, 3 the store cannot be reached.",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    app.callback()(_root)
    app.command("serve")(_serve)
    for name in names:
        module, _, found = COMMANDS[name].partition(":")
        command = getattr(import_module(f"sendgate.cli.{module}"), found)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command. Returns its exit status."""
    try:
        app = program(_wanted(arguments))
        status = app(args=list(arguments), prog_name="sendgate", standalone_mode=False)
        sys.stdout.flush()
    except EXPECTED as error:
        return tell(error)
    except typer.Abort:
        complain("interrupted")
        return Exit.INTERRUPTED
    return status if isinstance(status, int) else Exit.YES


def _wanted(arguments: Sequence[str]) -> Iterable[str]:
    """The command that is meant, if that is plain to see; else all, for the help and for mistakes."""
    first = arguments[2:] if arguments[:1] == ["--config"] else arguments
    name = first[0] if first else ""
    return [name] if name in COMMANDS else [] if name == "serve" else COMMANDS


def _end(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def main() -> None:
    """Run the command line of this process, and exit."""
    if os.getpid() == 1:  # in a container: the kernel keeps from process 1 the signals that it has no handler for
        signal.signal(signal.SIGTERM, _end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))
