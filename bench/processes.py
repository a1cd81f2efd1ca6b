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
    """Bytes of a process, those of a mapped list or file told apart."""

    own: int
    mapped: int


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes, all threads, since they began."""
    return sum(_ticks(pid) for pid in pids) / _TICKS


def memory(pid: int, mapped_file: Path) -> Memory:
    """Its proportional set size: each page shared out among the processes that map it."""
    total = _field(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss")
    smaps = Path(f"/proc/{pid}/smaps").read_text()
    starts = [(match.start(), match[1]) for match in _MAPPING.finditer(smaps)]
    ends = [start for start, _ in starts[1:]] + [len(smaps)]
    blocks = [smaps[start:end] for (start, name), end in zip(starts, ends, strict=True) if name == str(mapped_file)]
    mapped = sum(_field(block, "Pss") for block in blocks)
    return Memory((total - mapped) * 1024, mapped * 1024)


def memory_now(pid: int) -> Memory | None:
    """What a process has in memory: of its own, and pages of files that it maps. None when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    own, mapped = _field(status, "RssAnon"), _field(status, "RssFile")
    return Memory(own * 1024, mapped * 1024)


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def _field(text: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0
