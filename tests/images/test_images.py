"""The finished images: they hold what the locks name and nothing to build with, and play every SMTP dialogue.

Run as Kubernetes runs them: read-only root, the image's user, no new privileges, no capability that no manifest adds.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from images.parts import ImageGate, ImagePostfix
from images.root import Container, inner_pid
from images.store import REVISION, TARGETS, Image, Images
from smtp.arena import Arena
from smtp.script import FOLDER, load
from trial.gate import Gate

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

USERS = {"sendgate": (10001, 2525), "postfix": (0, 0), "filters": (10002, 2525), "redis": (10003, 10003)} | {
    "prometheus": (10004, 10004)
}
# The image's Postfix knows one milter, on a Unix socket.
DIALOGUES = [path for path in sorted(FOLDER.glob("*.txt")) if load(path).settings != "tcp"]
BUILD_TOOLS = ("gcc", "cc", "c++", "make", "ld", "as", "pip", "pip3", "git", "wget", "curl", "python3-config")


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
def test_the_dialogue_goes_as_written(path: Path, image_arena_of: Callable[[str], Arena]) -> None:
    script = load(path)
    image_arena_of(script.settings).play(script)


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_the_user_it_says(images: Images, target: str) -> None:
    found = run(images[target], "id", "-u").split() + run(images[target], "id", "-g").split()
    assert tuple(map(int, found)) == images[target].user == USERS[target]


def test_groups_and_users_have_the_same_numbers_in_both_containers_of_a_sender(images: Images) -> None:
    assert run(images["sendgate"], "getent", "group", "postfix").startswith("postfix:x:2525:")
    assert run(images["postfix"], "getent", "passwd", "postfix").startswith("postfix:x:2525:2525:")
    assert run(images["postfix"], "getent", "group", "postfix", "postdrop").split(":")[2::3] == ["2525", "2526"]


@pytest.mark.parametrize("target", TARGETS)
def test_packages_are_those_of_the_locks(images: Images, target: str) -> None:
    listed = run(images[target], "dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}\n").splitlines()
    folder = images.context / "milter" / "image" / "locks" / run(images[target], "dpkg", "--print-architecture").strip()
    lines = [line for name in ("base", target) for line in (folder / name).read_text().splitlines()]
    assert sorted(listed) == sorted(line.rpartition(" ")[0] for line in lines if not line.startswith("#"))


def test_python_packages_are_those_of_the_lock_and_complete(images: Images) -> None:
    program = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    found = {normalised(name) for name in run(images["sendgate"], "/opt/sendgate/bin/python", "-c", program).split()}
    lock = (images.context / "milter" / "requirements.lock").read_text()
    locked = {line.split()[0] for line in lock.splitlines() if "==" in line}
    assert found == locked | {"sendgate==0.1.0"}


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_to_build_with_is_left(images: Images, target: str) -> None:
    root = images[target].root
    found = [
        path.name for folder in ("usr/bin", "usr/local/bin", "opt/sendgate/bin") for path in (root / folder).glob("*")
    ]
    assert not set(found) & set(BUILD_TOOLS)
    assert not [*root.glob("usr/lib/python3*/**/pip"), *root.glob("opt/sendgate/lib/**/pip")]
    left = [
        *root.glob("var/lib/apt/lists/*"),
        *root.glob("var/cache/apt/archives/*.deb"),
        *root.glob("usr/include/*.h"),
    ]
    assert not [path for path in left if path.name not in ("lock", "partial", "auxfiles")]
    assert not list((root / "tmp").iterdir()) + list((root / "root").glob(".cache"))


@pytest.mark.parametrize("target", TARGETS)
def test_no_program_makes_its_user_another(images: Images, target: str) -> None:
    """But Postfix's two for its own group, which no_new_privs makes harmless."""
    found = set()
    for path in images[target].root.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
            found.add(path.name)
    assert found == ({"postdrop", "postqueue"} if target == "postfix" else set())


@pytest.mark.parametrize("target", TARGETS)
def test_no_private_key_is_in_an_image(images: Images, target: str) -> None:
    files = [path for path in (images[target].root / "etc").rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in files if b"PRIVATE KEY-----" in path.read_bytes()]


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_says_what_it_is(images: Images, target: str) -> None:
    config = images[target].config
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == ("sendgate" if target == "sendgate" else f"sendgate-{target}")
    assert labels["org.opencontainers.image.version"] == "0.1.0"
    assert labels["org.opencontainers.image.revision"] == REVISION
    assert {"description", "source"} <= {name.rpartition(".")[2] for name in labels}
    assert config["StopSignal"] == "SIGTERM"
    assert "Healthcheck" not in config


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("filters", "opendkim -V"),
        ("filters", "opendmarc -V"),
        ("filters", "spamd --version"),
        ("filters", "spamassassin --version"),
        ("redis", "redis-server --version"),
        ("redis", "redis-cli --version"),
        ("prometheus", "prometheus --version"),
        ("prometheus", "promtool --version"),
        ("prometheus", "prometheus-alertmanager --version"),
        ("prometheus", "amtool --version"),
    ],
)
def test_a_program_of_the_other_images_starts(images: Images, target: str, command: str) -> None:
    done = subprocess.run(Container(images[target]).command(*command.split()), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_sendgate_ends_with_status_0_on_sigterm_as_process_1(images: Images) -> None:
    gate = ImageGate(images["sendgate"])
    try:
        gate.own_pids()
        gate.make_store()
        gate.start()
        os.kill(inner_pid(gate.pid), signal.SIGTERM)
        assert gate.wait_for_end() == 0
    finally:
        gate.stop()
        gate.remove()


def test_postfix_ends_with_status_0_on_sigterm_as_process_1(images: Images) -> None:
    with Gate() as gate:
        mta = ImagePostfix(images["postfix"], gate.folder, {}, "")
        mta.start()
        mta.stop()
    assert mta.exit_status == 0


@pytest.mark.parametrize("target", TARGETS)
def test_the_root_that_all_of_this_runs_with_is_read_only(images: Images, target: str) -> None:
    done = subprocess.run(Container(images[target], user=(0, 0)).command("touch", "/x"), capture_output=True, text=True)
    assert "Read-only file system" in done.stderr


def test_sizes(images: Images, record_property: Callable[[str, object], None]) -> None:
    """Told, and none is twice what it was when this was written."""
    sizes = {target: round(images[target].megabytes) for target in ("base", *TARGETS)}
    print(sizes)
    record_property("megabytes", sizes)
    assert sizes["sendgate"] < 300
    assert sizes["postfix"] < 260


def test_a_lock_that_names_what_the_archive_does_not_have_ends_the_build(images: Images, tmp_path: Path) -> None:
    done = add_redis(images, tmp_path, lambda line: line.replace(":7.0", ":6.9"))
    assert done.returncode == 1
    assert done.stderr.endswith("the archive does not have what the lock names (above): run `make lock`\n")


def test_a_package_that_is_not_the_locked_one_ends_the_build(images: Images, tmp_path: Path) -> None:
    done = add_redis(images, tmp_path, lambda line: f"{line[:-64]}{'0' * 64}")
    assert done.returncode == 1
    assert done.stderr.endswith("these files are not those of the lock; somebody changed them\n")
    assert "redis-server" in done.stderr


def test_a_base_that_is_newer_than_the_lock_ends_the_build(images: Images, tmp_path: Path) -> None:
    done = add_redis(images, tmp_path, lambda _: f"apt 1:0 amd64 {'0' * 64}".replace("1:0", "1.0"))
    assert done.returncode == 1
    assert done.stderr.endswith("newer than the locked 1.0: run `make lock`\n")


def add_redis(images: Images, folder: Path, change: Callable[[str], str]) -> subprocess.CompletedProcess[str]:
    """Install the lock of the image `redis`, its redis-server changed, into the base, as a build does."""
    scripts = shutil.copytree(images.context / "milter" / "image", folder / "image")
    (lock,) = scripts.glob("locks/*/redis")
    lines = lock.read_text().splitlines()
    lock.write_text("".join(f"{change(line) if line.startswith('redis-server ') else line}\n" for line in lines))
    places = ("/tmp", "/var/cache/apt")
    path = {"PATH": images["redis"].environment["PATH"]}
    base = Container(images["base"], {scripts: "/mnt"}, places, capabilities=["chown", "fowner"], environment=path)
    return subprocess.run(base.command("/mnt/packages", "add", "redis"), capture_output=True, text=True)


def run(image: Image, *program: str) -> str:
    """A program's output, in a container of the image."""
    done = subprocess.run(Container(image).command(*program), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def normalised(name: str) -> str:
    return name.replace("_", "-").lower()
