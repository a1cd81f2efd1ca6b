"""Every overlay and every component renders, and the API's strict schemas take what comes out."""

from __future__ import annotations

import functools
import json

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from k8s.rendering import COMPONENTS, OVERLAYS, Object, base, overlay, with_components

VERSIONS = ("1.34", kubernetes_validate.latest_version())
FILTERS = ("spamassassin", "opendkim", "dmarc-check")


def is_built_in(item: Object) -> bool:
    group = item["apiVersion"].rpartition("/")[0]
    return "." not in group or group.endswith(".k8s.io")


@functools.cache
def told(text: str, version: str) -> str | None:
    """What a schema has against an object; once for what several folders have."""
    item = json.loads(text)
    try:
        kubernetes_validate.validate(item, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{version} {item['kind']}/{item['metadata']['name']} {list(error.path)}: {error.message}"
    return None


def mistakes(objects: list[Object]) -> list[str]:
    texts = [json.dumps(without_namespace(item), sort_keys=True) for item in objects if is_built_in(item)]
    answers = (told(text, version) for text in texts for version in VERSIONS)
    return [answer for answer in answers if answer]


def without_namespace(item: Object) -> Object:
    return {**item, "metadata": {key: value for key, value in item["metadata"].items() if key != "namespace"}}


def twice(objects: list[Object]) -> list[tuple[str, ...]]:
    keys = [
        (item["apiVersion"], item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"])
        for item in objects
    ]
    return [key for key in set(keys) if keys.count(key) > 1]


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_renders_to_valid_objects(name: str) -> None:
    assert mistakes(overlay(name)) == []
    assert twice(overlay(name)) == []


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_alone_renders_to_valid_objects(name: str) -> None:
    assert mistakes(with_components(name)) == []
    assert with_components(name) != base()


def test_all_filters_together_render_to_valid_objects() -> None:
    assert mistakes(with_components("shared-lists", "ingress-smtp", *FILTERS, "queue-autoscaling")) == []


def test_a_mistake_would_be_found() -> None:
    (account,) = (item for item in base() if item["kind"] == "ServiceAccount")
    assert mistakes([{**account, "automountServiceAccountTokn": False}])
