"""`sendgate rekey`: put the store under another secret, and move there the entries that a file names.

In: a file of addresses or other subjects, or stdin. Out: what was moved, and how many entries nobody named.
Refused: settings without store.previous_hash_key_file. Bad lines are passed over and reported.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain, islice
from typing import Annotated

import typer

from sendgate.cli import progress, stores
from sendgate.cli.importing import BadLines
from sendgate.cli.options import ConfigOption, JsonOption, settings_of
from sendgate.cli.output import print_json, print_pairs
from sendgate.cli.problems import Exit, UsageError, complain
from sendgate.entry import Subject
from sendgate.keys import KEY_SCHEME
from sendgate.listfile.reader import ListReader
from sendgate.listfile.source import Source, open_source
from sendgate.settings import Settings

UNNAMED = (
    "{:,} entries were not named by the file; they stay in force for as long as store.previous_hash_key_file is set"
)


@dataclass(slots=True)
class Outcome:
    """What became of the entries, and of the file."""

    dry_run: bool
    lines: int = 0
    bad_lines: int = 0
    secret_changed: bool = False
    moved: int = 0
    already: int = 0
    unnamed: int = 0
    seconds: float = 0.0


def rekey(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="txt, csv or jsonl, gzipped or not; - is stdin.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> int:
    """Put the store under the secret of store.hash_key_file, and move there the entries that a file names.

    The settings name both secrets, in all pods. Exit status 0 when the file names all entries, 1 when some are left.
    """
    settings = settings_of(context, config)
    if settings.store.previous_hash_key_file is None:
        raise UsageError("store.previous_hash_key_file is not set; it names the secret that the store is under so far")
    bad = BadLines(hint="")
    with open_source(file) as source:
        reader = ListReader(source, None, None, bad)
        try:
            outcome = _rekey(settings, source, reader, dry_run)
        except KeyboardInterrupt:
            complain("interrupted; every entry is in force, and the same again does the rest")
            return Exit.INTERRUPTED
    bad.conclude()
    outcome.bad_lines = bad.count
    _answer(outcome, as_json)
    return Exit.NO if outcome.unnamed else Exit.YES


def _rekey(settings: Settings, source: Source, reader: ListReader, dry_run: bool) -> Outcome:
    started = time.monotonic()
    subjects = _Subjects(reader)
    with progress.show() as display:
        reader.watch = lambda: display.reading(reader.lines, source.taken, source.size)
        rows = iter(subjects)
        first = list(islice(rows, 1))  # a file that is no list is told before the store is asked
        opened = stores.open_for_reading(settings) if dry_run else stores.open_origin(settings, create=False)
        with opened as origin:
            done = origin.rekey(chain(first, rows), display.storing, dry_run=dry_run)
    if subjects.keys:
        complain(f"{subjects.keys:,} lines hold keys, as an export of this store does; they tell no address")
    return Outcome(
        dry_run=dry_run,
        lines=reader.lines,
        secret_changed=done.changed,
        moved=done.moved,
        already=done.already,
        unnamed=done.unnamed,
        seconds=round(time.monotonic() - started, 2),
    )


class _Subjects:
    """The subjects of a file that tell whom they name. keys: how many others there were."""

    def __init__(self, reader: ListReader) -> None:
        self._reader = reader
        self.keys = 0

    def __iter__(self) -> Iterator[Subject]:
        for subject, _ in self._reader:
            if subject.text.startswith(KEY_SCHEME):
                self.keys += 1
            else:
                yield subject


def _answer(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        print_json(asdict(outcome))
        return
    if outcome.dry_run:
        print("dry run: nothing was changed; without --dry-run this would have been done")
    pairs: dict[str, object] = {name.replace("_", " "): value for name, value in asdict(outcome).items()}
    del pairs["dry run"]
    pairs["secret changed"] = "yes" if outcome.secret_changed else "it was before"
    print_pairs(pairs.items())
    if outcome.unnamed:
        print(UNNAMED.format(outcome.unnamed))
    else:
        print("every entry is under the current secret; store.previous_hash_key_file is not needed any more")
