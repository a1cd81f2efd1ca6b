"""The Redis of the manifests, run for real: with the files as rendered, and Secrets made as the README says.

Only what the kubelet would put elsewhere is changed: paths and the port.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from docs.pages import blocks, section
from k8s.rendering import MANIFESTS, ROOT, Object, named, overlay
from k8s.workloads import container
from trial.gate import Gate
from trial.ports import free_port
from trial.waiting import wait_until

START_SECONDS = 20
USER = re.compile(r"^user (sendgate-(?:write|sweep|read)) on \S+ (.*)$", re.MULTILINE)


class Running:
    """A Redis with the configuration of an overlay, in a folder."""

    def __init__(self, folder: Path, objects: list[Object], secrets: Path) -> None:
        self.port = free_port()
        self._folder = folder
        data = named(objects, "ConfigMap", "redis")["data"]
        moves = {
            "/etc/redis": folder,
            "/run/secrets/sendgate-redis-tls": secrets,
            "/run/secrets/sendgate-redis": secrets,
        }
        for name, text in data.items():
            for there, here in moves.items():
                text = text.replace(there, str(here))
            text = text.replace("dir /data", f"dir {folder}").replace("port 6379", f"port {self.port}")
            (folder / name).write_text(text, encoding="utf-8")
        self.is_tls = "tls-port" in data["listen.conf"]
        redis = container(objects, "StatefulSet/redis/redis")
        self._options = {one["name"]: one["value"] for one in redis.get("env", [])}.get("REDIS_PROBE_OPTIONS", "")

    @contextmanager
    def running(self) -> Iterator[None]:
        with (self._folder / "log").open("w") as log:
            process = subprocess.Popen(["redis-server", str(self._folder / "redis.conf")], stdout=log, stderr=log)
        try:
            wait_until(lambda: self.probe("ready") == 0, START_SECONDS, "an answer of Redis")
            yield
        finally:
            process.terminate()
            process.wait(START_SECONDS)

    def probe(self, question: str) -> int:
        """The exit status of the probe, as the kubelet runs it."""
        options = f"{self._options} -p {self.port}"
        return subprocess.run(
            ["sh", str(self._folder / "probe"), question],
            env={"PATH": os.environ["PATH"], "REDIS_PROBE_OPTIONS": options},
            timeout=30,
        ).returncode


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the first commands of the README's section on Secrets make; kubectl is only noted."""
    folder = tmp_path_factory.mktemp("readme")
    stub = folder / "bin" / "kubectl"
    stub.parent.mkdir()
    stub.write_text(f'#!/bin/sh\nprintf "%s " "$@" >> {folder}/kubectl.log\n', encoding="utf-8")
    stub.chmod(0o755)
    script = blocks(section((MANIFESTS / "README.md").read_text(encoding="utf-8"), "Secrets"), "sh")[0]
    path = f"{stub.parent}:{os.environ['PATH']}"
    subprocess.run(
        ["sh", "-eu", "-c", script], cwd=folder, env={"PATH": path}, check=True, capture_output=True, timeout=60
    )
    return folder / "sendgate-secrets"


def test_the_readme_makes_every_key_that_it_gives_to_kubectl(secrets: Path) -> None:
    said = (secrets.parent / "kubectl.log").read_text(encoding="utf-8")
    files = re.findall(r"--from-file=(\S+)", said)
    assert {"sweep-password", "users.acl", "ca.crt", "tls.key"} <= set(files)
    assert [name for name in files if not (secrets / name).read_text(encoding="utf-8").strip()] == []


def test_users_have_the_rights_of_the_page_on_redis_and_no_others(secrets: Path) -> None:
    page = (ROOT / "docs/redis.md").read_text(encoding="utf-8")
    wanted = dict(USER.findall(page.partition("### A Cluster")[0]))
    for file in (secrets / "users.acl", MANIFESTS / "overlays/demo/users.acl"):
        text = file.read_text(encoding="utf-8")
        assert "user default off ~* &* +@all" in text.splitlines()
        found = dict(USER.findall(text))
        assert found
        assert found == {name: wanted[name] for name in found}


@contextmanager
def gate(url: str, password: Path, **store: str) -> Iterator[Gate]:
    """A gate that is not started, for its commands; what it left is removed."""
    one = Gate(settings={"store": {"url": url, "password_file": str(password), **store}})
    try:
        yield one
    finally:
        one.remove()


def test_the_redis_of_production_takes_lists_over_tls(secrets: Path, tmp_path: Path) -> None:
    redis = Running(tmp_path, overlay("production"), secrets)
    assert redis.is_tls
    with redis.running():
        ca = str(secrets / "ca.crt")
        url = f"rediss://sendgate-write@localhost:{redis.port}/0"
        with gate(url, secrets / "write-password", tls_ca_file=ca) as writer:
            done = writer.run("add", "trap@example.net", "--reason", "trap")
            assert done.returncode == 0, done.stderr
        with gate(url.replace("write", "sweep"), secrets / "sweep-password", tls_ca_file=ca) as sweeper:
            sweeper.start()
            try:
                assert sweeper.is_ready()
            finally:
                sweeper.stop()
    assert redis.probe("alive") != 0


def test_the_redis_of_the_demo_takes_the_sample_list(tmp_path: Path) -> None:
    redis = Running(tmp_path, overlay("demo"), MANIFESTS / "overlays/demo")
    assert not redis.is_tls
    password = tmp_path / "password"
    password.write_text("demo-write", encoding="utf-8")
    with redis.running(), gate(f"redis://sendgate-write@localhost:{redis.port}/0", password) as writer:
        done = writer.run("import", str(MANIFESTS / "overlays/demo/list.csv"))
        assert done.returncode == 0, done.stderr
        assert "recipient suppressed: trap" in writer.run("explain", "pristine@trap.test").stdout


@pytest.mark.parametrize("name", ["production", "demo"])
def test_a_redis_that_starts_again_has_its_lists(name: str, secrets: Path, tmp_path: Path) -> None:
    """It replays its file as the default user, who is off: what that one may not do is lost."""
    folder = secrets if name == "production" else MANIFESTS / "overlays/demo"
    redis = Running(tmp_path, overlay(name), folder)
    password = tmp_path / "password"
    password.write_text("demo-write", encoding="utf-8")
    scheme, ca = ("rediss", str(secrets / "ca.crt")) if redis.is_tls else ("redis", None)
    word = secrets / "write-password" if redis.is_tls else password
    url = f"{scheme}://sendgate-write@localhost:{redis.port}/0"
    with gate(url, word, **({"tls_ca_file": ca} if ca else {})) as writer:
        with redis.running():
            assert writer.run("add", "trap@example.net", "--reason", "trap").returncode == 0
        with redis.running():
            assert "trap@example.net" in writer.run("export").stdout


def test_nobody_logs_in_as_the_default_user(tmp_path: Path) -> None:
    redis = Running(tmp_path, overlay("demo"), MANIFESTS / "overlays/demo")
    with redis.running():
        for login in ([], ["--user", "default", "--pass", ""], ["--user", "default", "--pass", "x"]):
            command = ["redis-cli", "-p", str(redis.port), "--no-auth-warning", *login, "keys", "*"]
            said = subprocess.run(command, capture_output=True, text=True, timeout=10)
            assert "NOAUTH" in said.stdout, login


def test_the_probe_may_do_nothing_else(tmp_path: Path) -> None:
    redis = Running(tmp_path, overlay("demo"), MANIFESTS / "overlays/demo")
    with redis.running():
        login = ["redis-cli", "-p", str(redis.port), "--user", "sendgate-probe", "--pass", "none", "--no-auth-warning"]
        for command in (["keys", "*"], ["get", "sendgate:layout"], ["flushall"], ["acl", "whoami"], ["info"]):
            said = subprocess.run([*login, *command], capture_output=True, text=True, timeout=10)
            assert said.stdout.startswith("NOPERM"), command
        without = subprocess.run(
            ["redis-cli", "-p", str(redis.port), "ping"], capture_output=True, text=True, timeout=10
        )
        assert without.stdout.startswith("NOAUTH")
