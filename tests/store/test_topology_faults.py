"""A Redis that does not let us in, over every kind: exit status 3, the place and the remedy, and never a password."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import yaml

from cli.parts import Answer, Program
from sendgate.cli import stores
from sendgate.origin_url import parse_origin_url
from store.topologies import PASSWORD, PLACES, SENTINEL_PASSWORD, WRONG_PASSWORD, Place, certificates, folder

LIMITED = "limited"


class Fault(NamedTuple):
    """Settings of `store` that are wrong, or no longer enough, and the word for what to look at."""

    wrong: Callable[[Place], dict[str, Any]]
    remedy: str


def _another_service(place: Place) -> dict[str, Any]:
    return {"url": place.store["url"].replace("/sendgate/", "/another/")}


def _a_user_without_scripts(place: Place) -> dict[str, Any]:
    place.let(LIMITED, ["on", f">{PASSWORD}", "~*", "+@all", "-evalsha"])
    return {"url": place.store["url"].replace("//app@", f"//{LIMITED}@")}


FAULTS = {
    "wrong password": Fault(lambda _: {"password_file": str(folder() / "wrong-password")}, "store.password_file"),
    "no password": Fault(lambda _: {"password_file": None}, "store.password_file"),
    "missing right": Fault(_a_user_without_scripts, "ACL"),
    "wrong ca": Fault(lambda _: {"tls_ca_file": str(certificates().other_ca)}, "store.tls_ca_file"),
    "no certificate": Fault(lambda _: {"tls_cert_file": None, "tls_key_file": None}, "store.tls_cert_file"),
    "unknown service": Fault(_another_service, "store.url"),
    "wrong sentinel password": Fault(
        lambda _: {"sentinel_password_file": str(folder() / "wrong-password")}, "store.sentinel_password_file"
    ),
}
ANYWHERE = ["wrong password", "no password", "missing right"]
WITH_TLS = ["wrong ca", "no certificate"]
OF = {
    "tls-server": [*ANYWHERE, *WITH_TLS],
    "cluster": ANYWHERE,
    "tls-cluster": [*ANYWHERE, *WITH_TLS],
    "sentinel": [*ANYWHERE, "unknown service", "wrong sentinel password"],
}
CASES = [(place, fault) for place, faults in OF.items() for fault in faults]


@pytest.fixture
def program(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    return Program(tmp_path, capsys, monkeypatch)


def use(program: Program, section: dict[str, Any]) -> None:
    program.config.write_text(yaml.safe_dump({"store": section}))


def add_with(name: str, fault: str, program: Program) -> tuple[str, Answer]:
    """What `add` says with settings that are wrong, about lists that are there; and the URL in the settings."""
    place, prefix = PLACES[name](), f"test-{uuid.uuid4()}"
    stores.connect(place.settings(prefix=prefix), create=True).client.close()
    section = place.section(prefix=prefix, **FAULTS[fault].wrong(place))
    use(program, section)
    return section["url"], program("add", "user@example.com", "--reason", "manual")


def told(answer: Answer) -> list[str]:
    """The passwords that somebody can read now."""
    secrets = [PASSWORD, SENTINEL_PASSWORD, WRONG_PASSWORD]
    return [one for one in secrets if one in answer.out + answer.errors or quote(one, safe="") in answer.out]


@pytest.mark.parametrize(("name", "fault"), CASES)
def test_a_command_says_where_and_no_password(name: str, fault: str, program: Program) -> None:
    url, answer = add_with(name, fault, program)
    assert answer.status == 3
    (complaint,) = answer.complaints
    assert complaint.startswith(f"{parse_origin_url(url)}: ")
    assert told(answer) == []


@pytest.mark.parametrize(("name", "fault"), CASES)
def test_a_command_says_in_few_words_what_to_look_at(name: str, fault: str, program: Program) -> None:
    _, answer = add_with(name, fault, program)
    (complaint,) = answer.complaints
    assert FAULTS[fault].remedy in complaint
    assert len(complaint) < 600


@pytest.mark.parametrize("name", PLACES)
def test_check_config_shows_the_url_without_the_password(name: str, program: Program) -> None:
    place, prefix = PLACES[name](), f"test-{uuid.uuid4()}"
    stores.connect(place.settings(prefix=prefix), create=True).client.close()
    inside = place.store["url"].replace("@", f":{quote(PASSWORD, safe='')}@")
    use(program, place.section(prefix=prefix, url=inside, password_file=None))
    for arguments in (["check-config"], ["check-config", "--json"]):
        answer = program(*arguments)
        assert answer.status == 0, answer.errors
        assert str(parse_origin_url(place.store["url"])) in answer.out
        assert told(answer) == []
