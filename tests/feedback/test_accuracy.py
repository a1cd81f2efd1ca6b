"""The measure of accuracy: what it says of our own corpus, and what it asks for when there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
QUICK = ("--quick", "--day", "20000")


def accuracy(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the measure."""
    return subprocess.run(
        [sys.executable, "-m", "bench", "accuracy", *QUICK, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "postfix")} | variables,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What it finds in our own corpus."""
    figures = tmp_path_factory.mktemp("accuracy") / "figures.json"
    done = accuracy("--misses", "--json", str(figures))
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(figures.read_text())
    return told | {"printed": done.stdout}


def test_all_of_our_own_corpus_is_judged_as_it_should_be(found: dict[str, Any]) -> None:
    missed = [
        what
        for report, told in found.items()
        if report != "printed"
        for what, reached in told["targets"].items()
        if not reached and "/s" not in what
    ]
    assert missed == [], found["printed"]
    assert "expected " not in found["printed"].replace("expected (rows)", "")


def test_a_whole_day_of_a_log_has_all_its_events_and_no_others(found: dict[str, Any]) -> None:
    assert found["log of a day"]["targets"]["a day's log: events too few or too many"]


def test_a_set_that_is_wrong_is_told_with_each_miss(tmp_path: Path) -> None:
    rows = [
        {"reply": "550 5.1.1 user unknown", "smtp_code": "550", "expected_class": "block", "accept": ["block"]},
        {"reply": "550 5.7.1 blocked as spam", "smtp_code": "550", "expected_class": "block", "accept": ["block"]},
    ]
    (tmp_path / "replies.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = accuracy("--misses", "--set", "replies", SENDGATE_CORPUS=str(tmp_path))
    assert "550 5.1.1 user unknown: false hard: expected block, got hard" in done.stdout
    assert "replies: within accept: 0.5, to reach at least 0.95: NOT REACHED" in done.stdout


@pytest.mark.parametrize("made", [False, True], ids=["missing", "empty"])
def test_without_a_corpus_it_says_what_helps(tmp_path: Path, made: bool) -> None:
    folder = tmp_path / "corpus"
    if made:
        folder.mkdir()
    done = accuracy("--corpus", str(folder))
    assert done.returncode == 2
    assert str(folder) in done.stdout
    assert "SET.jsonl" in done.stdout


def test_a_row_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bounces.jsonl").write_text('{"file": "bounces/raw/none.eml", "recipients": []}\n')
    done = accuracy("--corpus", str(tmp_path))
    assert done.returncode == 2
    assert "bounces.jsonl:1: FileNotFoundError" in done.stdout
