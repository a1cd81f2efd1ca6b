"""The senders of production, run from their manifests and the built images with the privileges that Kubernetes gives.

Redis with TLS, the pod for commands and the sender are those of the overlay, the Secrets those of its README.
Other than in production: mail ends in the demo's sink, and a drain takes 5 s at most.
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from images.store import Images
from k8s.quantities import amount
from k8s.rendering import overlay
from pods.cgroups import memory_limit
from pods.cluster import Cluster
from pods.kubelet import Pod, apply_group
from pods.load import BAD, Load
from pods.manifest import Objects
from pods.parts import SENDER, client, figure, lines
from pods.secrets import production_secrets
from trial.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

TRAP, READER = "pristine@trap.test", "reader@example.org"
BODY = "From: news@example.com\r\nSubject: Hello\r\n\r\nHello.\r\n"


WORKLOADS = {"redis": 1, "smtp-sink": 1, "lists": 1, "sender": 2}
ENVIRONMENT = {
    "DRAIN_SECONDS": "5",
    "POSTFIX_MYNETWORKS": "127.0.0.0/8 10.77.0.0/24",
    "POSTFIX_RELAYHOST": "[smtp-sink]:25",
    "POSTFIX_SMTP_HOST_LOOKUP": "native",
}


@pytest.fixture(scope="module")
def cluster(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Redis, a sink, and two senders that follow the lists in it."""
    folder = tmp_path_factory.mktemp("pods")
    sink = [found for found in overlay("demo") if found["metadata"]["name"] == "smtp-sink"]
    objects = Objects((*overlay("production"), *sink, *production_secrets(folder / "secrets")))
    with Cluster(objects, images, folder, WORKLOADS, ENVIRONMENT) as running:
        for name in ("redis-0", "smtp-sink-0", "lists-0"):
            running.pods[name].start()
        imported = running.command("import", "-", "--reason", "trap", "--list", "traps", stdin=f"{TRAP}\n")
        assert imported.returncode == 0, imported.stderr
        for name in ("sender-0", "sender-1"):
            running.pods[name].start()
        yield running


@pytest.fixture
def sender(cluster: Cluster) -> Pod:
    """A pod that stays as it is."""
    return cluster.pods["sender-0"]


@pytest.fixture
def other(cluster: Cluster) -> Pod:
    """A pod that tests stop and start again."""
    pod = cluster.pods["sender-1"]
    if not pod.is_running:  # a test failed half-way
        pod.kill()
        pod.start()
    return pod


def test_a_trap_is_refused_while_the_other_recipient_gets_the_mail(cluster: Cluster, sender: Pod) -> None:
    before = figure(sender, "sendgate_deliveries_total", campaign="spring-sale", result="sent") or 0
    with client(cluster, sender) as smtp:
        refused = smtp.sendmail(SENDER, [TRAP, READER], BODY)
    assert list(refused) == [TRAP]
    assert refused[TRAP][0] == 550
    assert b"recipient suppressed: trap" in refused[TRAP][1]
    wait_until(
        lambda: (figure(sender, "sendgate_deliveries_total", campaign="spring-sale", result="sent") or 0) > before,
        20,
        "the gate reads of the delivery in Postfix's log",
    )
    assert figure(sender, "sendgate_trap_hits_total", campaign="spring-sale") == 1


def test_an_address_that_is_added_is_refused_in_every_pod(cluster: Cluster, sender: Pod, other: Pod) -> None:
    added = cluster.command("add", "left@example.org", "--reason", "unsubscribe")
    assert added.returncode == 0, added.stderr
    wait_until(lambda: all(code(cluster, pod, "left@example.org") == 550 for pod in (sender, other)), 10, "both refuse")


def test_the_queue_of_postfix_is_in_the_metrics_of_the_gate(sender: Pod) -> None:
    wait_until(lambda: figure(sender, "sendgate_postfix_queue_up") == 1, 30, "the gate asked Postfix for its queue")
    assert figure(sender, "sendgate_postfix_queue_messages", queue="deferred", age="older") == 0


def test_postfix_has_nothing_to_complain_of(sender: Pod) -> None:
    told = [line for word in ("warning", "error:", "fatal", "panic") for line in lines(sender, "postfix", word)]
    assert told == []


def test_postfix_could_always_reach_the_gate(sender: Pod) -> None:
    assert figure(sender, "sendgate_postfix_milter_failures_total") == 0


def test_a_killed_gate_comes_back_on_the_socket_that_it_left(cluster: Cluster, other: Pod) -> None:
    gate = next(found for found in other.template["spec"]["initContainers"] if found["name"] == "sendgate")
    other.containers["sendgate"].kill()
    with client(cluster, other) as smtp:
        smtp.ehlo()
        assert smtp.mail(SENDER)[0] == 451
    other.start_container(gate)
    other.wait_started(gate)
    with client(cluster, other) as smtp:
        smtp.ehlo()
        smtp.mail(SENDER)
        assert smtp.rcpt(READER)[0] == 250
        assert smtp.rcpt(TRAP)[0] == 550


def test_a_pod_that_goes_ends_postfix_first_and_both_say_that_all_is_well(other: Pod) -> None:
    ended = other.stop()
    assert (next(iter(ended)), list(ended)[-1]) == ("postfix", "sendgate")
    assert (ended["postfix"][1], ended["sendgate"][1]) == (0, 0)
    assert all(seconds < 10 for seconds, _ in ended.values()), ended
    other.start()


def test_mail_that_waits_goes_out_by_the_next_pod(cluster: Cluster, other: Pod) -> None:
    sink = cluster.pods["smtp-sink-0"]
    sink.kill()
    with client(cluster, other) as smtp:
        assert smtp.sendmail(SENDER, [READER], BODY) == {}
    other.stop()
    assert list((other.claim("spool") / "postfix").rglob("deferred/*/*")) != []
    # What kubelet may do to a volume that it mounts again: the group owns and writes everything.
    apply_group(other.claim("spool"), 2525)
    sink.start()
    sent = "sendgate_deliveries_total"
    other.start()
    before = figure(other, sent, campaign="spring-sale", result="sent") or 0
    other.containers["postfix"].run("postqueue", "-f")
    wait_until(
        lambda: (figure(other, sent, campaign="spring-sale", result="sent") or 0) > before, 60, "the mail has left"
    )
    # postqueue also asks for pickup, which a sender has not.
    told = [line for word in ("warning", "fatal") for line in lines(other, "postfix", word) if "postqueue" not in line]
    assert told == []


def test_what_runs_has_no_more_privileges_than_the_manifest_says(sender: Pod) -> None:
    gate, postfix = (status(sender.containers[name].pid) for name in ("sendgate", "postfix"))
    assert (gate["Uid"].split(), postfix["Uid"].split()) == (["10001"] * 4, ["0"] * 4)
    kinds = ("CapPrm", "CapEff", "CapBnd")
    assert {int(gate[kind], 16) for kind in kinds} == {0}
    assert {int(postfix[kind], 16) for kind in kinds} == {0b11000011}  # CHOWN, DAC_OVERRIDE, SETGID, SETUID
    assert gate["NoNewPrivs"] == postfix["NoNewPrivs"] == "1"
    assert sender.containers["sendgate"].run("touch", "/opt/sendgate/x").returncode != 0
    assert sender.containers["postfix"].run("touch", "/usr/local/bin/x").returncode != 0


def test_both_have_the_seccomp_filter_of_the_runtime(sender: Pod) -> None:
    assert [status(container.pid)["Seccomp"] for container in sender.containers.values()] == ["2", "2"]
    # Without the filter it is no privilege, but EBADF.
    call = "import ctypes; c = ctypes.CDLL(None, use_errno=True); c.vmsplice(-1, 0, 0, 0); print(ctypes.get_errno())"
    assert sender.containers["sendgate"].run("python3", "-c", call).stdout == f"{errno.EPERM}\n"


def test_the_memory_limits_of_the_manifest_are_in_force(sender: Pod) -> None:
    for container in sender.containers.values():
        assert memory_limit(container.pid) == amount(container.spec["resources"]["limits"]["memory"])


def test_a_gate_that_runs_out_of_memory_lets_nobody_suppressed_pass(cluster: Cluster, other: Pod) -> None:
    imported = cluster.command("import", "-", "--reason", "trap", stdin="".join(f"{name}\n" for name in BAD))
    assert imported.returncode == 0, imported.stderr
    gate = other.containers["sendgate"]
    wait_until(lambda: all(code(cluster, other, name) == 550 for name in BAD), 10, "the entries have arrived")
    with Load(cluster.network, lambda: [other]) as load:
        load.wait_for_more(5)
        assert gate.run("python3", "-c", "b'x' * 2**31").returncode == 128 + signal.SIGKILL
        # The kernel ends the process that takes most, or, where kubelet says so, the whole container.
        wait_until(lambda: ready(other) or gate.exit_status is not None, 20, "the gate goes on, or has ended")
        if gate.exit_status is not None:
            assert gate.exit_status == 128 + signal.SIGKILL
            other.restart("sendgate")
        load.wait_for_more(5)
        assert code(cluster, other, TRAP) == 550
    load.assert_right()


def status(pid: int) -> dict[str, str]:
    """What the kernel says of a process."""
    text = (Path("/proc") / str(pid) / "status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def code(cluster: Cluster, pod: Pod, recipient: str) -> int:
    """The reply to one recipient."""
    with client(cluster, pod) as smtp:
        smtp.ehlo()
        smtp.mail(SENDER)
        return smtp.rcpt(recipient)[0]


def ready(pod: Pod) -> bool:
    """Whether the gate says so."""
    part = pod.part("sendgate")
    return pod.passes(part, part["readinessProbe"])
