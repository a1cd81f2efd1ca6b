"""A root file system with nothing but Debian's essential packages and Postfix: what the image has at least.

In: a folder that the processes of a test run share. Out: the root file system in it, made by whoever comes first.
Refused: `CalledProcessError` when mmdebstrap fails, with its words.

The package sources are the machine's own. No name server answers in it.
"""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

UID, GID, POSTDROP = 2525, 2525, 2526
ACCOUNTS = (
    f'printf "postfix:x:{GID}:\\npostdrop:x:{POSTDROP}:\\n" >> "$1/etc/group"',
    f'printf "postfix:x:{UID}:{GID}::/var/spool/postfix:/usr/sbin/nologin\\n" >> "$1/etc/passwd"',
)
NO_NAME_SERVER = "nameserver 192.0.2.1\n"
MOUNT_POINTS = ("usr/share/sendgate-postfix", "run/sendgate", "srv/spool", "var/log/postfix", "probe")


def prepared(folder: Path) -> Path:
    """The root file system below `folder`, made once for all that ask."""
    root = folder / "postfix-root"
    with (folder / "postfix-root.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "probe").exists():
            _make(root)
    return root


def _make(root: Path) -> None:
    sources = [
        path for path in (Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")) if has(path)
    ]
    suite = next(
        line.partition("=")[2]
        for line in Path("/etc/os-release").read_text().splitlines()
        if line.startswith("VERSION_CODENAME=")
    )
    hooks = [f"--essential-hook={command}" for command in ACCOUNTS]
    command = ["mmdebstrap", "--quiet", "--variant=essential", "--include=postfix", "--dpkgopt=force-unsafe-io", *hooks]
    subprocess.run([*command, suite, str(root), *map(str, sources)], check=True, capture_output=True, text=True)
    (root / "etc" / "resolv.conf").unlink(missing_ok=True)
    (root / "etc" / "resolv.conf").write_text(NO_NAME_SERVER)
    for name in MOUNT_POINTS:
        (root / name).mkdir(parents=True, exist_ok=True)


def has(path: Path) -> bool:
    """Whether this is a list of sources with something in it."""
    return path.suffix in (".list", ".sources") and path.is_file() and bool(path.read_text().strip())
