"""Those that are compared: a private Postfix each, with Sendgate, the C milter, its own cdb map, or nothing.

In: the size of the list. Out: running contenders with their port and the processes whose CPU time counts.
Refused: `TrialError` when a part does not start.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import lists, places
from bench.bare import Bare
from trial.gate import Gate
from trial.mta import Postfix, command_path
from trial.waiting import wait_until

DRAIN_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Contender:
    """A Postfix to send to. `pids`: the milter's worker processes, none without a milter."""

    name: str
    mta: Postfix
    pids: Callable[[], list[int]]

    def drain(self) -> None:
        """Wait until its queue is empty, so that its deliveries are not in the way of the next one."""
        folders = [self.mta.queue_directory / name for name in ("incoming", "active", "maildrop")]
        wait_until(lambda: not any(_files(folder) for folder in folders), DRAIN_SECONDS, "the queue is empty")


@contextmanager
def line_up(size: int, names: tuple[str, ...]) -> Iterator[list[Contender]]:
    """The contenders of these names (keys of KINDS), with a list of so many addresses, running until the end."""
    with ExitStack() as stack, places.in_memory():
        folder = stack.enter_context(places.folder())
        needs_store = any(name.startswith("Sendgate") for name in names)
        store = lists.fill(folder / "store", size) if needs_store else folder
        yield [KINDS[name](name, stack, store, size) for name in names]


def gate(store: Path, workers: int) -> Gate:
    """A Sendgate on this store with the settings it comes with."""
    return Gate({"store": {"url": f"lmdb://{store}"}, "milter": {"workers": workers}})


def _plain(name: str, stack: ExitStack, _store: Path, _size: int) -> Contender:
    return Contender(name, stack.enter_context(Postfix()), list)


def _bare(name: str, stack: ExitStack, _store: Path, size: int) -> Contender:
    milter = stack.enter_context(Bare(size))
    return Contender(name, stack.enter_context(Postfix([milter.milter])), milter.worker_pids)


def _sendgate(workers: int) -> Callable[[str, ExitStack, Path, int], Contender]:
    def start(name: str, stack: ExitStack, store: Path, _size: int) -> Contender:
        milter = stack.enter_context(gate(store, workers))
        return Contender(name, stack.enter_context(Postfix([milter.milter])), milter.worker_pids)

    return start


def _cdb(name: str, stack: ExitStack, _store: Path, size: int) -> Contender:
    """Postfix alone, with the list as an access map of its own."""
    folder = stack.enter_context(places.folder())
    source = folder / "list"
    with source.open("w", encoding="ascii") as file:
        file.writelines(f"{lists.address(number)} 550 5.7.1 recipient suppressed\n" for number in range(size))
    mta = stack.enter_context(Postfix())
    subprocess.run([command_path("postmap"), "-c", str(mta.config), f"cdb:{source}"], check=True)
    mta.set(smtpd_recipient_restrictions=f"check_recipient_access cdb:{source}")
    mta.reload()
    return Contender(name, mta, list)


KINDS: dict[str, Callable[[str, ExitStack, Path, int], Contender]] = {
    "plain Postfix": _plain,
    "cdb map": _cdb,
    "C milter": _bare,
    "Sendgate": _sendgate(0),
    "Sendgate, 1 worker": _sendgate(1),
    "Sendgate, 2 workers": _sendgate(2),
}


def _files(folder: Path) -> bool:
    return any(path.is_file() for path in folder.rglob("*"))
