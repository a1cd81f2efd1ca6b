"""The images, built for this test run by `make images`' own script, as plain folders.

In: a folder that the processes of a parallel run share. Out: each image's root file system and configuration; the first
who asks builds, the others wait. Refused: BuildError with the end of the build's output.

The base is made from Debian's archive and the build runs in buildah with chroot isolation: no daemon, nothing pulled.
When the archive has moved on since the locks were written, they are renewed in the copy that is built, with a warning:
a security update of Debian's must not stop a change that has nothing to do with it.
"""

from __future__ import annotations

import configparser
import fcntl
import json
import os
import shutil
import ssl
import subprocess
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TARGETS = ("sendgate", "postfix", "filters", "redis", "prometheus")
BASE = "localhost/sendgate-base:bookworm"
REVISION = "0" * 40
_CONTEXT = ("Dockerfile", ".dockerignore", "README.md", "setup.cfg", "pyproject.toml")
_FOLDERS = ("milter", "postfix")
_OUTDATED = "run `make lock`"


class BuildError(RuntimeError):
    """An image cannot be built; the message ends with what the build said last."""


@dataclass(frozen=True)
class Image:
    """root: its files, not to be written to. config: the `config` of the OCI image. megabytes: with the base."""

    root: Path
    config: Mapping[str, Any]
    megabytes: float

    @property
    def environment(self) -> dict[str, str]:
        return dict(variable.split("=", 1) for variable in self.config.get("Env", []))

    @property
    def user(self) -> tuple[int, int]:
        """User and group, as numbers; root when it names none."""
        user, _, group = self.config.get("User", "").partition(":")
        return int(user or 0), int(group or 0)


@dataclass(frozen=True)
class Images:
    """All images by target, and `base`. context: the folder they were built from. renewed: not from the locks as they
    are in the repository."""

    by_target: Mapping[str, Image]
    context: Path
    renewed: bool

    def __getitem__(self, target: str) -> Image:
        return self.by_target[target]


def built(folder: Path) -> Images:
    """The images in this folder; built there unless another process has."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "done.json"
        if not done.exists():
            try:
                told = _build(folder)
            except BuildError as error:
                told = {"error": str(error)}
            done.write_text(json.dumps(told))
    told = json.loads(done.read_text())
    if "error" in told:
        raise BuildError(told["error"])
    images = {
        target: Image(folder / "roots" / target, config, _megabytes(folder / "roots" / target))
        for target, config in told["configs"].items()
    }
    return Images(images, folder / "context", told["renewed"])


def _build(folder: Path) -> dict[str, Any]:
    context = copy_context(folder / "context")
    storage = folder / "storage"
    environment = _environment(folder, storage)
    try:
        _run(["milter/image/base"], context, environment | {"BASE": BASE})
        renewed = False
        try:
            _run(["milter/image/build", *TARGETS], context, environment)
        except BuildError as error:
            if _OUTDATED not in str(error):
                raise
            warnings.warn(f"Debian's archive has moved on: `make lock` is due\n{error}", stacklevel=2)
            renewed = True
            _run(["milter/image/lock"], context, environment)
            _run(["milter/image/build", *TARGETS], context, environment)
        configs = {target: _export(folder, target, environment) for target in ("base", *TARGETS)}
    finally:
        shutil.rmtree(storage, ignore_errors=True)
    return {"configs": configs, "renewed": renewed}


def copy_context(folder: Path) -> Path:
    """All that a build reads, in a folder of its own."""
    folder.mkdir()
    for name in _CONTEXT:
        shutil.copy2(REPOSITORY / name, folder)
    for name in _FOLDERS:
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return folder


def _environment(folder: Path, storage: Path) -> dict[str, str]:
    """What the scripts read. Certificates and pip's settings of this machine go into the build, not into an image."""
    pip = folder / "pip.conf"
    pip.write_text(_pip_settings())
    given = {
        "ENGINE": "buildah",
        "ENGINE_OPTIONS": f"--storage-driver={_driver(storage)} --root={storage}/root --runroot={storage}/run",
        # Each step of a cached build is a copy of everything with vfs; one build needs no cache.
        "BUILD_OPTIONS": "--isolation=chroot --pull-never --layers=false",
        "BASE": BASE,
        "PIP_CONF": str(pip),
        "REVISION": REVISION,
        "SOURCE_DATE_EPOCH": "1700000000",
    }
    authorities = os.environ.get("PIP_CERT") or ssl.get_default_verify_paths().cafile
    return dict(os.environ) | given | ({"CA_FILE": authorities} if authorities else {})


def _driver(storage: Path) -> str:
    """overlay where the kernel and the file system below can, for it copies nothing; else vfs."""
    options = ["--storage-driver=overlay", f"--root={storage}/probe", f"--runroot={storage}/probe-run"]
    done = subprocess.run(["buildah", *options, "info"], capture_output=True)
    return "vfs" if done.returncode else "overlay"


def _pip_settings() -> str:
    """The index and the way there, from this machine's settings; paths to its disk mean nothing in a build."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings = configparser.RawConfigParser()
    settings["global"] = {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2]
        if option in ("index-url", "proxy", "trusted-host", "default-timeout", "timeout"):
            settings["global"][option.removeprefix("default-")] = value.strip("'")
    lines = [f"{name} = {value}" for name, value in settings["global"].items()]
    return "\n".join(["[global]", *lines, ""])


def _export(folder: Path, target: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Copy an image's files out of the storage. Returns its configuration."""
    name = BASE if target == "base" else f"localhost/sendgate{'' if target == 'sendgate' else '-' + target}:0.1.0"
    buildah = ["buildah", *environment["ENGINE_OPTIONS"].split()]
    container = _run([*buildah, "from", "--pull-never", name], folder, environment).split()[-1]
    mounted = _run([*buildah, "mount", container], folder, environment).split()[-1]
    (folder / "roots").mkdir(exist_ok=True)
    _run(["cp", "-a", mounted, str(folder / "roots" / target)], folder, environment)
    _run([*buildah, "umount", container], folder, environment)
    _run([*buildah, "rm", container], folder, environment)
    inspected = json.loads(_run([*buildah, "inspect", "--type", "image", name], folder, environment))
    config: dict[str, Any] = inspected["OCIv1"]["config"]
    return config


def _megabytes(root: Path) -> float:
    sizes = {(s.st_dev, s.st_ino): s.st_size for path in root.rglob("*") if (s := path.lstat()).st_size}
    return sum(sizes.values()) / 1e6


def _run(command: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """The same folder in all processes of a parallel run; `tests/conftest.py` removes it at the end."""
    own = factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "images"
