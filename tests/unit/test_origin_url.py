"""Where the shared origin is: every form of the URL, how it is shown, and what is none."""

from __future__ import annotations

import pytest

from sendgate.origin_url import FORMS, OriginUrl, is_shared, parse_origin_url

HOST = (("redis.example", 6379),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://redis.example", OriginUrl("server", False, HOST)),
        ("redis://redis.example/", OriginUrl("server", False, HOST)),
        ("rediss://redis.example", OriginUrl("server", True, HOST)),
        ("redis://redis.example:6380/3", OriginUrl("server", False, (("redis.example", 6380),), database=3)),
        ("redis://app@redis.example", OriginUrl("server", False, HOST, username="app")),
        ("redis://app:pw@redis.example", OriginUrl("server", False, HOST, username="app", password="pw")),
        ("redis://:pw@redis.example", OriginUrl("server", False, HOST, password="pw")),
        ("redis://app:p%40s%2Fs%3Aw%25@redis.example", OriginUrl("server", False, HOST, "", 0, "app", "p@s/s:w%")),
        ("redis://app:a:b@redis.example", OriginUrl("server", False, HOST, username="app", password="a:b")),
        ("redis://us%3Aer:%C3%A9@redis.example", OriginUrl("server", False, HOST, "", 0, "us:er", "é")),
        ("redis://192.0.2.1", OriginUrl("server", False, (("192.0.2.1", 6379),))),
        ("redis://[2001:db8::1]", OriginUrl("server", False, (("2001:db8::1", 6379),))),
        ("rediss://app@[::1]:6380/1", OriginUrl("server", True, (("::1", 6380),), "", 1, "app")),
        ("redis+sentinel://a/lists", OriginUrl("sentinel", False, (("a", 26379),), "lists")),
        (
            "redis+sentinel://app:pw@a:1,b,[::1]:3/lists/2",
            OriginUrl("sentinel", False, (("a", 1), ("b", 26379), ("::1", 3)), "lists", 2, "app", "pw"),
        ),
        ("rediss+sentinel://a/lists", OriginUrl("sentinel", True, (("a", 26379),), "lists")),
        ("redis+cluster://a,b:7000", OriginUrl("cluster", False, (("a", 6379), ("b", 7000)))),
        ("redis+cluster://a/", OriginUrl("cluster", False, (("a", 6379),))),
        ("rediss+cluster://app@a", OriginUrl("cluster", True, (("a", 6379),), username="app")),
        ("redis://a:1", OriginUrl("server", False, (("a", 1),))),
        ("redis://a:65535", OriginUrl("server", False, (("a", 65535),))),
    ],
)
def test_every_form_is_read(text: str, expected: OriginUrl) -> None:
    assert parse_origin_url(text) == expected
    assert is_shared(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "redis.example",
        "redis:/redis.example",
        "redis://",
        "redis:///0",
        "http://redis.example",
        "REDIS://redis.example",
        "redis+unix://a",
        "rediscluster://a",
        "redis://a b",
        "redis://redis.example/x",
        "redis://redis.example/0/1",
        "redis://redis.example/-1",
        "redis://redis.example/0?ssl=true",
        "redis://a,b",
        "redis://a,",
        "redis+cluster://a,,b",
        "redis+cluster://a/0",
        "redis+sentinel://a",
        "redis+sentinel://a/",
        "redis+sentinel://a/lists/x",
        "redis+sentinel://a/li sts",
        "redis://a:",
        "redis://a:0",
        "redis://a:65536",
        "redis://a:port",
        "redis://2001:db8::1",
        "redis://[2001:db8::1",
        "redis://[redis.example]",
        "redis://redis.example\n",
        "redis://redis.example/1\n",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be |is no host\[:port\]|one host only"):
        parse_origin_url(text)


def test_a_refusal_names_the_forms_there_are() -> None:
    with pytest.raises(ValueError) as refused:
        parse_origin_url("redis//a")
    assert str(refused.value) == f"must be {FORMS}"


@pytest.mark.parametrize(
    "text",
    ["redis://app:secret@a/x", "redis://app:secret@a:0", "redis://app:secret@a,b", "redis:secret@a"],
)
def test_a_refusal_does_not_show_the_password(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_origin_url(text)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://app:secret@redis.example", "redis://app@redis.example:6379"),
        ("redis://:secret@redis.example/0", "redis://redis.example:6379"),
        ("rediss://app:secret@[::1]/3", "rediss://app@[::1]:6379/3"),
        ("redis+sentinel://app:secret@a,b:2/lists", "redis+sentinel://app@a:26379,b:2/lists"),
        ("rediss+sentinel://a/lists/1", "rediss+sentinel://a:26379/lists/1"),
        ("rediss+cluster://app:secret@a:7000,b", "rediss+cluster://app@a:7000,b:6379"),
    ],
)
def test_a_url_is_shown_with_its_ports_and_without_the_password(text: str, shown: str) -> None:
    assert str(parse_origin_url(text)) == shown
    assert parse_origin_url(shown) == parse_origin_url(text)._replace(password="")


@pytest.mark.parametrize("text", ["redis://a", "rediss://a", "redis+cluster://a", "rediss+sentinel://a/b", "redis:"])
def test_a_url_of_redis_is_shared(text: str) -> None:
    assert is_shared(text)


@pytest.mark.parametrize("text", ["lmdb:///var/lib/sendgate", "/var/lib/redis", "redisx://a", "", "http://redis"])
def test_another_url_is_not_shared(text: str) -> None:
    assert not is_shared(text)


@pytest.mark.parametrize(
    "url", ["redis://app:pw@word@redis.example", "redis://:secret@", "redis://a:secret@b@c/0", "redis://:s/ecret@host"]
)
def test_a_part_of_a_password_is_neither_taken_for_a_host_nor_shown(url: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_origin_url(url)
    assert not any(word in str(refused.value) for word in ("word@", "ecret", "pw"))
