"""The files of k8s/components/monitoring and prometheus, as the tests read them.

In: nothing. Out: paths, rules, the dashboard, what `kubectl kustomize` makes of a component.
Refused: a command that fails is an AssertionError, with what it said.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = ROOT / "k8s" / "components"
MONITORING = COMPONENTS / "monitoring"
PLAIN = COMPONENTS / "prometheus"
RULES = MONITORING / "rules"
ALERTMANAGER = RULES / "alertmanager.yml"
CASES = Path(__file__).parent / "cases"
GENERATE = MONITORING / "generate.py"


class Alert(NamedTuple):
    name: str
    severity: str


def rule_files() -> list[Path]:
    return sorted(RULES.glob("*.rules.yaml"))


@cache
def rules() -> list[dict[str, Any]]:
    """All rules."""
    groups = (group for path in rule_files() for group in yaml.safe_load(path.read_text())["groups"])
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def recorded() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "record" in rule]


def names_of_alerts() -> list[Alert]:
    return [Alert(rule["alert"], rule["labels"]["severity"]) for rule in alerts()]


@cache
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
    return found


def panels() -> list[dict[str, Any]]:
    """All panels but the headings."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> list[tuple[str, str]]:
    """The title of each panel, with each of its expressions."""
    return [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]


def run(*command: str | Path) -> str:
    """What a command says."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def rendered(component: str, folder: Path) -> list[dict[str, Any]]:
    """The objects that a component adds to an empty overlay."""
    copy = folder / "components"
    shutil.copytree(COMPONENTS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    overlay = folder / "overlay"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: here\n"
        f"components: [../components/{component}]\n"
    )
    kubectl = Path(sys.executable).parent / "kubectl"
    return list(yaml.safe_load_all(run(kubectl, "kustomize", overlay)))
