"""What the images are made from, as files: the Dockerfile, .dockerignore, and the locks beside what they lock."""

from __future__ import annotations

import configparser
import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from images.store import REPOSITORY, TARGETS

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
LOCKS = REPOSITORY / "milter" / "image" / "locks"
# Asked for by redis-py below Python 3.11.3, as in Debian 12.
BELOW_3_11_3 = {"async-timeout"}


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, REPOSITORY / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_there_is_no_health_check() -> None:
    assert "HEALTHCHECK" not in DOCKERFILE


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_has_a_lock_and_a_signal_to_stop(target: str) -> None:
    stage = re.search(rf"^FROM base AS {target}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert stage
    assert f"/image/packages add {target}" in stage[1]
    assert "STOPSIGNAL SIGTERM" in stage[1]
    assert (LOCKS / "amd64" / target).exists()


def test_entrypoints_and_commands_are_lists() -> None:
    found = re.findall(r"^(?:ENTRYPOINT|CMD) (.*)$", DOCKERFILE, re.MULTILINE)
    assert found
    assert all(one.startswith('["') for one in found)


def test_a_build_gets_what_it_names_and_nothing_else() -> None:
    """.dockerignore, as the engine reads it: by git's rules, which are the same for these patterns."""
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    allowed = [line.removeprefix("!") for line in patterns if line.startswith("!")]
    for outside in ("tests", ".git", "k8s", "docs", "bench", ".venv", "postfix/trial", "milter/sendgate.egg-info"):
        assert not any(f"{outside}/x".startswith(f"{one}/") or outside == one for one in allowed), outside
    for one in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in one.split():
            assert any(f"{source}/".startswith(f"{name}/") for name in allowed), source
    assert {"**/__pycache__", "**/*.egg-info"} <= set(patterns)


@pytest.mark.parametrize("lock", sorted(LOCKS.glob("*/*")), ids=lambda path: path.name)
def test_a_lock_of_debian_packages_is_whole(lock: Path) -> None:
    first, *lines = lock.read_text().splitlines()
    asked = first.removeprefix("# Asked for: ")
    assert asked != first
    found = [re.fullmatch(r"(\S+) (\S+) (\S+) ([0-9a-f]{64})", line) for line in lines]
    assert all(found)
    names = [match[1] for match in found if match]
    assert len(names) == len(set(names))
    assert {match[3] for match in found if match} <= {"all", lock.parent.name}
    assert lock.name == "base" or set(asked.split()) <= set(names)


def test_nothing_to_compile_with_is_in_the_lock_of_an_image() -> None:
    for target in TARGETS:
        names = {line.split()[0] for line in (LOCKS / "amd64" / target).read_text().splitlines()}
        assert not {name for name in names if re.match(r"gcc(-\d+)?$|.*-dev$|python3-(pip|venv)|make$|binutils", name)}


@pytest.mark.parametrize("name", ["milter/requirements.lock", "milter/image/build-requirements.lock"])
def test_each_python_package_is_locked_by_hash(name: str) -> None:
    text = (REPOSITORY / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==\S+(\s+--hash=sha256:[0-9a-f]{64})+", line)


def test_python_packages_are_locked_at_the_versions_that_are_tested() -> None:
    constraints = versions(REPOSITORY / "milter" / "constraints.txt")
    locked = versions(REPOSITORY / "milter" / "requirements.lock")
    assert locked.items() <= constraints.items()


def test_the_lock_has_what_the_program_needs_at_run_time_and_no_more() -> None:
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    wanted = [re.split(r"[=\[]", line)[0] for line in setup["options"]["install_requires"].split()]
    assert set(versions(REPOSITORY / "milter" / "requirements.lock")) == closure([*wanted, "hiredis"]) | BELOW_3_11_3


def test_what_builds_is_locked_as_pyproject_says() -> None:
    wanted = set(re.findall(r'"(\S+==\S+)"', (REPOSITORY / "pyproject.toml").read_text().partition("[tool")[0]))
    locked = {f"{name}=={version}" for name, version in versions(LOCKS.parent / "build-requirements.lock").items()}
    assert wanted <= locked


def test_the_scripts_tell_what_they_do_not_know() -> None:
    environment = {"PATH": "/usr/bin:/bin", "ENGINE": "rocket"}
    done = subprocess.run([LOCKS.parent / "build"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "images: no engine rocket; one of: docker podman buildah\n")


def test_without_an_engine_the_scripts_say_which_they_take(tmp_path: Path) -> None:
    for name in ("sh", "dirname"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    done = subprocess.run([LOCKS.parent / "build"], env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "images: none of docker, podman, buildah is here\n")


def versions(path: Path) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([^\s\\]+)", path.read_text(), re.MULTILINE)
    return {normalised(name): version for name, version in found}


def closure(names: list[str]) -> set[str]:
    """All that these packages bring in this environment, without extras."""
    found: set[str] = set()
    while names:
        name = normalised(names.pop())
        if name not in found:
            found.add(name)
            required = importlib.metadata.requires(name) or []
            names += [re.split(r"[^\w.-]", line)[0] for line in required if is_for_us(line)]
    return found


def is_for_us(requirement: str) -> bool:
    marker = Requirement(requirement).marker
    return marker is None or marker.evaluate({"extra": ""})


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
