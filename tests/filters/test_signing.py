"""OpenDKIM as shipped: what leaves is signed for the domain in From, or does not leave."""

from __future__ import annotations

import re
import subprocess

import pytest

from filters.chain import CLIENTS, SELECTORS, Chain
from filters.zone import NameServer
from trial.sink import Delivery

pytestmark = pytest.mark.root


def tags(delivery: Delivery) -> dict[str, str]:
    """The tags of the one signature."""
    (signature,) = delivery.headers("DKIM-Signature")
    pairs = (part.split("=", 1) for part in re.sub(r"\s", "", signature).rstrip(";").split(";"))
    return dict(pairs)


def verified(delivery: Delivery, name_server: NameServer) -> bool:
    """Whether a verifier that knows nothing but the mail and the DNS finds the signature good."""
    script = 'echo "nameserver $1" > /tmp/resolv.conf; mount --bind /tmp/resolv.conf /etc/resolv.conf; opendkim-testmsg'
    command = ["unshare", "--mount", "--propagation=private", "sh", "-ec", "mount -t tmpfs tmp /tmp; " + script, "sh"]
    return subprocess.run([*command, name_server.address], input=delivery.content, capture_output=True).returncode == 0


@pytest.mark.parametrize("domain", sorted(SELECTORS))
def test_a_mail_of_each_domain_leaves_signed_by_it(chain: Chain, name_server: NameServer, domain: str) -> None:
    delivery = chain.deliver(f"news@{domain}")
    found = tags(delivery)
    assert (found["d"], found["s"], found["c"]) == (domain, SELECTORS[domain], "relaxed/relaxed")
    assert verified(delivery, name_server)


@pytest.mark.parametrize("client", CLIENTS)
def test_mail_from_a_client_elsewhere_is_signed(chain: Chain, name_server: NameServer, client: str) -> None:
    delivery = chain.deliver("news@example.com", client=client)
    assert f"[{client.strip('[]')}]" in delivery.headers("Received")[-1].replace("IPv6:", "")
    assert verified(delivery, name_server)


def test_a_changed_mail_is_found_out(chain: Chain, name_server: NameServer) -> None:
    delivery = chain.deliver("news@example.com")
    delivery.content = delivery.content.replace(b"hello", b"other")
    assert not verified(delivery, name_server)


def test_the_signature_covers_what_a_reader_acts_on_and_all_of_the_body(chain: Chain) -> None:
    found = tags(chain.deliver("news@example.com"))
    covered = found["h"].lower().split(":")
    for name in ("from", "subject", "date", "list-unsubscribe", "list-unsubscribe-post"):
        assert name in covered
    assert "l" not in found


def test_a_second_subject_would_break_the_signature(chain: Chain, name_server: NameServer) -> None:
    delivery = chain.deliver("news@example.com")
    delivery.content = b"Subject: other\r\n" + delivery.content
    assert not verified(delivery, name_server)


def test_an_older_signature_does_not_leave(chain: Chain) -> None:
    old = "DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=x; h=From; bh=aGVsbG8=; b=aGVsbG8="
    assert tags(chain.deliver("news@example.com", more=old))["d"] == "example.com"


def test_a_listed_domain_without_its_key_does_not_leave_unsigned(chain: Chain) -> None:
    assert chain.reply("news@nokey.example").startswith("451 4.")


def test_without_the_signer_no_mail_is_taken(chain: Chain) -> None:
    before = len(chain.sink.deliveries)
    chain.sidecars["opendkim"].kill()
    try:
        assert chain.reply("news@example.com").startswith("451 4.7.1 Service unavailable")
    finally:
        chain.sidecars["opendkim"].start()
    assert len(chain.sink.deliveries) == before
    chain.deliver("news@example.com")
