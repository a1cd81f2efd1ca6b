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
