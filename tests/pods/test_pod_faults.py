"""Faults of whole pods under load: no suppressed recipient passes, no good one is refused for good, no mail is lost.

The pods are those of production, from their manifests and the built images. Injectors send all the while; every reply
is judged, and what was accepted is compared with what the world's mail server took.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest

from images.store import Images
from pods.field import Field, kill_process, meanwhile, open_field, processes, queued
from pods.kubelet import Pod
from pods.load import BAD
from pods.manifest import Objects
from pods.parts import METRICS_PORT, lines
from trial.disk import fill
from trial.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]
SEED, KILLS = 20, 3
WAITING = ("incoming", "active", "deferred")


@pytest.fixture(scope="module")
def running(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with open_field(images, tmp_path_factory.mktemp("faults")) as field:
        yield field


@pytest.fixture
def field(running: Field) -> Field:
    """All is well, also after a test that failed half-way."""
    running.mend()
    return running


@pytest.fixture
def other(field: Field) -> Pod:
    """The pod that is broken."""
    return field.other


def test_a_gate_killed_at_any_moment_lets_nobody_suppressed_pass(field: Field, other: Pod) -> None:
    dice = random.Random(SEED)
    with field.load(other) as load:
        for _ in range(KILLS):
            load.wait_for_more(dice.randrange(1, 40))
            other.containers["sendgate"].kill()
            load.wait_for_replies("mail", 451)
            other.restart("sendgate")
            load.wait_for_more(1)
    load.assert_right()
    load.assert_arrived(field.sink)


def test_any_process_of_the_gate_killed_lets_nobody_suppressed_pass(field: Field, other: Pod) -> None:
    names = {"worker-0", "worker-1", "follow", "feedback", "ops"}
    wait_until(lambda: names <= processes(other).keys(), 20, "all processes have started")
    with field.load(other) as load:
        for name in sorted(names):
            load.wait_for_more(5)
            kill_process(other, name)
            load.wait_for_more(5)
        assert field.cluster.command("add", "later@example.org", "--reason", "trap").returncode == 0
        field.wait_refused(other, "later@example.org")
    load.assert_right()
    load.assert_arrived(field.sink)
    wait_until(
        lambda: other.passes(other.part("sendgate"), other.part("sendgate")["readinessProbe"]), 20, "it is ready"
    )


def test_what_a_killed_postfix_has_accepted_arrives(field: Field, other: Pod) -> None:
    with field.load(other) as load:
        for _ in range(2):
            field.sink.hold()
            load.wait_for_more(30)
            assert queued(other, "active")
            other.containers["postfix"].kill()
            assert queued(other, "active")
            other.restart("postfix")
            field.sink.release()
            load.wait_for_more(5)
            other.containers["postfix"].kill()  # while all of it flows
            other.restart("postfix")
            load.wait_for_more(5)
    load.assert_right()
    load.assert_arrived(field.sink, twice=True)


def test_what_a_lost_pod_has_accepted_arrives_by_the_next_one_on_its_claims(field: Field, other: Pod) -> None:
    with field.load(other) as load:
        field.sink.hold()
        load.wait_for_more(30)
        other.kill()
        assert queued(other, "incoming", "active")
        other.start()
        field.sink.release()
        load.wait_for_more(5)
    load.assert_right()
    load.assert_arrived(field.sink, twice=True)


def test_senders_go_on_without_redis_and_one_comes_back_on_its_replica(field: Field, other: Pod) -> None:
    with field.load() as load:
        load.wait_for_more(5)
        field.redis.kill()
        failed = field.cluster.command("add", "new@example.org", "--reason", "trap")
        assert failed.returncode == 3, failed.stderr
        field.serving.remove(other)
        other.stop()
        other.start()
        field.serving = [other]
        load.wait_for_more(10)
        field.serving = [field.first, other]
        field.redis.start()
        assert field.cluster.command("add", "new@example.org", "--reason", "trap").returncode == 0
        for pod in field.serving:
            field.wait_refused(pod, "new@example.org")
    load.assert_right()
    load.assert_arrived(field.sink)


def test_a_redis_that_was_killed_comes_back_with_the_lists(field: Field) -> None:
    field.redis.kill()
    left = field.redis.claim("data") / "temp-rewriteaof-19.aof"  # by a rewrite: killed each time, they fill the volume
    left.write_bytes(b"half")
    field.redis.start()
    assert not left.exists()
    assert field.cluster.command("export").stdout.count(",trap,") >= len(BAD)


def test_without_redis_a_sender_without_a_replica_takes_no_mail_until_redis_is_back(field: Field, other: Pod) -> None:
    field.redis.kill()
    other.stop()
    shutil.rmtree(other.claim("state"))
    other.containers.clear()
    with field.load() as load, meanwhile(other, "start"):
        try:
            wait_until(lambda: "sendgate" in other.containers and "follow" in processes(other), 20, "the gate began")
            load.wait_for_more(30)  # by the other one
            assert '"status": "ok"' not in answer(other)
            assert "postfix" not in other.containers
            assert not field.takes_connections(other)
        finally:
            field.redis.start()
    with field.load(other) as own:
        own.wait_for_more(5)
    for each in (load, own):
        each.assert_right()
        each.assert_arrived(field.sink)


def answer(pod: Pod) -> str:
    """What /readyz says, "" when it does not."""
    try:
        return pod.get(METRICS_PORT, "/readyz")
    except OSError:
        return ""


def test_a_rolling_replacement_always_has_a_pod_that_takes_mail_and_loses_none(field: Field) -> None:
    with field.load() as load:
        for pod in (field.other, field.first):
            load.wait_for_more(10)
            field.sink.hold()
            wait_for_queue(pod)
            with meanwhile(pod, "stop") as stopping:
                # The Service hears of it later than Postfix.
                load.wait_for_replies("greeting", 421)
                field.serving.remove(pod)
                load.wait_for_more(10)
                assert stopping.is_alive()
                assert queued(pod, "active")
                field.sink.release()
                stopping.join(30)  # what is just being delivered is no reason to wait a minute
                assert not stopping.is_alive()
            assert lines(pod, "postfix", ": drained: 0 sessions")
            assert queued(pod, "incoming", "active") == []
            pod.start()
            field.serving.append(pod)
            load.wait_for_more(10)
    load.assert_right()
    assert load.put_off == 0
    load.assert_arrived(field.sink)


def test_a_drain_that_runs_out_of_time_leaves_its_mail_to_the_next_pod(field: Field, other: Pod) -> None:
    other.environment["DRAIN_SECONDS"] = "3"
    other.restart("postfix")
    other.environment["DRAIN_SECONDS"] = "60"
    with field.load(other) as load:
        field.sink.hold()
        load.wait_for_more(20)
    ended = other.stop()
    assert [status for _, status in ended.values()] == [0, 0]
    assert lines(other, "postfix", "the time is over; what is left stays on the volume")
    assert len(queued(other, *WAITING)) >= 20
    other.start()
    field.sink.release()
    load.assert_right()
    load.assert_arrived(field.sink)


def test_claims_that_are_folders_of_the_node_do_as_well(field: Field, other: Pod) -> None:
    other.stop()
    for name in ("state", "spool"):
        shutil.rmtree(other.claim(name))
    other.claims_are_paths = True
    try:
        for _ in range(2):  # new, and as the first left them
            other.start()
            assert {other.claim(name).stat().st_mode & 0o7777 for name in ("state", "spool")} == {0o777}
            with field.load(other) as load:
                load.wait_for_more(10)
            load.assert_right()
            load.assert_arrived(field.sink)
            other.stop()
    finally:
        other.claims_are_paths = False


def test_a_spool_without_room_puts_mail_off_and_loses_none(field: Field, other: Pod) -> None:
    with field.small_claim(other, "spool", "120m") as disk:
        with field.load(other) as load:
            load.wait_for_more(10)
            ballast = fill(disk, leave=50_000_000)  # less than queue_minfree
            load.wait_for_replies("mail", 452)
            ballast.unlink()
            load.wait_for_more(10)
            field.sink.leave()  # what is deferred needs room, too
            load.wait_for_more(5)
            ballast = fill(disk)  # nothing at all
            load.wait_for_replies("mail", 452)
            ballast.unlink()
            field.sink.come()
            load.wait_for_more(10)
        load.assert_right()
        load.assert_arrived(field.sink)


def test_a_full_disk_of_the_replica_stops_no_decision(field: Field, other: Pod) -> None:
    many = "".join(f"user{number}@example.net\n" for number in range(3000))
    with field.small_claim(other, "state", "20m") as disk, field.load(other) as load:
        load.wait_for_more(5)
        ballast = fill(disk)
        assert field.cluster.command("import", "-", "--reason", "trap", "--list", "many", stdin=many).returncode == 0
        field.wait_refused(field.first, "user2999@example.net")
        load.wait_for_more(20)
        ballast.unlink()
        field.wait_refused(other, "user2999@example.net")
        load.wait_for_more(5)
    load.assert_right()
    load.assert_arrived(field.sink)


def test_a_mistake_in_the_settings_stops_the_rolling_update_at_its_first_pod(field: Field, other: Pod) -> None:
    right = other.objects
    with field.load() as load:
        load.wait_for_more(5)
        field.serving.remove(other)
        other.stop()
        other.objects = with_mistake(right)
        try:
            with pytest.raises(AssertionError):
                other.start()
        finally:
            other.objects = right
        gate = other.containers["sendgate"]
        assert gate.exit_status == 2
        assert "/etc/sendgate/sendgate.yaml" in gate.text()
        assert "campaign.fron" in gate.text()
        assert other.containers["postfix"].exit_status is not None  # the old one
        load.wait_for_more(10)
    load.assert_right()
    assert load.put_off == 0
    load.assert_arrived(field.sink)


def wait_for_queue(pod: Pod) -> None:
    wait_until(lambda: len(queued(pod, "active")) > 5, 20, "mail is on its way")


def with_mistake(objects: Objects) -> Objects:
    """The objects with a misspelt setting in the ConfigMap `sendgate`."""
    name = "sendgate.yaml"
    changed = [
        {**found, "data": {name: found["data"][name].replace("  from:", "  fron:")}}
        if found["kind"] == "ConfigMap" and name in found["data"]
        else found
        for found in objects.all
    ]
    assert changed != list(objects.all)
    return replace(objects, all=tuple(changed))
