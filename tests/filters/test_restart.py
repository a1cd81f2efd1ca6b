"""Each sidecar comes back: a killed one leaves its socket in the shared volume, and the next one takes its place."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from filters.chain import Chain
from filters.sidecar import Sidecar
from trial.mta import TrialError
from trial.waiting import wait_until

pytestmark = pytest.mark.root

CONTAINERS = ["spamd", "spamass-milter", "opendkim", "dkim-verify", "opendmarc"]


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_killed_filter_comes_back_although_its_socket_is_still_there(chain: Chain, name: str) -> None:
    sidecar = chain.sidecars[name]
    chain.deliver("news@example.com")
    sidecar.kill()
    assert sidecar.socket.is_socket()
    assert not sidecar.answers()
    try:
        reply = chain.reply("news@example.com")
    finally:
        sidecar.start()
    assert reply == "451 4.7.1 Service unavailable - try again later"
    wait_until(chain.sidecars["spamass-milter"].answers, 20, "spamass-milter has found spamd again")
    chain.deliver("news@example.com")


def test_filters_that_are_told_to_end_do(chain: Chain) -> None:
    """As pid 1, which a program without a handler for SIGTERM would ignore. libmilter looks every five seconds."""
    assert list(chain.sidecars) == CONTAINERS
    with ThreadPoolExecutor() as pool:
        try:
            list(pool.map(Sidecar.stop, chain.sidecars.values()))  # raises when one takes longer than 15 s
        finally:
            for sidecar in chain.sidecars.values():
                sidecar.start()


def test_settings_that_are_not_understood_are_told_and_nothing_runs(chain: Chain) -> None:
    sidecar = chain.sidecars["spamass-milter"]
    sidecar.kill()
    try:
        with pytest.raises(TrialError, match="SPAM_ACTION is reject or hold, not drop"):
            sidecar.start({"SPAM_ACTION": "drop"})
    finally:
        sidecar.start()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# no domain\n", "signing-table has no line"),
        ("*@example.com\n*@example.org s2\n", "signing-table: \\*@example.com has no name"),
    ],
)
def test_a_table_by_which_mail_would_leave_unsigned_keeps_the_signer_from_starting(
    chain: Chain, text: str, told: str
) -> None:
    sidecar, table = chain.sidecars["opendkim"], chain.file("opendkim", "signing-table")
    right = table.read_text()
    sidecar.kill()
    try:
        table.write_text(text)
        with pytest.raises(TrialError, match=told):
            sidecar.start()
    finally:
        table.write_text(right)
        sidecar.start()
