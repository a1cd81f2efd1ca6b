"""The section `postfix` of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from sendgate.settings import load
from sendgate.settings_file import SettingsError

VARIABLE = "SENDGATE_POSTFIX__SHOWQ"


@pytest.mark.parametrize(
    "address",
    ["unix:/var/spool/postfix/public/showq", "inet:127.0.0.1:9103", "inet:[::1]:9103", "inet:postfix.example.com:1"],
)
def test_showq_listens_on_a_path_or_a_port(address: str, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(f'postfix: {{showq: "{address}", interval: 1m}}')
    given = load(tmp_path / "settings.yaml", {}).postfix
    assert (given.showq, given.interval) == (address, 60)


@pytest.mark.parametrize(
    "address",
    [
        "/var/spool/postfix/public/showq",
        "unix:public/showq",
        "unix:",
        "9103",
        "127.0.0.1:9103",
        "inet:9103@127.0.0.1",
        "inet:127.0.0.1:0",
        "inet:127.0.0.1:65536",
        "inet::9103",
        "inet:::1:9103",
    ],
)
def test_any_other_address_is_refused_with_its_place(address: str) -> None:
    with pytest.raises(SettingsError, match=rf"{VARIABLE}: postfix\.showq: must be") as refused:
        load(None, {VARIABLE: f'"{address}"'})
    assert "unix:/path or inet:host:port" in str(refused.value)


def test_there_is_none_unless_it_is_given() -> None:
    assert load(None, {}).postfix.showq is None


def test_an_interval_of_no_time_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"postfix\.interval"):
        load(None, {"SENDGATE_POSTFIX__INTERVAL": "0"})
