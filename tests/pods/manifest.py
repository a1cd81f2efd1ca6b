"""What a pod's manifest comes to: its environment, its volumes' files, its containers in the order that they start.

In: rendered objects. Out: plain values. Refused: `KeyError` for a reference to nothing.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Objects:
    """All objects of an overlay."""

    all: tuple[Object, ...]

    def get(self, kind: str, name: str) -> Object:
        """The object. Raises KeyError."""
        for found in self.all:
            if (found["kind"], found["metadata"]["name"]) == (kind, name):
                return found
        raise KeyError(f"{kind} {name}")

    def of(self, kind: str) -> list[Object]:
        """All objects of a kind."""
        return [found for found in self.all if found["kind"] == kind]

    def data(self, kind: str, name: str, optional: bool = False) -> dict[str, bytes]:
        """The files of a ConfigMap or a Secret. Raises KeyError unless it is optional."""
        try:
            found = self.get(kind, name)
        except KeyError:
            if optional:
                return {}
            raise
        texts = {key: value.encode() for key, value in (found.get("data") or {}).items()}
        if kind == "Secret":
            texts = {key: base64.b64decode(value) for key, value in texts.items()}
            texts |= {key: value.encode() for key, value in (found.get("stringData") or {}).items()}
        return texts


def in_order(template: Object) -> list[Object]:
    """Containers as they start: init containers first, sidecars among them."""
    return [*template["spec"].get("initContainers", ()), *template["spec"]["containers"]]


def is_sidecar(container: Object) -> bool:
    return bool(container.get("restartPolicy") == "Always")


def environment(container: Object, objects: Objects, fields: Mapping[str, str]) -> dict[str, str]:
    """Its variables. fields: what the downward API knows, by fieldPath."""
    known: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        known |= {key: value.decode() for key, value in _referred(source, objects).items()}
    for variable in container.get("env", ()):
        known[variable["name"]] = _value(variable, objects, fields, known)
    return known


def volume_files(volume: Object, objects: Objects) -> dict[str, bytes] | None:
    """The files of a volume that comes from objects; None for other kinds of volume."""
    if "configMap" in volume:
        source = volume["configMap"]
        return _chosen(source, objects.data("ConfigMap", source["name"], source.get("optional", False)))
    if "secret" in volume:
        source = volume["secret"]
        return _chosen(source, objects.data("Secret", source["secretName"], source.get("optional", False)))
    if "projected" in volume:
        files: dict[str, bytes] = {}
        for part in volume["projected"]["sources"]:
            renamed = {"secret": part["secret"] | {"secretName": part["secret"]["name"]}} if "secret" in part else part
            files |= volume_files(renamed, objects) or {}
        return files
    return None


def mode(volume: Object) -> int:
    """The mode of such files."""
    for kind in ("configMap", "secret", "projected"):
        if kind in volume:
            return int(volume[kind].get("defaultMode", 0o644))
    return 0o644


def _referred(source: Object, objects: Objects) -> dict[str, bytes]:
    if "configMapRef" in source:
        return objects.data("ConfigMap", source["configMapRef"]["name"], source["configMapRef"].get("optional", False))
    return objects.data("Secret", source["secretRef"]["name"], source["secretRef"].get("optional", False))


def _value(variable: Object, objects: Objects, fields: Mapping[str, str], known: Mapping[str, str]) -> str:
    source = variable.get("valueFrom")
    if source is None:
        return re.sub(r"\$\((\w+)\)", lambda match: known.get(match[1], match[0]), variable.get("value", ""))
    if "fieldRef" in source:
        return fields[source["fieldRef"]["fieldPath"]]
    kind, reference = ("ConfigMap", "configMapKeyRef") if "configMapKeyRef" in source else ("Secret", "secretKeyRef")
    return objects.data(kind, source[reference]["name"])[source[reference]["key"]].decode()


def _chosen(source: Object, files: Mapping[str, bytes]) -> dict[str, bytes]:
    items: Iterable[Object] = source.get("items", ())
    return {item["path"]: files[item["key"]] for item in items} or dict(files)
