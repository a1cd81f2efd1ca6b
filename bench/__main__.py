"""`python -m bench [MEASURE...] [--quick | --full] [--json FILE]`: run measures and print what they found.

In: names of measures; none is all. `accuracy` has options of its own: the corpus, what to print of it, a day's log.
Out: a table for each, and the figures as JSON when asked for.
Exit code: 0 when all ran, 2 when one could not. A target that is not reached is printed, and is no failure: a busy
machine can miss any of them.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from bench import accuracy
from bench.accuracy_corpus import VARIABLE, CorpusError
from bench.report import Report, progress, save
from bench.scale import DEFAULT, FULL, QUICK, Scale
from trial.mta import TrialError

MODULES = {
    "cpu": "cpu",
    "throughput": "throughput",
    "growth": "growth",
    "memory": "memory",
    "import": "imports",
    "propagation": "propagation",
    "shared": "shared",
    "buckets": "buckets",
    "replica": "replicas",
}
"""Where each measure is; it is imported when it runs."""
NAMES = (*MODULES, "accuracy")


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    scale = QUICK if options.quick else FULL if options.full else DEFAULT
    reports: list[Report] = []
    try:
        for name in options.measures or NAMES:
            for report in _measure(name, scale, options):
                report.show()
                reports.append(report)
    except (TrialError, CorpusError) as error:
        progress(str(error))
        return 2
    finally:
        if options.json:
            save(options.json, reports)
    return 0


def _measure(name: str, scale: Scale, options: argparse.Namespace) -> list[Report]:
    if name == "accuracy":
        lines = options.day or scale.day_lines
        return accuracy.run(accuracy.Options(options.corpus, options.misses, tuple(options.set), lines, options.log))
    return [import_module(f"bench.{MODULES[name]}").run(scale)]


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="The measures of docs/performance.md.")
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=f"of {', '.join(NAMES)}; none is all")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="all within about 3 minutes, for a look")
    size.add_argument("--full", action="store_true", help="50 million entries, imports of 10 million")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    of_accuracy = parser.add_argument_group("accuracy")
    of_accuracy.add_argument("--corpus", type=Path, metavar="DIR", help=f"its corpus; else ${VARIABLE}, else our own")
    of_accuracy.add_argument("--set", action="append", default=[], metavar="NAME", help="only this set; repeatable")
    of_accuracy.add_argument("--misses", action="store_true", help="list all that is not as it should be")
    of_accuracy.add_argument("--day", type=int, metavar="LINES", help="length of the made-up day's log")
    of_accuracy.add_argument("--log", type=Path, metavar="FILE", help="keep that log there, or take the one that is")
    options = parser.parse_args(arguments)
    unknown = set(options.measures) - set(NAMES)
    if unknown:
        parser.error(f"there is no measure {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
