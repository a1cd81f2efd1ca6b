"""The files of the filters agree with each other, with the manifests, and with docs/filters.md."""

from __future__ import annotations

import re
import subprocess

import pytest

from filters.chain import Chain
from filters.conftest import ALL
from filters.manifest import COMPONENTS, TOP, component

PAGE = (TOP / "docs" / "filters.md").read_text()
ORDER = ["SPAMASSASSIN", "OPENDKIM", "DKIM_VERIFY", "OPENDMARC"]


def test_the_milters_of_the_components_come_in_the_order_of_the_example() -> None:
    variables = sorted(variable for name in ALL for variable in component(name).milters)
    assert [variable.split("_", 2)[2] for variable in variables] == ORDER
    example = re.search(r"^    smtpd_milters =\n((?:        .+\n)+)", PAGE, re.MULTILINE)
    assert example
    names = re.findall(r"unix:/run/\w+/([\w-]+)\.sock", example[1])
    assert names == ["milter", "spamassassin", "opendkim", "dkim-verify", "opendmarc"]


@pytest.mark.root
def test_postfix_asks_them_in_that_order(chain: Chain) -> None:
    """And the gate first."""
    sockets = re.findall(r"/([\w-]+)\.sock", chain.smtpd_milters())
    assert sockets == ["milter", "spamassassin", "opendkim", "dkim-verify", "opendmarc"]


def test_both_components_that_judge_by_headers_set_the_same() -> None:
    """One setting of Postfix serves both; whichever component comes last must not take away the other's."""
    assert component("dmarc-check").parameters == component("spamassassin").parameters


@pytest.mark.parametrize("name", ALL)
def test_the_page_tells_each_command_and_each_variable(name: str) -> None:
    found = component(name)
    for container in found.containers.values():
        assert f"| `{container['name']}` | {name} | `{' '.join(container['command'])}` |" in PAGE
    for variable, value in found.milters.items():
        assert f"| `{variable}` | {name} | `{value}` |" in PAGE


@pytest.mark.parametrize("name", ALL)
def test_the_page_tells_each_reply(name: str) -> None:
    text = " ".join(path.read_text() for path in sorted((COMPONENTS / name).iterdir()) if path.is_file())
    replies = re.findall(r"REJECT ([45]\.[\d.]+) ([^}]+)\}", text)
    replies += [("5.7.1", told) for told in re.findall(r'-R "([^"]+)"', text)]
    for code, told in replies:
        assert f"| `{'550' if code[0] == '5' else '451'} {code} {told}` |" in PAGE


def test_what_is_signed_twice_is_signed_once() -> None:
    """A field that is oversigned and not signed makes signatures that never verify."""
    text = (COMPONENTS / "opendkim" / "opendkim.conf").read_text()
    signed, twice = (re.search(rf"^{name}\s+(\S+)$", text, re.MULTILINE) for name in ("SignHeaders", "OversignHeaders"))
    assert signed
    assert twice
    assert set(twice[1].split(",")) <= set(signed[1].split(","))


def test_spamassassin_understands_its_settings() -> None:
    folder = COMPONENTS / "spamassassin"
    done = subprocess.run(["spamassassin", "--lint", f"--siteconfigpath={folder}"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("file", ["spamassassin/start", "opendkim/start", "dmarc-check/start-verify"])
def test_a_start_script_has_the_form_of_a_shell_script(file: str) -> None:
    subprocess.run(["sh", "-n", str(COMPONENTS / file)], check=True)
