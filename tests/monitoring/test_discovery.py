"""The plain Prometheus finds the pods of the sender by the DNS alone, and names them as the rules expect."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import yaml

from monitoring.files import PLAIN, run

pytestmark = pytest.mark.root


def test_pods_are_found_and_named_by_the_dns(tmp_path: Path) -> None:
    config = yaml.safe_load((PLAIN / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms"}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({**config, "rule_files": []}))
    program = Path(__file__).with_name("cluster_dns.py")
    alone = ["unshare", "--mount", "--net", "--fork", "--kill-child", "--propagation=private"]
    told = run("env", f"PYTHONPATH={os.pathsep.join(sys.path)}", *alone, sys.executable, program, tmp_path)
    found = {one["metric"]["pod"]: one["metric"] for one in json.loads(told)}
    assert set(found) == {"sender-0", "sender-1"}
    for labels in found.values():
        assert labels["namespace"] == labels["app_kubernetes_io_instance"] == "demo"
