"""What the manifests say of the filters: commands and mounts of containers, files of ConfigMaps, settings for Postfix.

In: the folder of a component in k8s/components. Out: a `Component`. Refused: KeyError, for a manifest of another shape.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).resolve().parents[2]
COMPONENTS = TOP / "k8s" / "components"
SOCKETS = "/run/filters"
"""Where the volume that all filters and Postfix share is mounted."""


@dataclass
class Component:
    """One component. `environment`: what it adds to the ConfigMap of Postfix's container."""

    folder: Path
    containers: dict[str, dict[str, Any]]
    volumes: dict[str, dict[str, Any]]
    config_maps: dict[str, list[str]]
    environment: dict[str, str]

    @property
    def milters(self) -> dict[str, str]:
        """Milters by variable, as Postfix addresses them."""
        return {name: value for name, value in self.environment.items() if name.startswith("MILTER_")}

    @property
    def parameters(self) -> dict[str, str]:
        """Settings for main.cf."""
        prefix = "POSTFIX_"
        found = self.environment.items()
        return {name.removeprefix(prefix).lower(): value for name, value in found if name.startswith(prefix)}

    def write_config_maps(self, folder: Path, changed: dict[str, str]) -> None:
        """The files as they are shipped, in a folder for each ConfigMap; changed: other texts, by file name."""
        for name, files in self.config_maps.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            for file in files:
                shutil.copy(self.folder / file, folder / name / file)
                if file in changed:
                    (folder / name / file).write_text(changed[file])


def component(name: str) -> Component:
    """Read a component."""
    folder = COMPONENTS / name
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    pod = yaml.safe_load((folder / "statefulset.yaml").read_text())["spec"]["template"]["spec"]
    generators = {generator["name"]: generator for generator in kustomization["configMapGenerator"]}
    sender = generators.pop("sender")
    lines = [*sender["literals"]]
    for file in sender.get("envs", []):
        lines += (folder / file).read_text().splitlines()
    return Component(
        folder,
        {container["name"]: container for container in pod["initContainers"]},
        {volume["name"]: volume for volume in pod["volumes"]},
        {name: generator["files"] for name, generator in generators.items()},
        dict(line.split("=", 1) for line in lines),
    )


def milter_options() -> str:
    """What the Postfix container adds to each further milter."""
    text = (TOP / "postfix" / "container" / "postfix-render").read_text()
    match = re.search(r'^milter_options="(.+)"$', text, re.MULTILINE)
    assert match, "postfix-render has milter_options"
    return match[1]
