"""Which campaign a message belongs to."""

from __future__ import annotations

import pytest

from sendgate.campaign import CampaignResolver
from sendgate.decision import Campaign
from sendgate.settings import CampaignSettings


def resolver(campaign_id: str = "", **settings: object) -> CampaignResolver:
    """A resolver by settings; `sources` is what the settings call `from`."""
    given = {"from" if name == "sources" else name: value for name, value in settings.items()}
    return CampaignResolver(CampaignSettings.model_validate(given), campaign_id)


@pytest.mark.parametrize(
    ("envid", "sender", "login", "name", "by_envelope"),
    [
        ("spring-26", "bounce+autumn=user@news.example", "acme@news.example", "spring-26", True),
        ("spring-26:000123", "", "", "spring-26", True),
        ("spring-26/7", "", "", "spring-26", True),
        ("", "bounce+autumn=user@news.example", "acme@news.example", "autumn", True),
        ("", "bounce+autumn+7@news.example", "", "autumn", True),
        ("", "user@news.example", "acme@news.example", "acme", False),
        ("", "", "acme", "acme", False),
        ("", "user@news.example", "", "pod-7", False),
        ("", "", "", "pod-7", False),
    ],
)
def test_the_first_source_that_has_a_name_wins(
    envid: str, sender: str, login: str, name: str, by_envelope: bool
) -> None:
    resolved = resolver("pod-7").resolve(envid, sender, login)
    assert (resolved.campaign.name, resolved.by_envelope) == (name, by_envelope)


def test_a_message_without_any_name_is_of_the_campaign_unknown() -> None:
    assert resolver().resolve("", "user@news.example", "") == (Campaign("unknown"), False)


def test_the_order_of_the_sources_is_a_setting() -> None:
    given = resolver("pod-7", sources=["sasl", "sender"])
    assert given.resolve("spring", "bounce+autumn@x.example", "acme").campaign.name == "acme"
    assert given.resolve("spring", "bounce+autumn@x.example", "").campaign.name == "autumn"
    assert given.resolve("spring", "", "").campaign.name == "unknown"


def test_an_envid_is_read_from_xtext() -> None:
    assert resolver().resolve("spring+2D26+3A9", "", "").campaign.name == "spring-26"


@pytest.mark.parametrize("envid", ["+00", "+20", "a+20b", "a+00b", "a+0Ab", "a,b", "é" * 65, ":1"])
def test_an_unusable_name_is_passed_over(envid: str) -> None:
    assert resolver().resolve(envid, "bounce+autumn@x.example", "").campaign.name == "autumn"


@pytest.mark.parametrize(
    ("name", "stream"),
    [("news-12", "marketing"), ("txn-reset", "transactional"), ("other", ""), ("news-txn-", "marketing")],
)
def test_a_campaign_is_in_the_first_stream_whose_pattern_matches(name: str, stream: str) -> None:
    streams = {"marketing": "^news-", "transactional": "txn-"}
    assert resolver(streams=streams).resolve(name, "", "").campaign == Campaign(name, stream)


def test_the_patterns_are_settings() -> None:
    given = resolver(envid_pattern=r"^c(?P<campaign>\d+)-", sender_pattern=r"-(?P<campaign>[a-z]+)@")
    assert given.resolve("c42-x", "", "").campaign.name == "42"
    assert given.resolve("d42-x", "news-spring@x.example", "").campaign.name == "spring"


def test_a_pattern_whose_group_took_no_part_finds_nothing() -> None:
    given = resolver("pod-7", envid_pattern=r"^(?:x|c(?P<campaign>\d+))")
    assert given.resolve("x", "", "").campaign.name == "pod-7"


@pytest.mark.parametrize(
    ("value", "name"),
    [("spring-26", "spring-26"), (" spring-26 ", "spring-26"), ("", None), ("a b", None), ("caf\udce9", None)],
)
def test_a_header_refines_when_its_value_is_a_name(value: str, name: str | None) -> None:
    campaign = resolver().refine(value)
    assert (campaign and campaign.name) == name


def test_a_header_s_campaign_has_its_stream() -> None:
    assert resolver(streams={"marketing": "^news-"}).refine("news-1") == Campaign("news-1", "marketing")


def test_the_login_is_asked_for_only_when_it_is_a_source() -> None:
    assert resolver().needs_login
    assert not resolver(sources=["envid"]).needs_login


def test_any_number_of_campaigns_can_be_resolved() -> None:
    given = resolver(streams={"s": "9$"})
    names = [given.resolve(f"c{index}", "", "").campaign for index in range(10_050)]
    assert names[10_049] == Campaign("c10049", "s")
    assert given.resolve("c10049", "", "").campaign == names[10_049]
