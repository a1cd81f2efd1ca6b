"""The `sendgate` command: its commands, and what becomes of their answers.

In: the command line. Out: an exit status (see `problems`). Refused: nothing ends in a traceback that is not a
fault of the program.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sendgate import __version__
from sendgate.cli.add import add
from sendgate.cli.check import check_config
from sendgate.cli.classify import check_rules, classify
from sendgate.cli.explain import explain
from sendgate.cli.exporting import export
from sendgate.cli.importing import import_
from sendgate.cli.ingest import ingest
from sendgate.cli.options import ConfigOption
from sendgate.cli.parse import parse
from sendgate.cli.problems import EXPECTED, Exit, complain, tell
from sendgate.cli.rekey import rekey
from sendgate.cli.remove import remove
from sendgate.cli.repair import repair
from sendgate.cli.stats import lists, stats
from sendgate.cli.undo import undo
from sendgate.cli.verp import app as verp

app = typer.Typer(
    name="sendgate",
    help="The gate between a sender and the world: refuses suppressed recipients.",
    epilog="Exit status: 0 yes, 1 no, 2 usage or configuration, 3 the store cannot be reached.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"sendgate {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    config: ConfigOption = None,
    version: Annotated[  # noqa: ARG001 - the callback does it
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = config


@app.command("serve")
def _serve(context: typer.Context, config: ConfigOption = None) -> None:
    """Run the gate until SIGTERM; SIGHUP reads the settings again."""
    from sendgate.cli.serve import serve  # here, so that no other command pays for libmilter and the HTTP server

    chosen: Path | None = config or context.obj
    serve(chosen)


app.command("check-config")(check_config)
app.command("check-rules")(check_rules)
app.command("classify")(classify)
app.command("add")(add)
app.command("remove")(remove)
app.command("import")(import_)
app.command("export")(export)
app.command("ingest")(ingest)
app.command("explain")(explain)
app.command("parse")(parse)
app.command("rekey")(rekey)
app.command("repair")(repair)
app.command("stats")(stats)
app.command("lists")(lists)
app.command("undo")(undo)
app.add_typer(verp, name="verp")


def run(arguments: Sequence[str]) -> int:
    """Run one command. Returns its exit status."""
    try:
        status = app(args=list(arguments), prog_name="sendgate", standalone_mode=False)
        sys.stdout.flush()
    except EXPECTED as error:
        return tell(error)
    except typer.Abort:
        complain("interrupted")
        return Exit.INTERRUPTED
    return status if isinstance(status, int) else Exit.YES


def main() -> None:
    """Run the command line of this process, and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))
