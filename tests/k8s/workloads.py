"""Workloads, their pods and containers.

In: rendered objects. Out: what runs, with a name to tell it by. Refused: nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from k8s.rendering import Object, of_kind

WORKLOADS = ("StatefulSet", "Deployment", "DaemonSet", "Job")


class Pod(NamedTuple):
    """A workload, and the template of its pods."""

    workload: Object
    labels: dict[str, str]
    spec: Object

    @property
    def name(self) -> str:
        return f"{self.workload['kind']}/{self.workload['metadata']['name']}"


class Container(NamedTuple):
    """A container, and the pod that it is in."""

    pod: Pod
    spec: Object
    is_init: bool

    @property
    def name(self) -> str:
        return f"{self.pod.name}/{self.spec['name']}"

    @property
    def lives(self) -> bool:
        """Whether it runs as long as the pod: a sidecar or a main container, but not of a job."""
        return self.spec.get("restartPolicy") == "Always" or (not self.is_init and self.pod.workload["kind"] != "Job")


def pods(objects: list[Object]) -> list[Pod]:
    """The pods of all workloads."""
    return [
        Pod(item, item["spec"]["template"]["metadata"]["labels"], item["spec"]["template"]["spec"])
        for item in of_kind(objects, *WORKLOADS)
    ]


def containers(objects: list[Object]) -> list[Container]:
    """All containers of all workloads."""
    return [
        Container(pod, spec, key == "initContainers")
        for pod in pods(objects)
        for key in ("initContainers", "containers")
        for spec in pod.spec.get(key, [])
    ]


def pod(objects: list[Object], name: str) -> Pod:
    """The pod of the workload `Kind/name`."""
    return next(one for one in pods(objects) if one.name == name)


def container(objects: list[Object], name: str) -> Object:
    """The container `Kind/workload/name`."""
    return next(one.spec for one in containers(objects) if one.name == name)


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a LabelSelector selects these labels."""
    wanted = selector.get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _holds(one, labels) for one in selector.get("matchExpressions", [])
    )


def _holds(expression: Object, labels: dict[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values", [])
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[expression["operator"]]


def strings(value: object) -> Iterator[str]:
    """All texts in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)
