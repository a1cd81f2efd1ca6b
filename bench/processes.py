"""What the kernel says of processes: CPU time and memory.

In: process ids. Out: seconds, bytes. Refused: a process that is gone raises OSError.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ .*?(\S*)$", re.MULTILINE)


class Memory(NamedTuple):
    """Proportional set size in bytes: each page shared out among the processes that map it."""

    own: int
    mapped_list: int


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes, all threads, since they began."""
    return sum(_ticks(pid) for pid in pids) / _TICKS


def memory(pid: int, mapped_file: Path) -> Memory:
    """The set of one process, its share of `mapped_file` told apart."""
    total = _kilobytes(Path(f"/proc/{pid}/smaps_rollup").read_text())
    smaps = Path(f"/proc/{pid}/smaps").read_text()
    starts = [(match.start(), match[1]) for match in _MAPPING.finditer(smaps)]
    ends = [start for start, _ in starts[1:]] + [len(smaps)]
    blocks = [smaps[start:end] for (start, name), end in zip(starts, ends, strict=True) if name == str(mapped_file)]
    mapped = sum(_kilobytes(block) for block in blocks)
    return Memory((total - mapped) * 1024, mapped * 1024)


def anonymous_memory(pid: int) -> int:
    """Bytes of its own, without files that it maps; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def _kilobytes(text: str) -> int:
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0
