"""A store that breaks while the gate runs: 451 4.3.0 for everybody, counted and told once, healed without restart."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.load import Load
from faults.parts import WORKERS, ask, events, wait_until_said
from sendgate.entry import Add
from smtp.arena import change
from smtp.script import entry_of
from trial.gate import Gate
from trial.mta import Postfix
from trial.waiting import wait_until

pytestmark = pytest.mark.root
UNAVAILABLE = "451 4.3.0 <good@example.com>: suppression list not available, try again later"


def remove(data: Path) -> None:
    data.unlink()


def replace_by_garbage(data: Path) -> None:
    other = data.with_name("other")
    other.write_bytes(b"garbage\n" * 10_000)
    other.rename(data)


def replace_by_nothing(data: Path) -> None:
    other = data.with_name("other")
    other.write_bytes(b"")
    other.rename(data)


def move_the_folder(data: Path) -> None:
    data.parent.rename(data.parent.with_name("moved"))


def overwrite(data: Path) -> None:
    with data.open("r+b") as file:
        file.write(b"garbage\n" * (data.stat().st_size // 8))


def truncate(data: Path) -> None:
    with data.open("r+b") as file:
        file.truncate(data.stat().st_size // 2)


def restore(gate: Gate, copy: Path) -> None:
    shutil.rmtree(gate.store, ignore_errors=True)
    shutil.copytree(copy, gate.store)


@pytest.mark.parametrize("damage", [remove, replace_by_garbage, replace_by_nothing, move_the_folder, overwrite])
def test_it_is_told_once_and_heals(gate: Gate, mta: Postfix, damage: Callable[[Path], None], tmp_path: Path) -> None:
    shutil.copytree(gate.store, tmp_path / "copy")
    assert ask(mta).startswith("250")
    damage(gate.store / "data.mdb")
    assert wait_until_said(mta, "451 4.3.0") == UNAVAILABLE

    def noticed() -> bool:
        assert ask(mta, "bad@example.com")[:3] in ("451", "550")
        ask(mta)
        return len([line for line in events(gate, "store_unavailable") if line["process"] != "sweep"]) == WORKERS

    wait_until(noticed, 20, "both workers have noticed")
    for _ in range(10):
        assert ask(mta) == UNAVAILABLE
        assert ask(mta, "bad@example.com").startswith("451 4.3.0 <bad@example.com>: ")
    processes = [line["process"] for line in events(gate, "store_unavailable")]
    assert len(processes) == len(set(processes)), "once for each process"
    assert gate.metric("sendgate_store_faults_total") == WORKERS
    assert gate.get("/readyz")[0] == 503

    restore(gate, tmp_path / "copy")

    def healed() -> bool:
        assert not ask(mta, "bad@example.com").startswith("250")
        ask(mta)
        return len([line for line in events(gate, "store_recovered") if line["process"] != "sweep"]) == WORKERS

    wait_until(healed, 20, "both workers have the store again")
    for _ in range(4):
        assert ask(mta).startswith("250")
        assert ask(mta, "bad@example.com").startswith("550")
    assert gate.get("/readyz")[0] == 200
    assert gate.metric("sendgate_worker_restarts_total") == 0


def test_a_file_cut_short_in_place_lets_nobody_pass_and_heals(gate: Gate, mta: Postfix, tmp_path: Path) -> None:
    # a worker that reads beyond its end gets a bus error before it could check; its successor waits for a sound store
    shutil.copytree(gate.store, tmp_path / "copy")
    assert ask(mta).startswith("250")
    truncate(gate.store / "data.mdb")
    wait_until_said(mta, "451 4.3.0")
    for _ in range(10):
        assert ask(mta).startswith("451")
        assert ask(mta, "bad@example.com")[:3] in ("451", "550")
    assert events(gate, "store_suspected") or events(gate, "store_unavailable")
    assert gate.get("/readyz")[0] == 503

    restore(gate, tmp_path / "copy")

    def healed() -> bool:
        """Whether all workers answer: ten times in a row."""
        good, bad = [ask(mta) for _ in range(10)], [ask(mta, "bad@example.com") for _ in range(10)]
        assert not any(reply.startswith("250") for reply in bad)
        return all(reply.startswith("250") for reply in good) and all(reply.startswith("550") for reply in bad)

    wait_until(healed, 30, "all workers have the store again")
    assert gate.get("/readyz")[0] == 200
    assert gate.metric("sendgate_store_faults_total") >= 1
    suspected = events(gate, "store_suspected")
    cleared = [line for line in events(gate, "store_recovered") if line["process"] == "supervisor"]
    assert len(suspected) == len(cleared) <= 1


@pytest.mark.parametrize("damage", [remove, replace_by_garbage, truncate, overwrite])
def test_under_load_nobody_suppressed_passes(
    gate: Gate, mta: Postfix, damage: Callable[[Path], None], tmp_path: Path
) -> None:
    shutil.copytree(gate.store, tmp_path / "copy")
    with Load(mta.port, 4) as load:
        load.wait_for_more(50)
        damage(gate.store / "data.mdb")
        load.wait_for_more(20, code="451", timeout=40)
        restore(gate, tmp_path / "copy")
        load.wait_for_more(50, timeout=40)
        load.wait_for_more(20, kind="bad", code="550", timeout=40)
    load.assert_right()
    assert gate.get("/readyz")[0] == 200


def test_another_store_in_its_place_counts_at_once(gate: Gate, mta: Postfix, tmp_path: Path) -> None:
    assert ask(mta, "good@example.com").startswith("250")
    other = Gate()
    change(other, [Add(entry_of("trap good@example.com"))])
    shutil.copy(other.store / "data.mdb", tmp_path / "data.mdb")
    shutil.copy(tmp_path / "data.mdb", gate.store / "new")
    other.remove()
    (gate.store / "new").rename(gate.store / "data.mdb")
    assert "trap" in wait_until_said(mta, "550")
    wait_until(lambda: ask(mta, "bad@example.com").startswith("250"), 10, "the other store does not name bad@")
    assert gate.metric("sendgate_store_faults_total") == 0


def test_readers_go_on_while_another_process_imports(gate: Gate, mta: Postfix) -> None:
    lines = "".join(f"user{number}@example.net\n" for number in range(20_000))
    with Load(mta.port, 2) as load:
        load.wait_for_more(20)
        done = gate.run("import", "-", "--reason", "hard_bounce", input=lines)
        assert done.returncode == 0, done.stderr
        load.wait_for_more(20)
        assert ask(mta, "user19999@example.net").startswith("550")
    load.assert_right()
    assert load.total("good", "4") == load.total("bad", "4") == 0
    assert gate.metric("sendgate_store_faults_total") == 0
