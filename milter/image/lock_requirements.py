"""Pins what the image installs from the Python package index: every file by its hash.

In: setup.cfg (what the program needs), pyproject.toml (what builds it), milter/constraints.txt (at which version), and
the index that pip is set up with. Out: milter/requirements.lock and milter/image/build-requirements.lock, for
`pip --require-hashes`: for each package the wheels that a Debian 12 of either architecture takes, or its source where
there is no wheel. Refused (exit 1): a package that constraints.txt does not know, and one that has no file to install.

Run by `make lock`, with Python 3.11 as in Debian 12.
"""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
CONSTRAINTS = REPOSITORY / "milter" / "constraints.txt"
RUN_TIME = REPOSITORY / "milter" / "requirements.lock"
BUILD_TIME = Path(__file__).with_name("build-requirements.lock")
HEADER = "# Written by `make lock`: each file that the image is built from. Do not edit.\n"
# redis-py asks for it below Python 3.11.3; Debian 12 has 3.11.2.
BELOW_3_11_3 = ["async-timeout"]
MACHINES = ("x86_64", "aarch64")
# Debian 12 has glibc 2.36; pip does not derive the older ones itself when it is told a platform.
GLIBC = ("manylinux_2_36", "manylinux_2_35", "manylinux_2_34", "manylinux_2_31", "manylinux_2_28", "manylinux_2_24")
OLDER = ("manylinux_2_17", "manylinux2014", "manylinux_2_12", "manylinux2010", "manylinux_2_5", "manylinux1")


def main() -> None:
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    lock(RUN_TIME, setup["options"]["install_requires"].split() + BELOW_3_11_3, ["--constraint", str(CONSTRAINTS)])
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    lock(BUILD_TIME, project["build-system"]["requires"], [])


def lock(path: Path, wanted: list[str], constraints: list[str]) -> None:
    """Write a lock: what pip would install here, with the files for every architecture."""
    found = resolve([*constraints, *wanted])
    known = [line.split("==") for line in CONSTRAINTS.read_text().splitlines() if "==" in line]
    versions = {normalised(name): version for name, version in known}
    lines = []
    for name, version in sorted(found.items()):
        if constraints and versions.get(name) != version:
            raise SystemExit(f"lock: {name} {version} is not in {CONSTRAINTS.name}")
        hashes = files(f"{name}=={version}")
        lines.append(f"{name}=={version}" + "".join(f" \\\n    --hash=sha256:{one}" for one in hashes) + "\n")
    path.write_text(HEADER + "".join(lines))
    print(f"lock: {path.relative_to(REPOSITORY)}: {len(lines)} packages")


def resolve(arguments: list[str]) -> dict[str, str]:
    """Name and version of all that these requirements bring."""
    installed = (item["metadata"] for item in report("--ignore-installed", *arguments))
    return {normalised(item["name"]): item["version"] for item in installed}


def files(requirement: str) -> list[str]:
    """The hashes of a release's wheels for every architecture; of its source when one of them has no wheel."""
    found = [wheel(requirement, machine) for machine in MACHINES]
    if not all(found):
        found.append(report("--ignore-installed", "--no-deps", "--no-binary=:all:", requirement))
    return sorted({hash_of(one) for one in found if one})


def wheel(requirement: str, machine: str) -> list[dict[str, Any]]:
    """What pip says about the wheel for Python 3.11 on this architecture; nothing when there is none."""
    platforms = [f"--platform={libc}_{machine}" for libc in (*GLIBC, *OLDER)]
    arguments = [*platforms, "--python-version=3.11", "--implementation=cp", "--abi=cp311", "--abi=abi3", "--abi=none"]
    try:
        return report("--only-binary=:all:", "--no-deps", "--target=unused", *arguments, requirement)
    except subprocess.CalledProcessError as error:
        if "No matching distribution" in error.stderr:
            return []
        raise


def hash_of(found: list[dict[str, Any]]) -> str:
    hashes: dict[str, str] = found[0]["download_info"]["archive_info"]["hashes"]
    return hashes["sha256"]


def report(*arguments: str) -> list[dict[str, Any]]:
    """What pip would install."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--report", "-", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)["install"]
    return found


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as failed:
        raise SystemExit(f"lock: {failed.stderr}") from None
