"""`sendgate import`: load a list file, all of it or nothing.

In: a file or stdin, defaults for what its lines do not say. Out: what became of the lines.
Refused: the whole import by the shrink guard and by what is no list file. Bad lines are passed over and reported.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, TextIO

import typer

from sendgate.cli import progress, stores
from sendgate.cli.options import ConfigOption, JsonOption, list_of, now, scope_or_everywhere, settings_of
from sendgate.cli.output import print_json, print_pairs
from sendgate.cli.problems import Exit, UsageError, complain
from sendgate.entry import DEFAULT_LIST, Reason
from sendgate.listfile.columns import Defaults
from sendgate.listfile.formats import Format
from sendgate.listfile.lines import BadLine
from sendgate.listfile.reader import ListReader
from sendgate.listfile.source import Source, open_source
from sendgate.listfile.times import parse_expiry
from sendgate.settings import Settings
from sendgate.store.origin import Applied, LoadOptions, Origin

SHOWN_BAD_LINES = 20
_INTERRUPTED = {
    False: "nothing was changed",
    True: "what was written so far stays, and nothing was removed before; the same import again does the rest",
}
"""What an end in the middle leaves, by whether the origin is shared."""


@dataclass(slots=True)
class BadLines:
    """Counts bad lines, shows the first, writes all to a file if there is one. hint: where to see all, without one."""

    file: TextIO | None = None
    count: int = 0
    hint: str = "; --errors FILE writes all"

    def __call__(self, line: BadLine) -> None:
        self.count += 1
        if self.count <= SHOWN_BAD_LINES:
            complain(f"line {line.number}: {line.reason}: {line.text!r}")
        if self.file:
            self.file.write(f"{line.number}\t{line.reason}\t{line.text}\n")

    def conclude(self) -> None:
        """Say how many were not shown."""
        if self.count > SHOWN_BAD_LINES:
            where = f"; all are in {self.file.name}" if self.file else self.hint
            complain(f"{self.count:,} bad lines, of which the first {SHOWN_BAD_LINES} are shown{where}")


@dataclass(slots=True)
class Outcome:
    """What became of a file."""

    dry_run: bool
    lines: int = 0
    added: int = 0
    refreshed: int = 0
    unchanged: int = 0
    removed: int = 0
    bad_lines: int = 0
    seconds: float = 0.0
    lines_per_second: int = 0
    ignored_columns: list[str] = field(default_factory=list)


def import_(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="txt, csv or jsonl, gzipped or not; - is stdin.")],
    reason: Annotated[Reason | None, typer.Option("--reason", help="For lines that name none.")] = None,
    scope: Annotated[str | None, typer.Option("--scope", metavar="SCOPE", help="For lines that name none.")] = None,
    list_name: Annotated[str | None, typer.Option("--list", metavar="LIST", help="For lines that name none.")] = None,
    expires: Annotated[
        str, typer.Option("--expires", metavar="WHEN", help="30d, 2026-12-31 or never; if the file does not say.")
    ] = "never",
    file_format: Annotated[
        Format | None, typer.Option("--format", help="Else by the file's extension, else by its first line.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Remove what is on --list but not in the file.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do everything but the last step: nothing changes.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace even if the list shrinks by over 20 %.")] = False,
    errors: Annotated[Path | None, typer.Option("--errors", metavar="FILE", help="Write all bad lines there.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> int:
    """Load a list file: all its good lines.

    When it is stopped, an embedded store is as it was. A shared one may have some of the new entries already, and
    loses old ones only at the very end; the same import again does the rest.
    """
    settings = settings_of(context, config)
    name = list_of(list_name)
    if replace and name is None:
        raise UsageError("--replace needs --list: the list that the file is all of")
    time_now = now()
    defaults = Defaults(
        now=time_now,
        reason=reason,
        scope=scope_or_everywhere(scope),
        list=name or DEFAULT_LIST,
        expires=parse_expiry(expires, time_now),
        only_list=name if replace else None,
    )
    options = LoadOptions(replace=name if replace else None, force=force, dry_run=dry_run)
    with ExitStack() as stack:
        bad = BadLines(stack.enter_context(_open_errors(errors)) if errors else None)
        source = stack.enter_context(open_source(file))
        reader = ListReader(source, file_format, defaults, bad)
        try:
            outcome = _load(settings, source, reader, options)
        except KeyboardInterrupt:
            complain(f"interrupted; {_INTERRUPTED[stores.shared(settings)]}")
            return Exit.INTERRUPTED
        bad.conclude()
        outcome.bad_lines = bad.count
    _answer(outcome, as_json)
    return Exit.NO if outcome.bad_lines else Exit.YES


def _load(settings: Settings, source: Source, reader: ListReader, options: LoadOptions) -> Outcome:
    started = time.monotonic()
    with progress.show() as display:
        reader.watch = lambda: display.reading(reader.lines, source.taken, source.size)
        rows = iter(reader)
        # A file that is no list must not leave an empty store behind, which would let everybody pass.
        first = next(rows, None)
        with _open(settings, options) as origin:
            applied = origin.load(rows if first is None else chain((first,), rows), options, display.storing)
    return _outcome(reader, options, applied, time.monotonic() - started)


@contextmanager
def _open(settings: Settings, options: LoadOptions) -> Iterator[Origin]:
    if options.dry_run and not stores.exists(settings):
        temporary = tempfile.TemporaryDirectory(prefix="sendgate-dry-run-")
        with temporary as folder, stores.open_scratch(settings, Path(folder)) as origin:
            yield origin
        return
    with stores.open_origin(settings, create=not options.dry_run) as origin:
        yield origin


def _open_errors(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"--errors {path}: {error.strerror}") from None


def _outcome(reader: ListReader, options: LoadOptions, applied: Applied, seconds: float) -> Outcome:
    return Outcome(
        dry_run=options.dry_run,
        lines=reader.lines,
        added=applied.added,
        refreshed=applied.refreshed,
        unchanged=applied.unchanged,
        removed=applied.removed,
        seconds=round(seconds, 2),
        lines_per_second=round(reader.lines / max(seconds, 0.001)),
        ignored_columns=reader.ignored,
    )


def _answer(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        print_json(asdict(outcome))
        return
    if outcome.dry_run:
        print("dry run: nothing was changed; an import would have done this")
    pairs: dict[str, object] = {name.replace("_", " "): value for name, value in asdict(outcome).items()}
    del pairs["dry run"]
    ignored = outcome.ignored_columns
    pairs["ignored columns"] = ", ".join(ignored[:10]) + (" ..." if len(ignored) > 10 else "") if ignored else "none"
    print_pairs(pairs.items())
