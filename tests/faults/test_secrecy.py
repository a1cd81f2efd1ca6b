"""With `store.hash_key_file` nobody's address is anywhere: in Redis, its files, a pod's replica, logs, working files.

A gate on a shared origin does all its work; then everything that was written by anybody is looked at, octet by octet.
The same look at a little work without a secret finds the addresses: so it would find them.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smtp.arena import make_gate
from smtp.mta_side import CONTINUE, MtaSide
from store.parts import content_of_files, content_of_server
from trial.gate import Gate
from trial.redis_server import RedisServer
from trial.waiting import wait_until

DIGEST = hashlib.md5(b"rosalinde@example.com", usedforsecurity=False).hexdigest()
SUBJECTS = ["wilhelmina@example.com", "@secretive.example", "@.hidden.example", "postbox@", f"md5:{DIGEST}"]
NOTE = "550 5.1.1 <Adelheid@secretive.example>: unknown; ORCPT=rfc822;wilhelmina@example.com"
CSV = f'''email,reason,expires,note
kunigunde@secretive.example,trap,never,"{NOTE}"
"ottilie+x@hidden.example",complaint,never,asked
hedwig@example.org,typo,never,
hedwig@example.net,role,{{expiry}},
'''
WORDS = [b"wilhelmina", b"secretive", b"hidden", b"postbox", b"adelheid", b"kunigunde", b"ottilie", b"hedwig"]
ROWS = 100_000
"""So many that a part of them is in the working file of an import before it has read them all."""
PATIENCE = 30

Places = dict[str, bytes]


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("temporary")


@contextmanager
def after(
    done: Callable[[Gate], None], folder: Path, temporary: Path, *, secret: bool
) -> Iterator[tuple[RedisServer, Gate, Places]]:
    """A server and a gate after some work, and what was seen in passing, by place."""
    slow = ["slowlog-log-slower-than 0", "slowlog-max-len 100000", "rdbcompression no", "hz 500"]
    with RedisServer(folder / "redis", appendonly=True, extra=slow) as server:
        store = {"url": server.url, "shards": 4, "buckets": 64, "sweep_every": "1s"}
        if secret:
            store["hash_key_file"] = "{folder}/secret"
        gate = make_gate(
            {"milter": {"workers": 1}, "store": store, "actions": {"typo": "observe", "role": "discard"}},
            {"TMPDIR": str(temporary)},
        )
        with gate:
            done(gate)
            yield server, gate, {"working files": working_files_of_an_import(gate, temporary)}


def work(gate: Gate) -> None:
    """Every way in and out of the lists, and every kind of judgement."""
    did(gate, "add", *SUBJECTS, "--reason", "hard_bounce", "--note", NOTE)
    rows = CSV.format(expiry=int(time.time()) + 8)
    did(gate, "import", "-", "--format", "csv", "--list", "partners", given=rows)
    did(gate, "import", "-", "--format", "csv", "--list", "partners", "--replace", given=rows)
    wait_until(lambda: said(gate, "ottilie@hidden.example").startswith("550"), PATIENCE, "the imported are refused")
    for recipient in ("wilhelmina@example.com", "anybody@secretive.example", "Kunigunde+a@secretive.example",
                      "postbox@example.org", "rosalinde@example.com", "wilhelmina@@secretive.example"):  # fmt: skip
        assert said(gate, recipient)[:1] == "5", recipient
    assert said(gate, "nobody@example.com") == said(gate, "hedwig@example.org") == "250"
    did(gate, "remove", "wilhelmina@example.com")
    wait_until(lambda: said(gate, "wilhelmina@example.com") == "250", PATIENCE, "the removed pass")
    wait_until(lambda: gate.metric("sendgate_swept_entries_total") == 1, PATIENCE, "the expired are swept")


def work_little(gate: Gate) -> None:
    """One list, one refusal."""
    did(gate, "add", *SUBJECTS, "--reason", "hard_bounce", "--note", NOTE)
    wait_until(lambda: said(gate, "wilhelmina@example.com").startswith("550"), PATIENCE, "the listed are refused")


def did(gate: Gate, *arguments: str, given: str | None = None, status: int = 0) -> None:
    done = gate.run(*arguments, input=given)
    assert done.returncode == status, (arguments, done.stdout, done.stderr)


def said(gate: Gate, recipient: str) -> str:
    """The reply to one recipient."""
    with MtaSide(gate.socket) as mta:
        mta.mail(b"<bounce+spring@x.test>")
        answer = mta.rcpt(f"<{recipient}>".encode())
        return "250" if answer.code == CONTINUE else answer.text


def working_files_of_an_import(gate: Gate, temporary: Path) -> bytes:
    """What an import that waits for more rows has on disk."""
    command = [sys.executable, "-m", "sendgate", "import", "-", "--reason", "manual", "--config", str(gate.config)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=gate._environment) as process:
        try:
            assert process.stdin is not None
            process.stdin.writelines(f"wilhelmina{row}@secretive.example\n".encode() for row in range(ROWS))
            process.stdin.flush()

            def content() -> bytes:
                links = list(Path(f"/proc/{process.pid}/fd").iterdir())
                return b"".join(link.read_bytes() for link in links if str(link.readlink()).startswith(f"{temporary}/"))

            return wait_until(lambda: content() if len(content()) > 2**20 else b"", PATIENCE, "rows are on disk")
        finally:
            process.kill()


def everything(server: RedisServer, gate: Gate, temporary: Path) -> Places:
    """All that is kept anywhere, by place."""
    server.command("SAVE")
    server.command("CONFIG", "SET", "aof-use-rdb-preamble", "no")
    return {
        "keys": content_of_server(server, "*"),
        "commands": repr(server.command("SLOWLOG", "GET", -1)).encode(),
        "snapshot": (server.folder / "dump.rdb").read_bytes(),
        "append-only file": content_of_files(server.folder / "appendonlydir"),
        "server's folder": content_of_files(server.folder),
        "replica": content_of_files(gate.store),
        "log": gate.log_text().encode(),
        "metrics": (gate.get("/metrics")[1] + gate.get("/readyz")[1]).encode(),
        "gate's folder": content_of_files(gate.folder),
        "temporary files": content_of_files(temporary),
    }


def words_in(content: bytes) -> list[str]:
    lower = content.lower()
    return [word.decode() for word in [*WORDS, DIGEST.encode()] if word in lower or word.hex().encode() in lower]


def test_with_a_secret_no_address_is_anywhere(tmp_path: Path, temporary: Path) -> None:
    with after(work, tmp_path, temporary, secret=True) as (server, gate, places):
        places |= everything(server, gate, temporary)
        assert {place: words for place, content in places.items() if (words := words_in(content))} == {}
        assert all(place == "temporary files" or len(content) > 100 for place, content in places.items())


def test_without_a_secret_the_same_look_finds_them(tmp_path: Path, temporary: Path) -> None:
    with after(work_little, tmp_path, temporary, secret=False) as (server, gate, places):
        places |= everything(server, gate, temporary)
        found = {place for place, content in places.items() if words_in(content)}
        clear = {"keys", "commands", "snapshot", "append-only file", "server's folder", "log", "gate's folder"}
        assert found == {*clear, "working files"}
        assert {"secretive", "adelheid", DIGEST} <= set(words_in(places["keys"]))
