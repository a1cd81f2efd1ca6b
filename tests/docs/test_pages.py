"""All pages: their links, their examples, and the targets of the Makefile."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from docs.pages import ROOT, anchor, blocks, headings, links, pages
from sendgate.settings import load

_PAGES = [str(path.relative_to(ROOT)) for path in pages()]


def _text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def _examples() -> list[tuple[str, str]]:
    """Blocks that are settings of Sendgate: all YAML but that of Prometheus and of Kubernetes."""
    found = [(page, block) for page in _PAGES for block in blocks(_text(page), "yaml")]
    return [(page, block) for page, block in found if not {"scrape_configs", "apiVersion"} & set(yaml.safe_load(block))]


def test_there_are_pages_and_examples() -> None:
    assert {"README.md", "CHANGELOG.md", "docs/settings.md"} <= set(_PAGES)
    assert len(_examples()) > 5


@pytest.mark.parametrize("page", _PAGES)
def test_no_link_is_dead(page: str) -> None:
    dead = [target for target in links(_text(page)) if not _leads_somewhere(ROOT / page, target)]
    assert dead == []


@pytest.mark.parametrize(("page", "example"), _examples())
def test_an_example_of_settings_loads(page: str, example: str, tmp_path: Path) -> None:
    path = tmp_path / "sendgate.yaml"
    path.write_text(example)
    assert load(path, {}), page


@pytest.mark.parametrize("page", [page for page in _PAGES if page.startswith("docs/")])
def test_every_page_of_docs_is_linked_in_the_readme(page: str) -> None:
    assert page in [target.partition("#")[0] for target in links(_text("README.md"))]


def test_every_target_of_the_makefile_is_in_the_readme() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony
    documented = set(re.findall(r"`make ([a-z-]+)", _text("README.md")))
    assert set(phony[1].split()) == documented


def test_every_folder_is_on_the_map() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    mapped = set(re.findall(r"^\| `([a-z0-9]+)/`", _text("README.md"), re.MULTILINE))
    assert folders - {"build", "dist"} <= mapped


def _leads_somewhere(page: Path, target: str) -> bool:
    name, _, fragment = target.partition("#")
    path = page.parent / name if name else page
    if not path.exists():
        return False
    return not fragment or fragment in map(anchor, headings(path.read_text(encoding="utf-8")))
