"""What would be an open relay does not start; what is narrower than shipped does."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from container.parts import Container

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
Make = Callable[..., Container]
CHECK = ("sh", "-c", "postfix-render && postfix-check-relay")
SECONDS = 10
"""Of the machine that tests; alone it is half a second."""

OPEN = {
    "everybody": ({"MYNETWORKS": "0.0.0.0/0"}, "mynetworks contains 0.0.0.0/0"),
    "half the world": ({"MYNETWORKS": "10.0.0.0/8, 128.0.0.0/1"}, "mynetworks contains 128.0.0.0/1"),
    "a public /15": ({"MYNETWORKS": "198.18.0.0/15"}, "POSTFIX_MYNETWORKS"),
    "more than the private range": ({"MYNETWORKS": "10.0.0.0/7"}, "mynetworks contains 10.0.0.0/7"),
    "all of IPv6": ({"MYNETWORKS": "127.0.0.0/8 [::]/0"}, "mynetworks contains [::]/0"),
    "a large network of IPv6": ({"MYNETWORKS": "[2001:db8::]/29"}, "mynetworks contains [2001:db8::]/29"),
    "a table that holds half the world": ({"MYNETWORKS": "inline:{}, cidr:{{0.0.0.0/1 permit}}"}, "open relay"),
    "a file that holds everybody": ({"MYNETWORKS": "/probe/networks"}, "mynetworks contains 0.0.0.0/0"),
    "a variable that holds everybody": ({"MYNETWORKS": "$proxy_interfaces", "PROXY_INTERFACES": "::/0"}, "::/0"),
    "a rule that lets all": (
        {
            "SMTPD_RELAY_RESTRICTIONS": "check_client_access static:permit, reject",
            "SMTPD_DATA_RESTRICTIONS": "",
        },
        "POSTFIX_SMTPD_RELAY_RESTRICTIONS",
    ),
    "a sender of ours, whom anybody can name": (
        {
            "SMTPD_RELAY_RESTRICTIONS": "permit_mynetworks, check_sender_access inline:{sender.test=permit}, reject",
            "SMTPD_DATA_RESTRICTIONS": "",
            "SMTPD_RECIPIENT_RESTRICTIONS": "reject_non_fqdn_recipient",
        },
        "from <postmaster@sender.test> to <relay-probe@relay-probe.example.net>",
    ),
    "postmaster without a domain": (
        {"SMTPD_DATA_RESTRICTIONS": "", "SMTPD_RECIPIENT_RESTRICTIONS": ""},
        "<postmaster>",
    ),
    "routes in the local part": (
        {
            "SMTPD_RELAY_RESTRICTIONS": "permit_mynetworks, permit_auth_destination, reject",
            "SMTPD_DATA_RESTRICTIONS": "reject_unauth_pipelining",
            "RELAY_DOMAINS": "$myhostname",
            "ALLOW_UNTRUSTED_ROUTING": "yes",
        },
        "<relay-probe%relay-probe.example.net@sender.test>",
    ),
    "permit alone, which Postfix refuses": ({"SMTPD_RELAY_RESTRICTIONS": "permit"}, "smtpd_relay_restrictions"),
}
CLOSED = {
    "what is shipped": {},
    "private networks": {"MYNETWORKS": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 [fd00::]/8 [fe80::]/10"},
    "an own public network": {"MYNETWORKS": "127.0.0.0/8 203.0.113.0/24 198.51.0.0/16 [2001:db8:1::]/48"},
    "a network that is probed elsewhere": {"MYNETWORKS": "61.37.0.0/16"},
    "nobody": {"MYNETWORKS": ""},
    "bounces of an own domain, taken from anybody": {
        "SMTPD_RELAY_RESTRICTIONS": "permit_mynetworks, reject_unauth_destination",
        "RELAY_DOMAINS": "bounces.example.com",
    },
    "no mail before TLS": {"SMTPD_TLS_SECURITY_LEVEL": "encrypt", "SMTPD_HELO_REQUIRED": "yes"},
    "IPv4 alone": {"INET_PROTOCOLS": "ipv4"},
}


@pytest.mark.parametrize("settings, words", OPEN.values(), ids=OPEN)
def test_an_open_relay_is_refused_with_the_setting(make: Make, settings: dict[str, str], words: str) -> None:
    container = make({f"POSTFIX_{name}": value for name, value in settings.items()})
    (container.folder / "probe" / "networks").write_text("# all\n0.0.0.0/0\n")
    done = container.once(*CHECK)
    assert done.returncode == 78, done.stderr
    assert words in done.stderr


@pytest.mark.parametrize("settings", CLOSED.values(), ids=CLOSED)
def test_what_is_no_open_relay_is_let_through(make: Make, settings: dict[str, str]) -> None:
    done = make({f"POSTFIX_{name}": value for name, value in settings.items()}).once(*CHECK)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_no_network_is_named(make: Make) -> None:
    """Not only the answer for now that every client would get."""
    done = make({"POSTFIX_MYNETWORKS": "127.0.0.0/8 10.244.0.1/16"}).once(*CHECK)
    assert done.returncode == 78
    assert 'mynetworks: non-null host address bits in "10.244.0.1/16"' in done.stderr


def test_a_comment_that_would_hide_networks_is_refused(make: Make) -> None:
    """Our own clients in them would be told 554."""
    done = make({"POSTFIX_MYNETWORKS": "127.0.0.0/8 # this host\n10.0.0.0/8"}).once(*CHECK)
    assert done.returncode == 78
    assert "take it out: " in done.stderr
    assert "# this host 10.0.0.0/8" in done.stderr


def test_tls_hides_no_open_relay(make: Make) -> None:
    settings = {"POSTFIX_SMTPD_TLS_SECURITY_LEVEL": "encrypt", "POSTFIX_SMTPD_DATA_RESTRICTIONS": ""}
    assert "open relay" in make(settings).once(*CHECK).stderr


def test_each_listener_of_master_cf_is_tried(make: Make) -> None:
    container = make()
    with (container.folder / "templates" / "master.cf").open("a") as lines:
        lines.write("submission inet n - n - - smtpd -o smtpd_data_restrictions=\n")
    assert "open relay" in container.once(*CHECK).stderr


def test_the_container_does_not_start_as_an_open_relay(make: Make) -> None:
    container = make({"POSTFIX_MYNETWORKS": "0.0.0.0/0"})
    container.launch()
    assert container.wait() == 78
    assert "mynetworks contains 0.0.0.0/0" in container.errors()
    assert "daemon started" not in container.log_text()


@pytest.mark.parametrize(
    "file, change",
    [
        ("main.cf", ("unix:/run/sendgate/milter.sock", "unix:/run/other.sock")),
        ("main.cf", ("{ unix:/run/sendgate/milter.sock", "{ inet:localhost:9 }, { unix:/run/sendgate/milter.sock")),
        ("main.cf", ("default_action=tempfail,", "default_action=accept,")),
        ("main.cf", ("smtpd_milters =", "smtpd_milter_maps = static:DISABLE\nsmtpd_milters =")),
        ("master.cf", ("300     smtpd", "300     smtpd -o smtpd_milters=")),
    ],
)
def test_a_template_without_sendgate_in_front_is_refused(make: Make, file: str, change: tuple[str, str]) -> None:
    container = make()
    path = container.folder / "templates" / file
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change))
    done = container.once(*CHECK)
    assert done.returncode == 78
    assert "smtpd_milter" in done.stderr


def test_it_takes_seconds_and_leaves_nothing(make: Make) -> None:
    container = make()
    began = time.monotonic()
    done = container.once("sh", "-c", "postfix-render && postfix-check-relay && ls /tmp | wc -l")
    assert done.stdout.strip() == "0"
    assert time.monotonic() - began < SECONDS


def test_a_temporary_folder_with_little_space_hides_nothing(make: Make) -> None:
    container = make({"POSTFIX_SMTPD_DATA_RESTRICTIONS": "", "POSTFIX_QUEUE_MINFREE": "1000000000000000"})
    assert "open relay" in container.once(*CHECK).stderr
