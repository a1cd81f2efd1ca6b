"""The fixture `sendgate`: the command line over an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.parts import Program


@pytest.fixture
def sendgate(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    return Program(tmp_path, capsys, monkeypatch)
