"""The users of docs/redis.md: each line is enough for its work, and no command of it can be left out.

Commands are taken away one by one, and the work is done until it fails: so a line with a command too much fails a test.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.pages import blocks, docs, section
from feedback.parts import BOUNCE
from sendgate.cli import stores
from sendgate.cli.main import program, run
from sendgate.entry import Add, Remove
from sendgate.feedback.event import BounceType, Event, EventClass
from sendgate.feedback.policy import Policy
from sendgate.settings import Settings
from sendgate.settings_feedback import FeedbackSettings
from sendgate.store.errors import StoreError
from sendgate.store.follow import Follower, FollowPlan
from sendgate.store.layout import Layout
from sendgate.store.origin import Origin
from sendgate.store.replica_folder import ReplicaFolder
from store.parts import BUCKETS, MAX_SIZE, NOW, SHARDS, entry
from store.topologies import PASSWORD, SENTINEL_PASSWORD, Place, cluster, plain_server, sentinel
from trial.gate import Gate
from trial.redis_server import EVERYTHING, RedisServer
from trial.waiting import wait_until

PATIENCE = 20
ONE, CLUSTER = "A server or a Sentinel set", "A Cluster"
PLACES = {"server": (plain_server, ONE), "sentinel": (sentinel, ONE), "cluster": (cluster, CLUSTER)}
SENTINELS = "The Sentinels"
EXPIRED = [entry(f"expired{number}@example.com", expires=NOW) for number in range(40)]


def lines(heading: str) -> dict[str, list[str]]:
    """The rules of each user under a heading of the page, with the password of these tests."""
    (block,) = blocks(section(docs("redis.md"), heading), "acl")
    words = [line.split() for line in block.splitlines()]
    return {user: [rule.replace("PASSWORD", PASSWORD) for rule in rules] for _, user, *rules in words}


class User:
    """A user at a place, and the folder for what he needs."""

    def __init__(self, place: Place, name: str, rules: Sequence[str], work: Path) -> None:
        self.place = place
        self.work = work
        self.url = place.store["url"].replace("//app@", f"//{name}@")
        place.let(name, rules)

    def settings(self, **store: Any) -> Settings:
        return self.place.settings(url=self.url, **store)

    def may(self, *arguments: str, **store: Any) -> bool:
        """Whether a command of Sendgate gets what it wants of the server."""
        config = self.work / "sendgate.yaml"
        feedback = {"state": str(self.work / "feedback")}
        config.write_text(yaml.safe_dump({"store": self.place.section(url=self.url, **store), "feedback": feedback}))
        status = run([*arguments, "--config", str(config)])
        assert status in (0, 1, 3), arguments
        return status != 3


class Lead:
    """Leads a follower, as its counters and its `stop`: into step, then over a change, until an error or the end."""

    def __init__(self, folder: ReplicaFolder, write: Callable[[], None]) -> None:
        self._folder = folder
        self._write = write
        self._interruptions = -1  # it begins with one
        self._written_at = math.inf
        self.reached = False

    def origin_up(self, up: bool) -> None:
        self._interruptions += not up

    def resync(self, cause: str) -> None: ...

    def diverged(self, entries: int) -> None: ...

    def stop(self, _seconds: float) -> bool:
        now = time.time()
        in_step = now - self._folder.age(now)
        if math.isinf(self._written_at) and not math.isinf(in_step):
            self._written_at = now
            self._write()
        self.reached = in_step > self._written_at
        return self.reached or self._interruptions > 0


def follow(settings: Settings, write: Callable[[], None]) -> bool:
    """Whether a follower comes into step, and again after something was written."""
    replica = ReplicaFolder(Path(settings.store.replica))
    lead = Lead(replica, write)
    plan = FollowPlan(lambda: stores.connect(settings), replica, stores.keyer(settings).secrets, MAX_SIZE, spread=0)
    Follower(plan, lead).run(lead.stop)
    return lead.reached


def administer(user: User) -> bool:
    """All commands about lists, from making them to giving them another secret."""
    one, two, many = user.work / "one", user.work / "two", user.work / "many.txt"
    one.write_text("first secret")
    two.write_text("second secret")
    many.write_text("".join(f"user{number}@example.com\n" for number in range(50)))
    bounced = user.work / "bounce.eml"
    bounced.write_text(BOUNCE.format(sender="bounce+spring@example.net", recipient="gone@example.com"))
    known = {"hash_key_file": str(one), "history": 1, "replica": str(user.work / "replica")}
    both = {**known, "hash_key_file": str(two), "previous_hash_key_file": str(one)}
    reason = ["--reason", "manual", "--list", "many"]
    before = [
        ["check-config"],
        ["add", "user0@example.com", *reason],
        ["add", "user0@example.com", *reason, "--note", "again"],
        ["remove", "user0@example.com"],
        ["import", str(many), *reason],
        ["import", str(many), *reason, "--replace"],
        ["export"],
        ["explain", "user0@example.com"],
        ["explain", "00112233"],
        ["stats"],
        ["lists"],
        ["ingest", "--trusted", str(bounced)],
        ["undo", "--since", "1h"],
    ]
    without_lists = {"parse", "classify", "check-rules"}
    assert {command[0] for command in before} | {"repair", "rekey", "serve"} | without_lists == names_of_commands()
    return (
        all(user.may(*command, **known) for command in before)
        and follow(user.place.settings(**known), lambda: None)  # by another user: the replica of some pod
        and user.may("repair", "--from-replica", **known)
        and user.may("rekey", str(many), **both)
        and user.may("remove", "--list", "many", "--yes", **both)
        and at_a_moving_slot(user, lambda: user.may("stats", **both))
    )


def read(user: User) -> bool:
    """What `serve` does but for sweeping: copy, follow."""
    with origin(user.place) as lists:
        lists.apply([Add(entry("user@example.com"))])
        if not follow(user.settings(replica=str(user.work / "replica")), lambda: write(lists)):
            return False
    return at_a_moving_slot(user, lambda: connects(user.settings()))


def sweep(user: User) -> bool:
    """What `serve` does: the same; sweeping, for the first time and with a lease that is held; feedback."""
    with origin(user.place) as lists:
        lists.apply([Add(one) for one in EXPIRED])
    try:
        with stores.open_origin(user.settings(history=1), create=False) as swept:
            assert swept.sweep(NOW) == len(EXPIRED)
            assert swept.sweep(NOW) == 0
            strike_and_forget(swept)
    except StoreError:
        return False
    return read(user)


def strike_and_forget(lists: Origin) -> None:
    """What feedback does with the lists: a failure, a delivery, a failure."""
    policy, failed = Policy(FeedbackSettings()), Event("gone@example.com", EventClass.HARD, BounceType.BAD_MAILBOX)
    [subject, _] = policy.delivered_subjects(failed)
    lists.apply(policy.judge(failed._replace(at=NOW, queue_id="4F1B2C"), lists.get(subject), NOW, None))
    lists.apply(policy.forget(failed._replace(event_class=EventClass.NONE, at=NOW + 1), lists.get(subject)))
    lists.apply(policy.judge(failed._replace(at=NOW + 2, queue_id="4F1B2D"), lists.get(subject), NOW + 2, None))
    assert lists.get(subject)
    lists.apply([Remove(subject)])


WORK = {"sendgate-write": administer, "sendgate-sweep": sweep, "sendgate-read": read}


def names_of_commands() -> set[str]:
    return {command.name for command in program().registered_commands if command.name}


@contextmanager
def origin(place: Place) -> Iterator[Origin]:
    """The lists, made if need be, by a user who may do everything."""
    with stores.open_origin(place.settings(), create=True) as opened:
        yield opened


def write(lists: Origin) -> None:
    lists.apply([Add(entry("another@example.com"))])


def connects(settings: Settings) -> bool:
    try:
        stores.connect(settings).client.close()
    except StoreError:
        return False
    return True


def at_a_moving_slot(user: User, act: Callable[[], bool]) -> bool:
    """What comes of it while a slot of a Cluster is on its way, and its keys are there already."""
    nodes = user.place.cluster
    if nodes is None:
        return act()
    names = Layout("sendgate", SHARDS, BUCKETS).names()[0]
    slot = nodes.nodes[0].command("CLUSTER", "KEYSLOT", names.meta)
    target = (nodes.owner(slot) + 1) % 3
    nodes.begin_move(slot, target)
    try:
        while nodes.move_keys(slot, target):
            pass
        return act()
    finally:
        nodes.end_move(slot, target)


def fresh(place: Place, work: Path, name: str, rules: Sequence[str]) -> User:
    """A user at a place without lists, and with an empty folder."""
    place.flush()
    folder = work / f"{len(list(work.iterdir()))}"
    folder.mkdir()
    return User(place, name, rules, folder)


@pytest.mark.parametrize("name", WORK)
@pytest.mark.parametrize("where", PLACES)
def test_a_user_of_the_page_can_do_his_work(where: str, name: str, tmp_path: Path) -> None:
    make, heading = PLACES[where]
    assert WORK[name](fresh(make(), tmp_path, name, lines(heading)[name]))


@pytest.mark.parametrize("name", WORK)
@pytest.mark.parametrize("where", ["server", "cluster"])
def test_no_command_of_a_line_can_be_left_out(where: str, name: str, tmp_path: Path) -> None:
    make, heading = PLACES[where]
    rules = lines(heading)[name]
    without = {one: [rule for rule in rules if rule != one] for one in rules if one.startswith("+")}
    assert [one for one, rest in without.items() if WORK[name](fresh(make(), tmp_path, name, rest))] == []


@pytest.mark.parametrize("name", WORK)
def test_a_user_reaches_no_other_lists(name: str, tmp_path: Path) -> None:
    user = fresh(plain_server(), tmp_path, name, lines(ONE)[name])
    with stores.open_origin(user.place.settings(prefix="other"), create=True) as lists:
        write(lists)
    assert not connects(user.settings(prefix="other"))


def test_a_reader_has_no_command_that_writes(tmp_path: Path) -> None:
    server = plain_server().servers[0]
    writing = {command.decode() for command in server.command("ACL", "CAT", "write")}
    for heading in (ONE, CLUSTER):
        assert not writing & {rule.removeprefix("+").partition("|")[0] for rule in lines(heading)["sendgate-read"]}
    user = fresh(plain_server(), tmp_path, "sendgate-read", lines(ONE)["sendgate-read"])
    with origin(user.place) as lists:
        assert not user.may("add", "user@example.com", "--reason", "manual")
        assert (list(lists.scan()), lists.position()) == ([], 0)


@pytest.mark.parametrize("missing", ["+hincrby", "+xadd"])
def test_an_addition_without_all_rights_changes_nothing(missing: str, tmp_path: Path) -> None:
    rules = [rule for rule in lines(ONE)["sendgate-write"] if rule != missing]
    user = fresh(plain_server(), tmp_path, "sendgate-write", rules)
    with origin(user.place) as lists:
        assert not user.may("add", "user@example.com", "--reason", "manual")
        assert list(lists.scan()) == []


@pytest.fixture
def sentinels() -> Iterator[Place]:
    """A set of whose Sentinels the clients may do only what the page says."""
    place = sentinel()
    try:
        yield place
    finally:
        let_clients(place, ["on", f">{SENTINEL_PASSWORD}", *EVERYTHING.split()])


def let_clients(place: Place, rules: Sequence[str]) -> None:
    for one in place.sentinels:
        one.command("ACL", "SETUSER", "default", "reset", *rules)


def test_the_sentinels_need_to_grant_just_the_line_of_the_page(sentinels: Place) -> None:
    rules = [rule.replace(PASSWORD, SENTINEL_PASSWORD) for rule in lines(SENTINELS)["default"]]
    with origin(sentinels):
        let_clients(sentinels, rules)
        assert connects(sentinels.settings())
    for one in [rule for rule in rules if rule.startswith("+")]:
        let_clients(sentinels, [rule for rule in rules if rule != one])
        assert not connects(sentinels.settings()), one


@contextmanager
def serving(user: User) -> Iterator[Gate]:
    """`sendgate serve` of a user, which sweeps every second if it may."""
    section = user.place.section(url=user.url, sweep_every="1s", replica=str(user.work / "replica"))
    gate = Gate({"store": section, "milter": {"workers": 1}})
    try:
        gate.start()
        yield gate
    finally:
        gate.stop()
        gate.remove()


def refused_leases(server: RedisServer) -> int:
    """How often SET was refused since the counts were reset."""
    return int(server.client.info("commandstats").get("cmdstat_set", {}).get("rejected_calls", 0))


def test_a_gate_of_a_reader_follows_and_says_nothing_of_what_it_cannot_sweep(tmp_path: Path) -> None:
    user = fresh(plain_server(), tmp_path, "sendgate-read", lines(ONE)["sendgate-read"])
    server = user.place.servers[0]
    with origin(user.place) as lists:
        lists.apply([Add(one) for one in EXPIRED])
        server.command("CONFIG", "RESETSTAT")
        with serving(user) as gate:
            write(lists)
            wait_until(lambda: gate.metric("sendgate_entries") == 41, PATIENCE, "the replica has all entries")
            wait_until(lambda: refused_leases(server) > 1, PATIENCE, "it has tried to sweep, twice")
            assert gate.is_ready()
            errors = {(line["event"], line.get("process")) for line in gate.log_lines() if line["level"] == "error"}
            assert errors <= {("store_unavailable", "worker-0")}, "before the first copy"
        assert len(list(lists.scan())) == 41


def test_a_gate_of_a_sweeper_follows_and_sweeps(tmp_path: Path) -> None:
    user = fresh(plain_server(), tmp_path, "sendgate-sweep", lines(ONE)["sendgate-sweep"])
    with origin(user.place) as lists, serving(user) as gate:
        lists.apply([Add(one) for one in EXPIRED])
        wait_until(lambda: not list(lists.scan()), PATIENCE, "the expired entries are swept")
        wait_until(lambda: gate.metric("sendgate_replica_changes_total") == 80, PATIENCE, "the gate has heard of it")
