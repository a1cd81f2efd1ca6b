"""The Secrets of production, made by the commands of k8s/README.md.

In: a folder. Out: Secret objects, as kubectl would send them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

from docs.pages import blocks
from k8s.rendering import MANIFESTS, Object


def production_secrets(folder: Path) -> list[Object]:
    """Run them, with a kubectl that only writes down what it would create."""
    kubectl, made = Path(sys.executable).with_name("kubectl"), folder / "secrets.yaml"
    stub = folder / "bin" / "kubectl"
    stub.parent.mkdir(parents=True)
    stub.write_text(f'#!/bin/sh\n{kubectl} "$@" --dry-run=client -o yaml >> {made}\necho --- >> {made}\n')
    stub.chmod(0o755)
    page = (MANIFESTS / "README.md").read_text(encoding="utf-8")
    script = next(block for block in blocks(page, "sh") if "create secret" in block)
    path = f"{stub.parent}:{os.environ['PATH']}"
    subprocess.run(["sh", "-euc", script], cwd=folder, env={"PATH": path}, check=True, capture_output=True, timeout=60)
    return [item for item in yaml.safe_load_all(made.read_text()) if item]
