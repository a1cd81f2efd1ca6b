"""`sendgate repair`: write back what a shared origin has lost and this pod's replica still knows, or give it up.

In: the replica, the origin. Out: what was missing and was written. Refused: an embedded store, which has no replica.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated

import typer

from sendgate.cli import progress, stores
from sendgate.cli.options import ConfigOption, JsonOption, settings_of
from sendgate.cli.output import print_json, print_pairs
from sendgate.cli.problems import Exit, UsageError, complain
from sendgate.settings import Settings
from sendgate.store.repair import Repair
from sendgate.store.replica_writer import count_shards


def repair(
    context: typer.Context,
    from_replica: Annotated[
        bool, typer.Option("--from-replica", help="Write back what the origin has lost and this replica knows.")
    ] = False,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Let go, in all pods, of what this replica keeps since a loss.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Accept a loss without asking.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> int:
    """Mend a shared origin that has lost lists, or a part of them.

    Run it in a pod that followed it before the loss. Subjects come back by their key and without notes, until the
    same entries are added again. With --dry-run, exit status 1 when there is something to repair.
    """
    settings = settings_of(context, config)
    if from_replica == accept_loss:
        raise UsageError("say which: --from-replica writes back what was lost, --accept-loss lets it go")
    if not stores.shared(settings):
        raise UsageError("an embedded store is origin and replica in one; restore it from a copy")
    if accept_loss:
        return _give_up(settings, dry_run, yes, as_json)
    with _opened(settings, dry_run=dry_run, may_be_empty=True) as work, progress.show() as display:
        done = work.write_back(display.storing)
    answer = {"dry_run": dry_run, "shards": done.shards, "looked_at": done.looked_at}
    answer |= {"added": done.applied.added, "refreshed": done.applied.refreshed}
    if as_json:
        print_json(answer)
    else:
        if dry_run:
            print("dry run: nothing was changed; a repair would have done this")
        shards = ", ".join(map(str, done.shards)) or "none"
        print_pairs(
            [("shards that lost entries", shards), ("added", done.applied.added), ("refreshed", done.applied.refreshed)]
        )
    missing = done.applied.added + done.applied.refreshed or len(done.shards)
    return Exit.NO if dry_run and missing else Exit.YES


def _give_up(settings: Settings, dry_run: bool, yes: bool, as_json: bool) -> int:
    with _opened(settings, dry_run=True, may_be_empty=False) as work:
        kept = work.give_up()
    if not dry_run and not yes and not _agreed(kept):
        return Exit.NO
    if not dry_run:
        with _opened(settings, dry_run=False, may_be_empty=False) as work:
            kept = work.give_up()
    if as_json:
        print_json({"dry_run": dry_run, "released": kept})
    else:
        print(f"{kept:,} entries {'would be' if dry_run else 'were'} let go")
    return Exit.NO if dry_run and kept else Exit.YES


def _agreed(kept: int) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(f"--accept-loss releases {kept:,} entries; say --yes, as nobody can be asked here")
    if typer.confirm(f"Release {kept:,} entries that the origin has lost?", err=True):
        return True
    complain("nothing was changed")
    return False


@contextmanager
def _opened(settings: Settings, *, dry_run: bool, may_be_empty: bool) -> Iterator[Repair]:
    with ExitStack() as stack:
        environment = stores.open_replica_environment(settings)
        stack.callback(environment.close)
        with environment.begin() as txn:
            parts = count_shards(txn, environment)
        shards = stores.connect(settings, empty=may_be_empty, shards=parts)
        stack.callback(shards.client.close)
        yield Repair(shards, environment, stores.keyer(settings).secrets, dry_run=dry_run)
