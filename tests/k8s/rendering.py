"""What `kubectl kustomize` makes of the folders in k8s/.

In: an overlay's or a component's name. Out: its objects, as mappings, in their order.
Refused: `RenderError` with what kubectl says.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "k8s"
OVERLAYS = sorted(folder.name for folder in (MANIFESTS / "overlays").iterdir())
COMPONENTS = sorted(folder.name for folder in (MANIFESTS / "components").iterdir())
CAMPAIGNS = [name for name in OVERLAYS if name.startswith("campaign-")]
SENDERS = [name for name in OVERLAYS if name != "monitoring"]
"""The overlays with a sender in them."""


class RenderError(Exception):
    """kubectl refuses the folder."""


class _Loader(yaml.CSafeLoader):
    """YAML 1.1 knows `=` as a value of a kind of its own, which nobody uses: here it is text."""


_Loader.yaml_constructors = {
    **_Loader.yaml_constructors,
    "tag:yaml.org,2002:value": _Loader.construct_yaml_str,
}


def kubectl() -> str:
    """The program: beside Python, else on the path."""
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    assert found, "kubectl: see tests/install-kubectl"
    return found


def kustomize(folder: Path) -> list[Object]:
    """The objects of a folder. Raises RenderError."""
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    if done.returncode or done.stderr:
        raise RenderError(f"{folder}: {done.stderr}")
    return [item for item in yaml.load_all(done.stdout, _Loader) if item]


@functools.cache
def overlay(name: str) -> list[Object]:
    """The objects of an overlay."""
    return kustomize(MANIFESTS / "overlays" / name)


@functools.cache
def base() -> list[Object]:
    """The objects of the base alone."""
    return kustomize(MANIFESTS / "base")


@functools.cache
def with_components(*names: str) -> list[Object]:
    """The base with these components, in a kustomization of its own."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(os.path.relpath(MANIFESTS, Path(folder).resolve()))
        kustomization = {
            "namespace": "scratch",
            "resources": [str(here / "base")],
            "components": [str(here / "components" / name) for name in names],
            "transformers": [str(here / "labels")],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
        return kustomize(Path(folder))


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """The objects of these kinds."""
    return [item for item in objects if item["kind"] in kinds]


def named(objects: list[Object], kind: str, name: str) -> Object:
    """The one object of this kind and name, whatever hash its name ends with."""
    found = [item for item in of_kind(objects, kind) if _plain_name(item) == name]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def _plain_name(item: Object) -> str:
    name = str(item["metadata"]["name"])
    head, _, tail = name.rpartition("-")
    return head if item["kind"] in ("ConfigMap", "Secret") and len(tail) == 10 else name


def environment(objects: list[Object]) -> dict[str, str]:
    """The environment that the containers of a sender have."""
    return dict(named(objects, "ConfigMap", "sender")["data"])
