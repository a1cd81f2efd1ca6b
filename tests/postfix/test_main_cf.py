"""main.cf and master.cf as files: what Postfix itself thinks of them, and whether they explain themselves."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from postfix.parts import Sender
from trial.mta import SHIPPED, command_path, shipped_milter

MAIN = (SHIPPED / "main.cf").read_text()
SETTING = re.compile(r"^(\w+) =(.*)$", re.MULTILINE)


def said_by(command: str, config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [command_path(command), "-c", str(config), *arguments], capture_output=True, text=True, timeout=30
    )


def test_every_setting_has_its_reason_right_above() -> None:
    lines = MAIN.split("\n")
    bare = [line for above, line in pairwise(lines) if SETTING.match(line) and above[:2] != "# "]
    assert bare == []


def test_no_setting_is_given_twice() -> None:
    names = [name for name, _ in SETTING.findall(MAIN)]
    assert sorted(set(names)) == sorted(names)


def test_postconf_knows_every_setting() -> None:
    said = said_by("postconf", SHIPPED, "-n")
    assert said.stderr == ""
    shown = set(re.findall(r"^(\w+) =", said.stdout, re.MULTILINE))
    assert {name for name, _ in SETTING.findall(MAIN)} <= shown


@pytest.mark.root
def test_postfix_check_finds_nothing(sender: Sender) -> None:
    before = sender.mta.log_text()
    said = said_by("postfix", sender.mta.config, "check")
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    assert "warning" not in sender.mta.log_text().removeprefix(before)


def test_no_map_type_is_used_that_may_not_be_built_in() -> None:
    said = said_by("postconf", SHIPPED, "-n")
    assert not re.search(r"\b(hash|btree|lmdb|cdb|pcre|ldap|mysql|pgsql):", said.stdout)


def test_no_service_leads_round_the_gate_or_into_a_mailbox() -> None:
    said = said_by("postconf", SHIPPED, "-M")
    programs = {line.split()[7] for line in said.stdout.splitlines()}
    assert programs.isdisjoint({"pickup", "local", "virtual", "lmtp", "pipe", "qmqpd", "spawn"})


def test_the_milter_of_main_cf_fails_safe_with_time_limits_of_its_own() -> None:
    entry = shipped_milter("unix:/run/other.sock")
    assert entry == (
        "{ unix:/run/other.sock, default_action=tempfail, connect_timeout=10s, command_timeout=10s, "
        "content_timeout=30s, protocol=6 }"
    )
