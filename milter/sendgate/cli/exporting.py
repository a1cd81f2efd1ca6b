"""`sendgate export`: write entries as csv or jsonl, which `import` reads back with nothing lost.

In: what to export. Out: a file, there only when it is whole, or stdout. Refused: a file that cannot be written.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import typer

from sendgate.cli.options import (
    ConfigOption,
    ListOption,
    ReasonOption,
    ScopeOption,
    list_of,
    scope_of,
    settings_of,
)
from sendgate.cli.problems import Exit, UsageError, complain
from sendgate.cli.stores import open_for_reading
from sendgate.listfile.formats import Format
from sendgate.listfile.writer import write


class ExportFormat(StrEnum):
    """The formats that lose nothing."""

    CSV = "csv"
    JSONL = "jsonl"


def export(
    context: typer.Context,
    reason: ReasonOption = None,
    scope: ScopeOption = None,
    list_name: ListOption = None,
    file_format: Annotated[ExportFormat, typer.Option("--format", help="How to write them.")] = ExportFormat.CSV,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write there instead of to stdout.")
    ] = None,
    config: ConfigOption = None,
) -> int:
    """Write entries out such that import reads them back; of an embedded store in the order they were added."""
    settings = settings_of(context, config)
    wanted = (list_of(list_name), reason, scope_of(scope))
    with open_for_reading(settings) as origin, _opened(output) as out:
        count = write(origin.scan(*wanted), Format(file_format), out)
    if output is not None:
        complain(f"{count:,} entries written to {output}")
    return Exit.YES


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    """Where to write: stdout, or a file that takes its name when all is written."""
    if path is None:
        yield sys.stdout
        return
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise UsageError(f"--output {path}: {error.strerror}") from None
    try:
        with os.fdopen(number, "w", encoding="utf-8") as out:
            yield out
        Path(name).replace(path)
    except OSError as error:
        raise UsageError(f"--output {path}: {error.strerror}") from None
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()
