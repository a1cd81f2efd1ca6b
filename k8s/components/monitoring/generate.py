"""Makes the objects that Kustomize cannot make: `python generate.py [--check] [--runbooks URL]`.

In: rules/*.rules.yaml, rules/alertmanager.yml, dashboard.py. Out: prometheusrule.yaml, alertmanagerconfig.yaml and
dashboard.json beside this file; exit status 0. --runbooks: what is put before the paths in `runbook_url`, such as the
address of the project's files in your Git server. --check: writes nothing, and ends with status 1 when a file is not up
to date. Refused: an unknown argument, with status 2; a matcher that is none of Alertmanager's, with ValueError.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from dashboard import dashboard

HERE = Path(__file__).resolve().parent
SECRET = "sendgate-alerts"
_MADE = "# Made by `make rules` from {0}: change that.\n"
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"(.*)"')


class _Dumper(yaml.SafeDumper):
    """Blocks as blocks, as a person would write them."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def prometheus_rule(runbooks: str) -> dict[str, Any]:
    """All rule files as one object of the operator."""
    paths = sorted(HERE.glob("rules/*.rules.yaml"))
    groups = [group for path in paths for group in yaml.safe_load(path.read_text())["groups"]]
    for rule in (rule for group in groups for rule in group["rules"]):
        if "annotations" in rule:
            rule["annotations"]["runbook_url"] = runbooks + rule["annotations"]["runbook_url"]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "sendgate"},
        "spec": {"groups": groups},
    }


def alertmanager_config() -> dict[str, Any]:
    """alertmanager.yml as an object of the operator, with webhooks from a Secret as receivers."""
    plain = yaml.safe_load((HERE / "rules" / "alertmanager.yml").read_text())
    return {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "AlertmanagerConfig",
        "metadata": {"name": "sendgate"},
        "spec": {
            "route": _route(plain["route"], top=True),
            "receivers": [_receiver(one["name"]) for one in plain["receivers"]],
            "inhibitRules": [_inhibition(rule) for rule in plain["inhibit_rules"]],
        },
    }


def _route(plain: Mapping[str, Any], *, top: bool = False) -> dict[str, Any]:
    made = {_camel(key): value for key, value in plain.items()}
    if top:
        # The operator puts this route among those of others: it takes what is ours, and no more.
        made["matchers"] = [_matcher('alertname=~"Sendgate.+"')]
        made["routes"] = [_route(one) for one in plain["routes"]]
    else:
        made["matchers"] = [_matcher(text) for text in plain["matchers"]]
    return made


def _receiver(name: str) -> dict[str, Any]:
    # That the watchdog has ended would be one more sign of life to a switch that counts messages.
    is_resolved_told = name != "watchdog"
    hook = {"urlSecret": {"name": SECRET, "key": name}, "sendResolved": is_resolved_told}
    return {"name": name, "webhookConfigs": [hook]}


def _inhibition(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "sourceMatch": [_matcher(text) for text in plain["source_matchers"]],
        "targetMatch": [_matcher(text) for text in plain["target_matchers"]],
        "equal": plain["equal"],
    }


def _matcher(text: str) -> dict[str, str]:
    match = _MATCHER.fullmatch(text)
    if match is None:
        raise ValueError(f"no matcher: {text}")
    # "=" is what the operator takes by itself; as a plain scalar some readers of YAML fail on it.
    kind = {} if match[2] == "=" else {"matchType": match[2]}
    return {"name": match[1], **kind, "value": match[3]}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.title() for other in others)


def files(runbooks: str) -> dict[str, str]:
    """What belongs beside this file, by name."""
    objects = {
        "prometheusrule.yaml": ("rules/*.rules.yaml", prometheus_rule(runbooks)),
        "alertmanagerconfig.yaml": ("rules/alertmanager.yml", alertmanager_config()),
    }
    made = {
        name: _MADE.format(source) + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=10_000)
        for name, (source, content) in objects.items()
    }
    return made | {"dashboard.json": json.dumps(dashboard(), indent=1) + "\n"}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runbooks", default="")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(arguments)
    stale = 0
    for name, content in files(given.runbooks).items():
        path = HERE / name
        if given.check and (not path.exists() or path.read_text() != content):
            print(f"{path}: not up to date; `make rules` makes it", file=sys.stderr)
            stale = 1
        elif not given.check:
            path.write_text(content)
    return stale


if __name__ == "__main__":
    sys.exit(main())
