"""`sendgate repair --recount`, over a server and a Cluster: what it says, asks and does; what others leave to it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.parts import Program
from sendgate.cli import stores
from sendgate.cli.main import run
from sendgate.entry import Add
from sendgate.keys import Keyer
from sendgate.settings import load
from sendgate.store.copying import copy_lists
from sendgate.store.replica_folder import ReplicaFolder
from sendgate.store.shards import NOWHERE
from sendgate.store.shared import SharedOrigin
from store.evicting import no_progress, recounted
from store.parts import MAX_SIZE, SHARDS, entry
from store.test_acl import ONE, User, fresh, lines, origin
from store.topologies import cluster, plain_server

USERS = [entry(f"user{number}@example.com", "hard_bounce", "stream:news", "partners") for number in range(200)]


@pytest.fixture(params=[plain_server, cluster], ids=["server", "cluster"])
def program(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Program:
    """The command line with lists of 200 entries on a kind of Redis, of which a bucket is gone; and no replica."""
    place, prefix = request.param(), f"test-{uuid.uuid4()}"
    made = Program(tmp_path, capsys, monkeypatch)
    settings = {"prefix": prefix, "replica": str(tmp_path / "replica")}
    made.config.write_text(yaml.safe_dump({"store": place.section(**settings)}))
    with closing(stores.connect(place.settings(**settings), create=True)) as shards:
        SharedOrigin(shards, Keyer()).apply([Add(one) for one in USERS])
        key = Keyer().subject_key(USERS[7].subject, False)
        shard = shards.layout.shard_of(key)
        bucket = shards.names[shard].bucket(shards.layout.bucket_of(key))
    for server in place.servers:
        if server.client.info("replication")["role"] == "master" and (place.cluster is None or holds(server, bucket)):
            assert server.client.delete(bucket)
    return made


def holds(node: Any, key: str) -> bool:
    """Whether a node of a Cluster has a key."""
    return bool(node.command("CLUSTER", "COUNTKEYSINSLOT", node.command("CLUSTER", "KEYSLOT", key)))


def test_a_recount_on_demand_says_what_it_does_and_what_that_means(program: Program) -> None:
    asked = program("repair", "--recount")
    assert asked.status == 2
    assert "counted and not there for lost; say --yes" in asked.errors
    dry = program("repair", "--recount", "--dry-run", "--json")
    [one] = dry.json["recounted"]
    assert (dry.status, dry.json["dry_run"], one["counted"] > one["found"]) == (1, True, True)
    done = program("repair", "--recount", "--yes")
    assert done.status == 0, done.errors
    assert f"shard {one['shard']}: counted {one['counted']}, has {one['found']}\n" in done.out
    assert "what was lost stays lost" in done.out
    assert program("stats", "--json").json["entries"] == 200 - one["counted"] + one["found"]
    again = program("repair", "--recount")
    assert (again.status, again.out) == (0, "every shard has as many entries as it counts\n")


@pytest.mark.parametrize(("said", "status", "left"), [("n", 1, 1), ("y", 0, 0)])
def test_a_recount_asks_a_person(program: Program, said: str, status: int, left: int) -> None:
    terminal, stdin = pty.openpty()
    command = [sys.executable, "-m", "sendgate", "repair", "--recount"]
    with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        os.write(terminal, f"{said}\n".encode())
        _, errors = process.communicate(timeout=60)
    os.close(stdin)
    os.close(terminal)
    assert process.returncode == status, errors
    assert b"for lost? Pods that have them enforce them, new ones do not." in errors
    assert (b"nothing was changed" in errors) == (said == "n")
    assert len(program("repair", "--recount", "--dry-run", "--json").json["recounted"]) == left


def test_a_dry_recount_changes_nothing(program: Program) -> None:
    before = program("stats", "--json").json
    assert program("repair", "--recount", "--dry-run").out.startswith("dry run: nothing was changed")
    assert program("stats", "--json").json == before


def test_a_recount_needs_the_whole_origin_and_one_that_is_there(program: Program) -> None:
    config = program.config.read_text()
    program.config.write_text(config.replace("prefix: test-", "prefix: other-"))
    nothing = program("repair", "--recount", "--yes")
    assert (nothing.status, "no lists under" in nothing.errors) == (3, True)


@pytest.mark.parametrize("other", ["--from-replica", "--accept-loss"])
def test_a_recount_is_not_asked_for_with_something_else(program: Program, other: str) -> None:
    refused = program("repair", "--recount", other)
    assert (refused.status, "say which" in refused.errors) == (2, True)


def test_a_repair_whose_replica_lacks_entries_too_says_so_and_fails(program: Program, tmp_path: Path) -> None:
    with closing(stores.connect(load(program.config, {}))) as shards:
        folder = ReplicaFolder(tmp_path / "replica")
        version = folder.new_version()
        recounted_before = shards.counted(range(SHARDS))
        recounted(shards)
        copy_lists(shards, version, b"", MAX_SIZE, None, no_progress)
        folder.switch(version)
        for shard, counts_before in recounted_before.items():
            shards.set_counts(shard, shards.marks[shard] or NOWHERE, counts_before)
    done = program("repair", "--from-replica", "--json")
    [lacks] = done.json["lacking"]
    assert (done.status, done.json["recounted"], done.json["added"]) == (1, [], 0)
    assert f"shard {lacks['shard']} counts {lacks['counted']} entries and has {lacks['found']}" in done.errors
    assert "`sendgate repair --recount`" in done.errors
    accepted = program("repair", "--accept-loss", "--yes", "--json")
    assert (accepted.status, accepted.json["recounted"]) == (0, [lacks])
    assert program("repair", "--from-replica", "--dry-run").status == 0


def test_the_user_for_commands_has_all_rights_that_a_recount_needs(tmp_path: Path) -> None:
    user = fresh(plain_server(), tmp_path, "sendgate-write", lines(ONE)["sendgate-write"])
    with origin(user.place) as lists:
        lists.apply([Add(one) for one in USERS])
    server = user.place.servers[0]
    counts = sorted(server.client.scan_iter(match="sendgate:*:counts"))
    server.client.delete(counts[0])
    server.client.hset(counts[1], b"a label" + b"!" + b"\0", 7)
    server.client.hset(counts[2], b"a label" + b"!" + b"\0", 7)
    server.command("SCRIPT", "FLUSH")
    assert run(["repair", "--recount", "--yes", "--config", str(configured(user))]) == 0
    assert run(["repair", "--recount", "--dry-run", "--config", str(configured(user))]) == 0


def configured(user: User) -> Path:
    config = user.work / "recount.yaml"
    config.write_text(yaml.safe_dump({"store": user.place.section(url=user.url)}))
    return config
