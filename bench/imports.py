"""Import: `sendgate import` as an operator runs it, in every format and at several sizes.

In: a scale. Out: addresses a second, and the most memory that the command had: of its own, and mapped.
Refused: an import that fails, or adds another number of entries than the file has, raises RuntimeError.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from bench import lists, places
from bench.processes import Memory, memory_now
from bench.report import Report, Target, progress
from bench.scale import Scale
from trial.gate import Gate

FORMATS = ("txt", "csv", "jsonl")
RATE_LIMIT = 150_000
GROWTH_LIMIT = 1.3
_LOOK_EVERY_SECONDS = 0.05
_MIB = 2**20


class Run(NamedTuple):
    """One import. Memory in bytes, at its largest."""

    seconds: float
    own: int
    mapped: int


def run(scale: Scale) -> Report:
    report = Report(
        "import",
        "sendgate import into an empty store",
        ("file", "addresses", "addresses/s", "own memory, MiB", "mapped files, MiB"),
        notes=["Whole command, from start to exit, into a store on disk."],
    )
    runs: dict[tuple[str, int], Run] = {}
    for size in scale.import_sizes:
        for kind in FORMATS:
            progress(f"import: {size:,} addresses in {kind}")
            runs[kind, size] = _import(kind, size)
            _add(report, kind, size, runs[kind, size])
    _judge(report, runs, scale.import_sizes)
    return report


def _import(kind: str, size: int) -> Run:
    with places.folder() as folder:
        file = _write(folder / f"list.{kind}", kind, size)
        gate = Gate({"store": {"url": f"lmdb://{folder}/store"}})
        try:
            found, told = timed(gate, file)
        finally:
            gate.remove()
    if told["added"] != size:
        raise RuntimeError(f"the import of {file.name} added {told['added']:,} entries")
    return found


def timed(gate: Gate, file: Path, *options: str) -> tuple[Run, dict[str, int]]:
    """Run `sendgate import`. Returns what it took, and what it says that it did."""
    command = [sys.executable, "-m", "sendgate", "import", str(file), "--reason", "hard_bounce", "--json", *options]
    started = time.perf_counter()
    child = subprocess.Popen(
        [*command, "--config", str(gate.config)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    own = mapped = 0
    while child.poll() is None:
        seen = memory_now(child.pid) or Memory(0, 0)
        own, mapped = max(own, seen.own), max(mapped, seen.mapped)
        time.sleep(_LOOK_EVERY_SECONDS)
    seconds = time.perf_counter() - started
    told, _ = child.communicate()
    if child.returncode:
        raise RuntimeError(f"the import of {file.name} ended with {child.returncode}: {told!r}\n{gate.log_text()}")
    return Run(seconds, own, mapped), json.loads(told)


def _write(path: Path, kind: str, size: int) -> Path:
    """A list file: txt has addresses alone; the others have what an exchanged list has beside them."""
    if kind == "txt":
        return lists.write(path, size)
    with path.open("w", encoding="ascii") as file:
        if kind == "csv":
            file.write("email,reason,created\n")
        for number in range(size):
            day = f"2026-{number % 12 + 1:02}-{number % 28 + 1:02}"
            text = lists.address(number)
            if kind == "csv":
                file.write(f"{text},hard_bounce,{day}\n")
            else:
                file.write(f'{{"email": "{text}", "reason": "hard_bounce", "created": "{day}"}}\n')
    return path


def _add(report: Report, kind: str, size: int, found: Run) -> None:
    rate = size / found.seconds
    report.rows.append((kind, f"{size:,}", f"{rate:,.0f}", f"{found.own / _MIB:.0f}", f"{found.mapped / _MIB:.0f}"))
    report.figures |= {
        f"{kind}, {size}: addresses/s": rate,
        f"{kind}, {size}: own memory, MiB": found.own / _MIB,
        f"{kind}, {size}: mapped files, MiB": found.mapped / _MIB,
    }


def _judge(report: Report, runs: dict[tuple[str, int], Run], sizes: tuple[int, ...]) -> None:
    first, last = sizes[0], sizes[-1]
    for kind in FORMATS:
        rate = last / runs[kind, last].seconds
        report.targets.append(Target(f"{kind}, {last:,} addresses: addresses/s", rate, RATE_LIMIT, at_least=True))
    if first != last:
        growth = max(runs[kind, last].own / runs[kind, first].own for kind in FORMATS)
        report.targets.append(Target(f"own memory, {last:,} to {first:,} addresses", growth, GROWTH_LIMIT))
