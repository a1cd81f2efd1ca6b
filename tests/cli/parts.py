"""What the tests of the command line share.

In: arguments and stdin. Out: exit status, stdout and stderr of a command, run in this process or in one of its own.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sendgate.cli.main import run

LISTS = Path(__file__).resolve().parents[1] / "data" / "lists"


class Answer(NamedTuple):
    """How a command ended, and what it said."""

    status: int
    out: str
    errors: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def complaints(self) -> list[str]:
        return [line.removeprefix("sendgate: ") for line in self.errors.splitlines()]


class Program:
    """The command line with settings and a store of its own."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.config = folder / "sendgate.yaml"
        self._capture = capture
        self._patch = patch
        self.configure()
        patch.setenv("SENDGATE_CONFIG", str(self.config))

    def configure(self, text: str = "") -> None:
        """Write the settings: the store's place, and `text`."""
        self.config.write_text(f"store: {{url: 'lmdb://{self.store}'}}\n{text}")

    def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> Answer:
        """Run a command in this process."""
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        self._capture.readouterr()
        status = run([str(argument) for argument in arguments])
        out, errors = self._capture.readouterr()
        return Answer(int(status), out, errors)

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start `python -m sendgate` in a process of its own. The caller ends it."""
        return subprocess.Popen(
            [sys.executable, "-m", "sendgate", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def separately(self, *arguments: str | Path, stdin: bytes = b"") -> Answer:
        """Run `python -m sendgate` in a process of its own."""
        with self.start(*arguments) as process:
            out, errors = process.communicate(stdin, timeout=60)
        return Answer(process.returncode, out.decode(), errors.decode())

    def exported(self, *options: str) -> list[dict[str, Any]]:
        """The entries in the store, oldest first."""
        answer = self("export", "--format", "jsonl", *options)
        assert answer.status == 0, answer.errors
        return [json.loads(line) for line in answer.out.splitlines()]

    def subjects(self, *options: str) -> list[str]:
        """The subjects in the store, sorted."""
        return sorted(entry["subject"] for entry in self.exported(*options))
