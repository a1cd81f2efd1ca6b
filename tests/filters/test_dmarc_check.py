"""The check of our own mail with a receiver's eyes: signed, aligned, with a policy; or refused before it leaves."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from filters.chain import CLIENTS, POLICY, Chain, Keys
from filters.manifest import component
from filters.zone import NameServer

pytestmark = pytest.mark.root

UNSIGNED = "550 5.7.1 no DKIM key here for the domain of From"
BROKEN = "451 4.7.1 the DKIM signature is broken"
FAILS_NOW = "451 4.7.1 would fail DMARC now"
BELIEVED = "Authentication-Results: dmarc-check.invalid; dkim=pass header.d=example.net"


@pytest.fixture
def fresh_dns(chain: Chain, keys: Keys, name_server: NameServer) -> Iterator[NameServer]:
    """A name server to change; nobody remembers an answer."""
    try:
        yield name_server
    finally:
        name_server.serve(keys.records())
        forget(chain)


def forget(chain: Chain) -> None:
    """The verifier keeps what it learnt from the DNS until it starts anew."""
    chain.sidecars["dkim-verify"].kill()
    chain.sidecars["dkim-verify"].start()


def test_nothing_of_the_check_is_in_the_mail_that_leaves(chain: Chain) -> None:
    delivery = chain.deliver("news@example.com", more="X-Spam-Status: No\nAuthentication-Results: mx.example.org; none")
    assert delivery.headers("Authentication-Results") == ["mx.example.org; none"]
    assert not [name for name in delivery.message if name.lower().startswith(("x-spam", "dkim-filter", "dmarc-filter"))]


def test_an_unsigned_mail_is_refused(chain: Chain) -> None:
    assert chain.reply("news@example.net") == UNSIGNED


@pytest.mark.parametrize("client", CLIENTS)
def test_an_unsigned_mail_of_a_client_elsewhere_is_refused(chain: Chain, client: str) -> None:
    assert chain.reply("news@example.net", client=client) == UNSIGNED


def test_a_mail_cannot_say_itself_that_it_passed(chain: Chain) -> None:
    assert chain.reply("news@example.net", more=BELIEVED) == UNSIGNED


def test_a_mail_signed_for_another_domain_than_the_one_in_from_is_refused(chain: Chain) -> None:
    assert chain.reply("news@other.example") == FAILS_NOW


def test_authors_in_two_domains_are_refused(chain: Chain) -> None:
    assert chain.reply("a@example.com>, Eve <eve@example.net").startswith("550 5.7.1")


def test_a_second_from_is_refused(chain: Chain) -> None:
    assert chain.reply("news@example.com", more="From: eve@example.net").startswith("550 5.7.1")


def test_a_signature_that_was_broken_on_the_way_makes_mail_wait(chain: Chain) -> None:
    """By somebody behind the signer, or when clients sign by themselves and there is none."""
    signed = chain.deliver("news@example.com").headers("DKIM-Signature")[0]
    assert chain.reply("news@example.net", more=f"DKIM-Signature: {signed}".replace("\r\n", "\n")) == BROKEN


def test_a_key_that_is_not_published_yet_makes_mail_wait(chain: Chain, fresh_dns: NameServer) -> None:
    fresh_dns.serve({"example.com": [POLICY]})
    forget(chain)
    assert chain.reply("news@example.com") == "451 4.7.5 DKIM key retrieval failed"


def test_a_key_that_is_not_the_published_one_makes_mail_wait(chain: Chain, keys: Keys, fresh_dns: NameServer) -> None:
    """The mail is good: whoever has put the wrong key somewhere will put it right."""
    others = keys.published["example.org"].replace("s2._domainkey", "s1._domainkey")
    fresh_dns.serve({"example.com": [POLICY, others]})
    forget(chain)
    assert chain.reply("news@example.com") == BROKEN


def test_a_missing_policy_makes_mail_wait(chain: Chain, keys: Keys, fresh_dns: NameServer) -> None:
    fresh_dns.serve({"example.com": [keys.published["example.com"]]})
    assert chain.reply("news@example.com") == FAILS_NOW


@pytest.mark.parametrize("way", ["away", "broken"])
def test_a_dns_that_fails_makes_mail_wait(chain: Chain, fresh_dns: NameServer, way: str) -> None:
    fresh_dns.serve({"example.com": []})
    if way == "away":
        fresh_dns.stop()
    forget(chain)
    assert chain.reply("news@example.com").startswith("451 4.7.")


def test_who_only_observes_finds_the_result_in_the_mail(keys: Keys, name_server: NameServer) -> None:
    with Chain(("opendkim", "dmarc-check"), keys, name_server, parameters={}) as chain:
        (told, verified) = chain.deliver("news@example.com").headers("Authentication-Results")
        assert told.startswith("dmarc-check.invalid; dmarc=pass (p=reject")
        assert "dkim=pass" in verified
        assert "header.d=example.com" in verified
        assert "dkim=none" in chain.deliver("news@example.net").headers("Authentication-Results")[1]


def test_who_holds_finds_the_mail_in_the_hold_queue(keys: Keys, name_server: NameServer) -> None:
    parameters = component("dmarc-check").parameters
    name = "milter_header_checks"
    held = parameters | {name: re.sub(r"REJECT [45]\.7\.1", "HOLD", parameters[name])}
    with Chain(("opendkim", "dmarc-check"), keys, name_server, parameters=held) as chain:
        assert chain.reply("news@example.net") == "250"
        assert [message["queue_name"] for message in chain.mta.queue()] == ["hold"]
        chain.deliver("news@example.com")


def test_without_the_component_an_unsigned_mail_leaves(keys: Keys, name_server: NameServer) -> None:
    with Chain(("opendkim",), keys, name_server) as chain:
        assert not chain.deliver("news@example.net").headers("DKIM-Signature")
