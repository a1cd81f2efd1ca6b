"""What befalls octets and texts on their way: cut anywhere, flipped, doubled, pieces of others in between.

Out: strategies made of seeds, and `within`, which bounds the time and memory that something takes.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hypothesis import strategies as st

CPU_SECONDS = 2.0
"""For one input, of whatever size up to 50 MB on this machine; a quadratic step takes far longer."""


@contextmanager
def within(seconds: float = CPU_SECONDS) -> Iterator[None]:
    """Fails when the block takes more CPU time."""
    started = time.process_time()
    yield
    spent = time.process_time() - started
    assert spent <= seconds, f"{spent:.1f} s of CPU, at most {seconds:g}"


@contextmanager
def within_memory(octets: int) -> Iterator[None]:
    """Fails when the block has more than so many octets of new objects at once. Slows it down a few times."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= octets, f"{peak:,} octets at once, at most {octets:,}"


@st.composite
def mangled(draw: st.DrawFn, seeds: Sequence[bytes], pieces: Sequence[bytes]) -> bytes:
    """One of the seeds after up to six accidents."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        to = min(len(data), at + draw(st.integers(0, 200)))
        match draw(st.integers(0, 6)):
            case 0:
                data = data[:at]
            case 1:
                data = data[at:]
            case 2:
                data = data[:at] + data[to:]
            case 3:
                data = data[:at] + draw(st.binary(max_size=8)) + data[to:]
            case 4:
                data = data[:at] + draw(st.sampled_from(pieces)) + data[at:]
            case 5:
                data = data[:to] + data[at:to] * draw(st.integers(1, 20)) + data[to:]
            case _:
                old, new = draw(st.sampled_from(pieces)), draw(st.sampled_from(pieces))
                data = data.replace(old, new, draw(st.integers(1, 3)))
    return data
