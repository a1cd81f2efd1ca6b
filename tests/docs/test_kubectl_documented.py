"""Every kubectl command of the pages is one that kubectl takes: it gets as far as to a server that is not there."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from docs.pages import ROOT, blocks, pages
from k8s.rendering import kubectl
from trial.ports import free_port

_OPERATORS = {"|", "<", ">", "<<", "&&", ";"}
_BY_HAND = ("--from-file", "kustomize", "$")
"""Files that somebody has made, no server, variables of a script."""


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="<>|&;")
    lexer.whitespace_split = True
    words = list(lexer)
    return words[: next((number for number, word in enumerate(words) if word in _OPERATORS), len(words))]


def _commands() -> Iterator[list[str]]:
    for page in pages():
        for block in blocks(page.read_text(encoding="utf-8"), "sh"):
            for line in re.findall(r"^ *kubectl (.+)$", block.replace("\\\n", " "), re.MULTILINE):
                if not any(text in line for text in _BY_HAND) and line.count("'") % 2 == 0:
                    yield _words(line.replace("overlays/spring-sale", "overlays/campaign-x"))


def _kinds() -> dict[tuple[str, ...], list[str]]:
    """One of those that differ only in what they name."""
    verbs = {"apply", "describe", "diff", "exec", "get", "label", "logs", "patch", "rollout", "top"}
    return {tuple(word for word in words if word.startswith("-") or word in verbs): words for words in _commands()}


def test_kubectl_takes_every_command(tmp_path: Path) -> None:
    found = _kinds()
    assert len(found) > 20
    place = ["--kubeconfig=/dev/null", f"--cache-dir={tmp_path}", f"--server=http://127.0.0.1:{free_port()}"]
    assert [words for words in found.values() if "refused" not in _told([kubectl(), *place, *words])] == []


def _told(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return done.stderr
