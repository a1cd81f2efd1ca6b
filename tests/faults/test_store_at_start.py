"""A store that cannot be read when the gate starts: exit 3, in words, and nothing is left behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from faults.parts import filled_gate
from trial.gate import Gate
from trial.waiting import wait_until

EXIT_STORE = 3
EXIT_SETTINGS = 2


@pytest.fixture
def stopped() -> Iterator[Gate]:
    """A gate that does not run, with a store."""
    gate = filled_gate()
    yield gate
    gate.remove()


def refused(gate: Gate, status: int, *words: str) -> None:
    done = gate.run("serve")
    assert done.returncode == status, done.stderr
    assert len(done.stderr.splitlines()) == 1
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    nothing_left(gate)


def nothing_left(gate: Gate) -> None:
    left = {path.name for path in gate.folder.iterdir()} - {"sendgate.yaml", "store", "secret"}
    assert left == set()


def test_no_store(stopped: Gate) -> None:
    (stopped.store / "data.mdb").unlink()
    refused(stopped, EXIT_STORE, str(stopped.store), "no store", "sendgate import")
    assert not (stopped.store / "data.mdb").exists(), "an empty store would let everybody pass"


def test_a_first_import_that_is_not_at_its_end_is_no_store_also_when_it_was_killed(stopped: Gate) -> None:
    shutil.rmtree(stopped.store)
    command = stopped.command("import", "-", "--reason", "trap", "--config", str(stopped.config))
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write("".join(f"user{number}@example.com\n" for number in range(100_000)))
        process.stdin.flush()  # more is to come
        wait_until((stopped.store / "lock.mdb").exists, 20, "it has made a store")
        refused(stopped, EXIT_STORE, str(stopped.store), "import")
        process.kill()
    refused(stopped, EXIT_STORE, str(stopped.store), "first import", "import again")
    assert stopped.run("import", "-", input="").returncode == 0
    with stopped:
        assert stopped.is_ready()


def test_no_folder(stopped: Gate) -> None:
    stopped.store.rename(stopped.folder / "secret.d")
    (stopped.folder / "secret.d").rename(stopped.folder / "sendgate.yaml.d")
    done = stopped.run("serve")
    assert done.returncode == EXIT_STORE
    assert str(stopped.store) in done.stderr
    assert not stopped.store.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage\n" * 10_000, b"\0" * 100_000, b"SQLite format 3\0" + b"\0" * 50_000],
    ids=["empty", "text", "zeros", "another"],
)
def test_a_file_that_is_no_store(stopped: Gate, content: bytes) -> None:
    (stopped.store / "data.mdb").write_bytes(content)
    refused(stopped, EXIT_STORE, str(stopped.store))


def test_a_store_that_is_cut_short(stopped: Gate) -> None:
    data = stopped.store / "data.mdb"
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    refused(stopped, EXIT_STORE, str(stopped.store), "restore it")


def test_a_store_that_it_may_not_read(stopped: Gate) -> None:
    stopped.store.chmod(0)
    # root without the capability to read all the same, as in a container
    limits = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    command = [sys.executable, "-m", "sendgate", "serve", "--config", str(stopped.config)]
    done = subprocess.run(limits + command, capture_output=True, text=True, timeout=60)
    assert done.returncode == EXIT_STORE, done.stderr
    assert "Permission denied" in done.stderr
    assert str(stopped.store) in done.stderr
    nothing_left(stopped)


def test_a_store_of_another_secret(stopped: Gate) -> None:
    stopped.config.write_text(
        stopped.config.read_text().replace("store:\n", f"store:\n  hash_key_file: {stopped.folder}/secret\n")
    )
    refused(stopped, EXIT_STORE, "written without store.hash_key_file")


def test_a_secret_that_is_not_there(stopped: Gate) -> None:
    stopped.config.write_text(
        stopped.config.read_text().replace("store:\n", f"store:\n  hash_key_file: {stopped.folder}/nothing\n")
    )
    refused(stopped, EXIT_SETTINGS, "store.hash_key_file", f"{stopped.folder}/nothing")


def test_something_else_in_the_place_of_the_counters_is_told_in_a_line(stopped: Gate) -> None:
    place = stopped.folder / "milter.sock.metrics"
    place.touch()
    done = stopped.run("serve")
    assert (done.returncode, done.stderr.count("\n")) == (EXIT_SETTINGS, 1), done.stderr
    assert f"{place}: File exists; remove it" in done.stderr
    place.unlink()
    nothing_left(stopped)


def test_a_password_that_is_no_text_is_told_in_a_line() -> None:
    gate = Gate({"store": {"url": "redis://127.0.0.1:1", "password_file": "/bin/sh"}})
    try:
        done = gate.run("serve")
        assert (done.returncode, done.stderr.count("\n")) == (EXIT_SETTINGS, 1), done.stderr
        assert "store.password_file: /bin/sh must hold text" in done.stderr
    finally:
        gate.remove()
