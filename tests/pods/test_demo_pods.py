"""The demo, run from its manifests: everything but Prometheus, which needs the cluster's DNS."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.pages import blocks, docs, section
from images.store import Images
from k8s.rendering import overlay
from pods.cluster import Cluster
from pods.container import Container
from pods.kubelet import Pod
from pods.manifest import Objects
from pods.parts import SENDER, client, figure
from trial.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

WORKLOADS = {"redis": 1, "smtp-sink": 1, "lists": 1, "sender": 1, "client": 1}
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


@pytest.fixture(scope="module")
def cluster(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(Objects(tuple(overlay("demo"))), images, tmp_path_factory.mktemp("demo"), WORKLOADS) as running:
        running.start()
        yield running


@pytest.fixture
def sender(cluster: Cluster) -> Pod:
    return cluster.pods["sender-0"]


def test_its_client_meets_the_trap_of_the_sample_list_and_its_other_mail_leaves(sender: Pod) -> None:
    wait_until(lambda: figure(sender, "sendgate_trap_hits_total", campaign="spring-sale"), 30, "a trap hit is counted")
    wait_until(
        lambda: figure(sender, "sendgate_deliveries_total", campaign="spring-sale", result="sent"), 30, "mail is sent"
    )


def test_spam_is_refused_and_a_trap_among_its_recipients_first(cluster: Cluster, sender: Pod) -> None:
    with client(cluster, sender) as smtp:
        smtp.ehlo()
        smtp.mail(SENDER)
        assert smtp.rcpt("pristine@trap.test")[0] == 550
        assert smtp.rcpt("reader@example.org")[0] == 250
        code, text = smtp.data(f"From: news@example.com\r\nSubject: Hello\r\n\r\n{GTUBE}\r\n")
    assert (code, text[:5]) == (550, b"5.7.1")


def test_what_leaves_is_signed(cluster: Cluster, sender: Pod) -> None:
    """The sink keeps nothing, so a look at the queue: the sink is away, and the message waits."""
    sink = cluster.pods["smtp-sink-0"]
    sink.kill()
    with client(cluster, sender) as smtp:
        smtp.sendmail(SENDER, ["reader@example.org"], "From: news@example.com\r\nSubject: Signed\r\n\r\nHello.\r\n")
    postfix = sender.containers["postfix"]

    def waiting() -> str:
        done = postfix.run("sh", "-c", "for id in $(ls -A /srv/spool/postfix/deferred/*); do postcat -hq $id; done")
        return done.stdout

    wait_until(lambda: "Subject: Signed" in waiting(), 30, "the message waits")
    text = waiting()
    sink.start()
    assert "DKIM-Signature: v=1;" in text
    assert "d=example.com; s=s1;" in text


def test_the_page_on_kubernetes_leads_to_a_refused_trap(cluster: Cluster, tmp_path: Path) -> None:
    steps = section(docs("kubernetes.md"), "From an empty cluster to the first refused trap")
    commands = [block for block in blocks(steps.replace("\n   ", "\n"), "sh") if " exec " in block]
    told = [run_as_told(cluster, tmp_path, block) for block in commands]
    assert len(told) == 3
    added, sent, counted = told
    assert "added" in added
    assert "550 5.7.1 <trap@example.net>: recipient suppressed: trap (ref " in sent
    assert "250 2.1.5 Ok" in sent.replace("-", " ")
    assert 'sendgate_trap_hits_total{campaign="demo"} 1.0' in counted


def run_as_told(cluster: Cluster, folder: Path, block: str) -> str:
    """Run a page's block in a shell whose kubectl knows `exec` alone; what it prints."""
    lists, gate = cluster.pods["lists-0"].containers["lists"], cluster.pods["sender-0"].containers["sendgate"]
    stub = f"""#!/bin/bash
while [ "$1" != -- ]; do where="$where $1"; shift; done
shift
case $where in
    *" exec deploy/lists") exec {_as_words(lists)} "$@" ;;
    *" exec -i sender-0 -c sendgate") exec {_as_words(gate)} "$@" ;;
    *) echo "kubectl: $where" >&2; exit 1 ;;
esac
"""
    (folder / "kubectl").write_text(stub)
    (folder / "kubectl").chmod(0o755)
    path = {"PATH": f"{folder}:{os.environ['PATH']}"}
    told = [line for line in block.split("\n") if "port-forward" not in line]
    done = subprocess.run(["sh", "-euc", "\n".join(told)], env=path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def _as_words(container: Container) -> str:
    variables = [f"{name}={value}" for name, value in container.environment.items()]
    return shlex.join(["env", "-i", *variables, *container.inside()])
