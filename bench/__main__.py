"""`python -m bench [MEASURE...] [--quick | --full] [--json FILE]`: run measures and print what they found.

In: names of measures; none is all. Out: a table for each, and the figures as JSON when asked for.
Exit code: 0 when all ran, 2 when one could not. A target that is not reached is printed, and is no failure: a busy
machine can miss any of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from bench import buckets, cpu, growth, imports, memory, propagation, replicas, shared, throughput
from bench.report import Report, progress, save
from bench.scale import DEFAULT, FULL, QUICK, Scale
from trial.mta import TrialError

MEASURES: dict[str, Callable[[Scale], Report]] = {
    "cpu": cpu.run,
    "throughput": throughput.run,
    "growth": growth.run,
    "memory": memory.run,
    "import": imports.run,
    "propagation": propagation.run,
    "shared": shared.run,
    "buckets": buckets.run,
    "replica": replicas.run,
}


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    scale = QUICK if options.quick else FULL if options.full else DEFAULT
    reports = []
    try:
        for name in options.measures or MEASURES:
            report = MEASURES[name](scale)
            report.show()
            reports.append(report)
    except TrialError as error:
        progress(str(error))
        return 2
    finally:
        if options.json:
            save(options.json, reports)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="The measures of docs/performance.md.")
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=f"of {', '.join(MEASURES)}; none is all")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="all within about 3 minutes, for a look")
    size.add_argument("--full", action="store_true", help="50 million entries, imports of 10 million")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args(arguments)
    unknown = set(options.measures) - set(MEASURES)
    if unknown:
        parser.error(f"there is no measure {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
