"""docs/metrics.md against the metrics that the program exposes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from docs.pages import blocks, code, docs, rows, section
from sendgate.decision import Cause
from sendgate.entry import WITHOUT_ACTION, Reason
from sendgate.feedback.event import BounceType
from sendgate.metrics import (
    DECISIONS,
    RELOAD_RESULTS,
    RESTART_CAUSES,
    RESYNC_CAUSES,
    FollowMetrics,
    Metrics,
    StoreCollector,
    StoreFigures,
    exposition,
)
from sendgate.metrics_feedback import FAMILIES, FeedbackCollector, FeedbackFigures
from sendgate.metrics_queue import AGES, QUEUES, Look, QueueCollector
from sendgate.mta.tally import Tally

_PAGE = docs("metrics.md")
_SUFFIX = re.compile(r"_(total|bucket|count|sum)$")


class Kind(NamedTuple):
    """What a metric is: its type, and the names of its labels."""

    type: str
    labels: frozenset[str]


def _documented() -> dict[str, Kind]:
    table = [row for row in rows(_PAGE) if len(row) == 4 and row[0].startswith("`sendgate_")]
    return {code(row[0])[0]: Kind(row[1], frozenset(code(row[2]))) for row in table}


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kind]:
    folder = tmp_path_factory.mktemp("metrics")
    metrics = Metrics(folder, "worker-0")
    metrics.recipients("spring", "pass", "none")
    metrics.message("spring")
    metrics.trap_hit("spring")
    FollowMetrics(folder).origin_up(True)
    counts = [(one.counted, "spring" * one.has_campaign, "value" * bool(one.label), 1) for one in FAMILIES]
    feedback = FeedbackFigures(counts, open_breakers=["example.com"], behind=0, milter="unix:/run/milter.sock")
    collectors = [
        StoreCollector(lambda: StoreFigures({"trap": 1}, 0.0, 1)),
        FeedbackCollector(lambda: feedback, max_labels=500),
        QueueCollector(lambda: Look(Tally(0.0).figures())),
    ]
    body, _ = exposition(folder, collectors)
    found = {}
    for family in text_string_to_metric_families(body.decode()):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = Kind(family.type, frozenset(labels))
    return found


def test_every_metric_is_documented_with_its_type_and_labels(exposed: dict[str, Kind]) -> None:
    assert len(exposed) > 10
    assert _documented() == exposed


def test_every_metric_has_a_useful_line(exposed: dict[str, Kind]) -> None:
    used = set(re.findall(r"\bsendgate_\w+", "".join(blocks(_PAGE, "promql"))))
    names = used | {_SUFFIX.sub("", name) for name in used}
    assert exposed.keys() <= names


def test_useful_lines_use_metrics_that_exist(exposed: dict[str, Kind]) -> None:
    used = set(re.findall(r"\bsendgate_\w+", "".join(blocks(_PAGE, "promql"))))
    assert {name if name in exposed else _SUFFIX.sub("", name) for name in used} <= exposed.keys()


def test_useful_lines_are_promql(tmp_path: Path) -> None:
    lines = [line for block in blocks(_PAGE, "promql") for line in block.splitlines()]
    expressions = "\n".join("" if line.startswith("#") else line for line in lines)
    parts = re.split(r"\n(?=\S)", re.sub(r"\n+", "\n", expressions).strip())
    rules = "".join(f"  - record: r{n}\n    expr: |\n      {_indented(part)}\n" for n, part in enumerate(parts))
    path = tmp_path / "rules.yaml"
    path.write_text("groups:\n- name: all\n  rules:\n" + rules)
    _promtool("check", "rules", str(path))


def test_the_scrape_configuration_is_one_of_prometheus(tmp_path: Path) -> None:
    path = tmp_path / "prometheus.yaml"
    path.write_text(next(block for block in blocks(_PAGE, "yaml") if "scrape_configs" in block))
    _promtool("check", "config", str(path))


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("decision", set(DECISIONS)),
        ("cause of a restart", set(RESTART_CAUSES)),
        ("cause of a copy", set(RESYNC_CAUSES)),
        ("reason", {"none", *Cause} - {Cause.ENTRY}),
    ],
)
def test_the_values_of_a_label_are_all_documented_and_no_others(column: str, values: set[str]) -> None:
    table = _PAGE[_PAGE.index(f"| {column} |") :].partition("\n\n")[0]
    assert {code(row[0])[0] for row in rows(table)[1:]} == values


def test_the_reasons_of_entries_are_documented() -> None:
    told = set(code(section(_PAGE, "Recipients and messages")))
    assert {reason.value for reason in Reason if reason not in WITHOUT_ACTION} <= told


def test_the_types_of_bounces_are_documented() -> None:
    assert {kind.value for kind in BounceType} <= set(code(section(_PAGE, "Feedback")))


def test_the_queues_and_ages_of_postfix_are_documented() -> None:
    text = section(_PAGE, "Postfix's queue")
    assert {code(row[0])[0] for row in rows(text[text.index("| queue | messages") :])[1:]} == set(QUEUES)
    assert {age for age, _ in AGES} <= set(code(text))


def test_the_results_of_a_reload_are_documented() -> None:
    row = next(row for row in rows(_PAGE) if "sendgate_config_reloads_total" in row[0])
    assert set(RELOAD_RESULTS) == set(code(row[3]))


def _indented(expression: str) -> str:
    return expression.replace("\n", "\n      ")


def _promtool(*arguments: str) -> None:
    program = shutil.which("promtool")
    assert program, "promtool is missing; on Debian: apt-get install prometheus"
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
