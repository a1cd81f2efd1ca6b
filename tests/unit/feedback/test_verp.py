"""Signed envelope senders: what is signed comes back, whatever happened to it, and nothing else does."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendgate.address import AddressError, parse
from sendgate.campaign import CampaignResolver
from sendgate.feedback.verp import (
    DAY,
    MAX_LOCAL_OCTETS,
    Expired,
    Forged,
    Unsigned,
    Verified,
    VerpChecker,
    VerpError,
    VerpSigner,
)
from sendgate.settings import CampaignSettings

KEY, OTHER = b"k" * 32, b"o" * 32
NOW = 1_790_000_000.0
TODAY = int(NOW // DAY)
MONTH = 30 * DAY
HARD = [
    "anna@example.com",
    "anna+news@example.com",
    "a=b@example.com",
    "100%@example.com",
    "o'hara@example.com",
    '"a b"@example.com',
    '"a..b."@example.com',
    '".a"@example.com',
    '"a@b"@example.com',
    '"\\""@example.com',
    "müller@bücher.example",
    "用户@例子.广告",
    "ΣΊΣΥΦΟΣ@example.gr",
    "anna@[192.0.2.1]",
    "anna@[IPv6:2001:db8::1]",
    "=61nna@example.com",
    "x" * 64 + "@example.com",
    "anna@" + "d" * 60 + ".example.com",
    "a@2bb.example",
    "_dmarc@_x.example",
]


def signer(key: bytes = KEY, prefix: str = "bounce") -> VerpSigner:
    return VerpSigner(key, prefix, "b.example.net")


def checker(*keys: bytes, prefix: str = "bounce") -> VerpChecker:
    return VerpChecker(keys or (KEY,), prefix, MONTH)


def signed(recipient: str = "anna@example.com", campaign: str = "spring", now: float = NOW) -> str:
    return signer().sign(recipient, campaign, now)


@pytest.mark.parametrize("recipient", HARD)
def test_what_was_signed_names_its_recipient_when_it_comes_back(recipient: str) -> None:
    expected = Verified(parse(recipient).text, "spring", TODAY)
    assert checker().check(signed(recipient), [recipient], NOW) == expected


@pytest.mark.parametrize("recipient", HARD)
def test_a_sender_in_lower_or_upper_case_or_in_brackets_still_counts(recipient: str) -> None:
    sender = signed(recipient)
    for changed in (sender.lower(), sender.upper(), f"<{sender}>"):
        result = checker().check(changed, [recipient], NOW)
        assert isinstance(result, Verified)
        assert result.recipient == parse(recipient).text


@pytest.mark.parametrize("recipient", HARD)
def test_a_sender_needs_no_quotes_and_fits_a_local_part(recipient: str) -> None:
    local, _, domain = signed(recipient).rpartition("@")
    assert re.fullmatch(r"[a-z0-9_+=-]+(\.[a-z0-9_+=-]+)*", local)
    assert len(local) <= MAX_LOCAL_OCTETS
    assert domain == "b.example.net"


def test_a_plain_recipient_stands_in_the_sender_for_people_to_see() -> None:
    assert re.fullmatch(r"bounce\+spring\+[a-z2-7]{20}\+anna=example\.com@b\.example\.net", signed())


@given(
    st.text(min_size=1, max_size=40), st.sampled_from(["example.com", "bücher.example", "a-b.example", "[192.0.2.1]"])
)
def test_every_address_that_can_be_read_makes_the_round_trip(local: str, domain: str) -> None:
    quoted = '"' + re.sub(r'(["\\])', r"\\\1", local) + f'"@{domain}'
    try:
        address = parse(quoted)
    except AddressError:
        return
    assert checker().check(signed(quoted).lower(), [quoted], NOW) == Verified(address.text, "spring", TODAY)


@given(st.text(max_size=120))
def test_no_text_raises_or_counts(text: str) -> None:
    check = checker()
    for address in (text, f"bounce+{text}@b.example.net", f"bounce+spring+{'a' * 20}+{text}@b.example.net"):
        assert isinstance(check.check(address, [text], NOW), (Unsigned, Forged))
        list(check.addresses_in(address))


@pytest.mark.parametrize("recipient", ["x" * 40 + "@example.com", "anna@[192.0.2.1]"])
def test_what_does_not_fit_is_proved_by_whom_the_bounce_names(recipient: str) -> None:
    sender = signed(recipient)
    assert "=" not in sender
    assert isinstance(checker().check(sender, ["else@example.com", "no address", recipient], NOW), Verified)
    assert checker().check(sender, ["else@example.com"], NOW) == Forged()
    assert checker().check(sender, [], NOW) == Forged()


def test_a_spelling_of_the_same_address_is_the_same_recipient() -> None:
    long = "Anna." + "x" * 40 + "@EXAMPLE.com"
    assert isinstance(checker().check(signed(long), [f"<{long.lower()}>"], NOW), Verified)


@pytest.mark.parametrize(
    ("old", "new"), [("anna=", "bert="), ("spring", "summer"), ("example.com", "example.org"), ("+anna", "+=61nn=62")]
)
def test_another_recipient_or_campaign_is_forged(old: str, new: str) -> None:
    sender = signed()
    assert old in sender
    assert checker().check(sender.replace(old, new), [], NOW) == Forged()


def test_another_day_or_code_is_forged() -> None:
    for position in range(len("bounce+spring+"), len("bounce+spring+") + 20):
        sender = signed()
        changed = sender[:position] + ("b" if sender[position] != "b" else "c") + sender[position + 1 :]
        assert checker().check(changed, [], NOW) == Forged()


def test_the_recipient_that_a_sender_names_cannot_be_talked_over_by_candidates() -> None:
    result = checker().check(signed(), ["victim@example.com"], NOW)
    assert result == Verified("anna@example.com", "spring", TODAY)


def test_the_key_before_still_counts_and_a_strange_one_does_not() -> None:
    sender = signer(OTHER).sign("anna@example.com", "spring", NOW)
    assert isinstance(checker(KEY, OTHER).check(sender, [], NOW), Verified)
    assert checker(KEY).check(sender, [], NOW) == Forged()


def test_a_signature_counts_for_its_time() -> None:
    sender = signed(now=float(TODAY * DAY))
    expired = Expired("anna@example.com", "spring", TODAY)
    assert isinstance(checker().check(sender, [], TODAY * DAY + MONTH), Verified)
    assert checker().check(sender, [], (TODAY + 1) * DAY + MONTH) == expired


def test_tomorrow_is_a_clock_that_is_ahead_and_the_day_after_does_not_count() -> None:
    assert isinstance(checker().check(signed(now=NOW + DAY), [], NOW), Verified)
    assert isinstance(checker().check(signed(now=NOW + 2 * DAY), [], NOW), Expired)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "<>",
        "anna@example.com",
        "bounce@b.example.net",
        "bounce+spring@b.example.net",
        "bounces+x-anna=example.com@e.net",
    ],
)
def test_what_is_no_sender_of_ours_is_unsigned(address: str) -> None:
    assert checker().check(address, ["anna@example.com"], NOW) == Unsigned()


def test_a_sender_that_a_forwarder_wrapped_still_counts() -> None:
    local = signed().rpartition("@")[0]
    for wrapped in (f"SRS0=HHHH=TT=b.example.net={local}@fwd.example", f"prvs=1234567890={local}@b.example.net"):
        assert isinstance(checker().check(wrapped, [], NOW), Verified)


def test_senders_are_found_in_a_text() -> None:
    sender = signed()
    found = list(checker().addresses_in(f"from x (envelope-from <{sender}>) for <xbounce+spring@example.com>;"))
    assert found == [sender]


@pytest.mark.parametrize("campaign", ["a b", "a+b", "a=b", "a@b", "a..b", ".a", "grüße", "", "a%b", "a/b", "a\nb"])
def test_a_campaign_that_a_sender_cannot_carry_is_refused(campaign: str) -> None:
    with pytest.raises(VerpError, match="cannot stand in an envelope sender"):
        signed(campaign=campaign)


def test_a_campaign_that_is_too_long_is_refused_with_what_fits() -> None:
    assert len(signed(campaign="c" * 36).partition("@")[0]) == MAX_LOCAL_OCTETS
    with pytest.raises(VerpError, match="37 of 36"):
        signed(campaign="c" * 37)


@pytest.mark.parametrize("recipient", ["", "anna", "@example.com", "a b@example.com"])
def test_what_is_no_address_is_not_signed_for(recipient: str) -> None:
    with pytest.raises(VerpError):
        signed(recipient)


def test_a_domain_that_is_none_is_refused() -> None:
    with pytest.raises(VerpError):
        VerpSigner(KEY, "bounce", "no domain")


@pytest.mark.parametrize("campaign", ["spring", "Spring.2026_b-2~x"])
def test_the_gate_reads_the_campaign_from_a_signed_sender(campaign: str) -> None:
    resolver = CampaignResolver(CampaignSettings())
    assert resolver.resolve("", signed(campaign=campaign), "").campaign.name == campaign


def test_hostile_text_takes_no_time() -> None:
    check = checker()
    for text in ("bounce+" * 50_000, "bounce+a+" + "a" * 300_000, "bounce+spring+" + "a" * 20 + "+" + "=" * 300_000):
        assert list(check.addresses_in(text)) == []
        assert check.check(text, [], NOW) == Unsigned()
