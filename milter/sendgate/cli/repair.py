"""`sendgate repair`: write back what a shared origin has lost and this pod's replica still knows, or give it up.

In: the replica, but for --recount; the origin. Out: what was missing and was written, which counts were put right.
Refused: an embedded store, which has no replica.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Annotated

import typer

from sendgate.cli import progress, stores
from sendgate.cli.options import ConfigOption, JsonOption, settings_of
from sendgate.cli.output import print_json, print_pairs
from sendgate.cli.problems import Exit, UsageError, complain
from sendgate.settings import Settings
from sendgate.store.counted import Recounted, ShardCount, count_all, recount
from sendgate.store.repair import Repair, Repaired
from sendgate.store.replica_writer import count_shards


def repair(
    context: typer.Context,
    from_replica: Annotated[
        bool, typer.Option("--from-replica", help="Write back what the origin has lost and this replica knows.")
    ] = False,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Let go, in all pods, of what this replica keeps since a loss.")
    ] = False,
    count_anew: Annotated[
        bool, typer.Option("--recount", help="Have the origin count what it has, for all pods; needs no replica.")
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
    if from_replica + accept_loss + count_anew != 1:
        raise UsageError(
            "say which: --from-replica writes back what was lost, --accept-loss lets it go, "
            "--recount takes what is there for all"
        )
    if not stores.shared(settings):
        raise UsageError("an embedded store is origin and replica in one; restore it from a copy")
    if accept_loss:
        return _give_up(settings, dry_run, yes, as_json)
    return _recount(settings, dry_run, yes, as_json) if count_anew else _write_back(settings, dry_run, as_json)


def _write_back(settings: Settings, dry_run: bool, as_json: bool) -> int:
    with _opened(settings, dry_run=dry_run, may_be_empty=True) as work, progress.show() as display:
        done = work.write_back(display.storing)
    if as_json:
        answer = {"dry_run": dry_run, "shards": done.shards, "looked_at": done.looked_at}
        answer |= {"added": done.applied.added, "refreshed": done.applied.refreshed}
        print_json(answer | {"recounted": _shown(done.recounted), "lacking": _shown(done.lacking)})
    else:
        _print_written(done, dry_run)
    for one in done.lacking:
        complain(
            f"shard {one.shard} counts {one.counted:,} entries and has {one.found:,}: this replica lacks the others, "
            "too, or they were added again since; do the same in the other pods, then `sendgate repair --recount`"
        )
    missing = done.applied.added + done.applied.refreshed or len(done.shards)
    return Exit.NO if done.lacking or (dry_run and missing) else Exit.YES


def _print_written(done: Repaired, dry_run: bool) -> None:
    if dry_run:
        print("dry run: nothing was changed; a repair would have done this")
    shards = ", ".join(map(str, done.shards)) or "none"
    print_pairs(
        [("shards that lost entries", shards), ("added", done.applied.added), ("refreshed", done.applied.refreshed)]
    )
    _print_recounted(done.recounted)


def _give_up(settings: Settings, dry_run: bool, yes: bool, as_json: bool) -> int:
    with _opened(settings, dry_run=True, may_be_empty=False) as work:
        kept = work.give_up()
    if not dry_run and not yes and not _agreed_to_release(kept):
        return Exit.NO
    recounted: list[Recounted] = []
    if not dry_run:
        with _opened(settings, dry_run=False, may_be_empty=False) as work, progress.show() as display:
            kept = work.give_up()
            recounted = work.recount(display.storing)
    if as_json:
        print_json({"dry_run": dry_run, "released": kept, "recounted": _shown(recounted)})
    else:
        print(f"{kept:,} entries {'would be' if dry_run else 'were'} let go")
        _print_recounted(recounted)
    return Exit.NO if dry_run and kept else Exit.YES


def _recount(settings: Settings, dry_run: bool, yes: bool, as_json: bool) -> int:
    with closing(stores.connect(settings)) as shards:
        shards.check(range(shards.layout.shards))
        with progress.show() as display:
            counts = count_all(shards, display.storing)
        wrong = _wrong(counts)
        if wrong and not dry_run:
            if not yes and not _agreed_to_recount(wrong):
                return Exit.NO
            wrong = recount(counts)
    if as_json:
        print_json({"dry_run": dry_run, "recounted": _shown(wrong)})
        return Exit.NO if dry_run and wrong else Exit.YES
    if dry_run:
        print("dry run: nothing was changed; a repair would have done this")
    _print_recounted(wrong)
    if not wrong:
        print("every shard has as many entries as it counts")
    elif _lost(wrong):
        print("what was lost stays lost: pods that have it enforce it, new ones do not")
    return Exit.NO if dry_run and wrong else Exit.YES


def _wrong(counts: Sequence[ShardCount]) -> list[Recounted]:
    """What is wrong with counts, each of one moment."""
    for count in counts:
        count.settle()
    return [wrong for count in counts if (wrong := count.wrong())]


def _lost(wrong: Sequence[Recounted]) -> int:
    """How many entries are counted and not there."""
    return sum(max(0, one.counted - one.found) for one in wrong)


def _shown(counts: Sequence[Recounted]) -> list[dict[str, int]]:
    return [one._asdict() for one in counts]


def _print_recounted(counts: Sequence[Recounted]) -> None:
    for one in counts:
        print(f"shard {one.shard}: counted {one.counted:,}, has {one.found:,}")


def _agreed_to_release(kept: int) -> bool:
    return _agreed(f"--accept-loss releases {kept:,} entries", f"Release {kept:,} entries that the origin has lost?")


def _agreed_to_recount(wrong: Sequence[Recounted]) -> bool:
    for one in wrong:
        complain(f"shard {one.shard}: counted {one.counted:,}, has {one.found:,}")
    lost = _lost(wrong)
    return _agreed(
        f"--recount takes {lost:,} entries that are counted and not there for lost",
        f"Take {lost:,} entries for lost? Pods that have them enforce them, new ones do not.",
    )


def _agreed(meaning: str, question: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(f"{meaning}; say --yes, as nobody can be asked here")
    if typer.confirm(question, err=True):
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
