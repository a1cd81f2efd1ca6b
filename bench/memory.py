"""Memory: the proportional set size of the whole sidecar after a day's work, the mapped list told apart.

In: a scale. Out: MiB by process; shared pages count for each process by its share, so the sum is what the pod pays.
"""

from __future__ import annotations

from bench import lists, load
from bench.contenders import Contender, gate
from bench.places import folder, in_memory
from bench.processes import Memory, memory
from bench.report import Report, Target, progress
from bench.scale import Scale
from trial.gate import Gate
from trial.mta import Postfix

WORKERS = 2
LIMIT_MIB = 120
_BATCH = 2_500
_LISTED = 0.02
_MIB = 2**20


def run(scale: Scale) -> Report:
    report = Report(
        "memory",
        f"Memory of the sidecar, {WORKERS} workers, {scale.list_size:,} entries, {scale.memory_messages:,} messages",
        ("process", "own, MiB", "mapped list, MiB"),
        notes=["Proportional set size; the mapped list is page cache that the kernel can take back."],
    )
    with in_memory(), folder() as place:
        store = lists.fill(place / "store", scale.list_size)
        with gate(store, WORKERS) as sidecar, Postfix([sidecar.milter]) as mta:
            before = _total(sidecar)
            _work(Contender("Sendgate", mta, sidecar.worker_pids), scale)
            sidecar.get("/metrics")
            found = _by_process(sidecar)
    _add(report, found, before)
    return report


def _work(contender: Contender, scale: Scale) -> None:
    for start in range(0, scale.memory_messages, _BATCH):
        progress(f"memory: {start:,} of {scale.memory_messages:,} messages")
        count = min(_BATCH, scale.memory_messages - start)
        addresses = lists.sample(count, scale.list_size, _LISTED, seed=start)
        load.send(contender.mta.port, [[address] for address in addresses])
        contender.drain()


def _by_process(sidecar: Gate) -> list[tuple[str, Memory]]:
    file = sidecar.store / "data.mdb"
    names = {line["pid"]: line["process"] for line in sidecar.log_lines() if line["event"] == "process_started"}
    pids = [sidecar.pid, *sidecar.child_pids()]
    return [(names.get(pid, "supervisor"), memory(pid, file)) for pid in pids]


def _total(sidecar: Gate) -> int:
    return sum(found.own for _, found in _by_process(sidecar))


def _add(report: Report, found: list[tuple[str, Memory]], before: int) -> None:
    own = sum(each.own for _, each in found)
    mapped = sum(each.mapped for _, each in found)
    rows = [*((name, each.own, each.mapped) for name, each in found), ("all", own, mapped)]
    report.rows += [(name, f"{mine / _MIB:.1f}", f"{shared / _MIB:.1f}") for name, mine, shared in rows]
    report.figures = {
        "own, MiB": own / _MIB,
        "mapped list, MiB": mapped / _MIB,
        "own before the messages, MiB": before / _MIB,
    }
    report.notes.append(f"Before the messages: {before / _MIB:.1f} MiB of its own.")
    report.targets.append(Target("own memory of the sidecar, MiB", own / _MIB, LIMIT_MIB))
