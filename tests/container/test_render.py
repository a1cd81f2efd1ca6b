"""What the environment says is what Postfix does; what it cannot mean is refused by name."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from container.parts import Container

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
Make = Callable[..., Container]
Done = subprocess.CompletedProcess[str]

REFUSED = {
    "POSTFIX_NO_SUCH_THING": ("1", "POSTFIX_NO_SUCH_THING: Postfix has no parameter 'no_such_thing'"),
    "POSTFIX_SMTPD_MILTERS": ("inet:localhost:1", "POSTFIX_SMTPD_MILTERS: Sendgate must stay the first"),
    "POSTFIX_SMTPD_MILTER_MAPS": ("static:DISABLE", "POSTFIX_SMTPD_MILTER_MAPS: it would lead clients past"),
    "POSTFIX_CONFIG_DIRECTORY": ("/tmp", "POSTFIX_CONFIG_DIRECTORY: the image decides"),
    "POSTFIX_MASTER_SERVICE_DISABLE": ("inet", "POSTFIX_MASTER_SERVICE_DISABLE: postfix-drain"),
    "POSTFIX_relayhost": ("", "sets the same parameter"),
    "POSTFIX_SERVICE_HOST": ("10.0.0.1", "POSTFIX_SERVICE_HOST: if Kubernetes sets it"),
    "POSTFIX_SMTPD_BANNER": ("$(POD_NAME) ESMTP", "undefined parameter: POD_NAME"),
    "SMTP_PORT": ("tcp://10.0.0.1:25", "enableServiceLinks: false"),
    "SHOWQ_PORT": ("65536", "SHOWQ_PORT=65536"),
    "MILTER_OPENDKIM": ("unix:/run/a", "MILTER_OPENDKIM: the name of a milter is MILTER_<NN>_<NAME>"),
    "MILTER_10_A": ("", "MILTER_10_A=: neither"),
    "MILTER_20_B": ("unix:/run/a, default_action=accept", "MILTER_20_B="),
    "MILTER_30_C": ("inet:8891", "MILTER_30_C=inet:8891: neither unix:/path nor inet:host:port"),
}


def rendered(container: Container, *parameters: str) -> list[str]:
    """The values of these parameters after rendering."""
    done = container.once("sh", "-c", 'postfix-render && postconf -h "$@"', "render", *parameters)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture
def complaints(make: Make) -> Done:
    return make({name: value for name, (value, _) in REFUSED.items()}).once("postfix-render")


@pytest.mark.parametrize("name", [name for name in REFUSED if "BANNER" not in name])
def test_all_that_is_wrong_is_refused_at_once_and_by_name(complaints: Done, name: str) -> None:
    assert complaints.returncode == 78
    assert REFUSED[name][1] in complaints.stderr


def test_a_value_that_kubernetes_left_unexpanded_is_refused(make: Make) -> None:
    done = make({"POSTFIX_SMTPD_BANNER": REFUSED["POSTFIX_SMTPD_BANNER"][0]}).once("postfix-render")
    assert done.returncode == 78
    assert REFUSED["POSTFIX_SMTPD_BANNER"][1] in done.stderr


def test_a_name_is_required(make: Make) -> None:
    container = make()
    del container.environment["POSTFIX_MYHOSTNAME"]
    done = container.once("postfix-render")
    assert done.returncode == 78
    assert "POSTFIX_MYHOSTNAME" in done.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"POSTFIX_MESSAGE_SIZE_LIMIT": "abc"}, "message_size_limit = abc"),
        ({"POSTFIX_MAILLOG_FILE": "/dev/stdout"}, "POSTFIX_MAILLOG_FILE=/dev/stdout"),
        ({"LOG_MAX_BYTES": "100M"}, "LOG_MAX_BYTES"),
        ({"DRAIN_SECONDS": "9m"}, "DRAIN_SECONDS=9m"),
    ],
)
def test_a_value_that_postfix_or_the_log_cannot_use_ends_the_start(
    make: Make, settings: dict[str, str], words: str
) -> None:
    container = make(settings)
    container.launch()
    assert container.wait() == 78
    assert words in container.errors()


def test_values_keep_spaces_dollars_quotes_and_an_empty_value_is_one(make: Make) -> None:
    container = make(
        {
            "POSTFIX_SMTPD_BANNER": '$myhostname ESMTP "it\'s" 5$$ `id` \\ !x',
            "POSTFIX_QUEUE_MINFREE": " 0 ",
            "POSTFIX_RELAYHOST": "",
            "POSTFIX_SMTP_DESTINATION_RATE_DELAY": "1s",
        }
    )
    values = rendered(container, "smtpd_banner", "queue_minfree", "relayhost", "smtp_destination_rate_delay")
    assert values == ['$myhostname ESMTP "it\'s" 5$$ `id` \\ !x', "0", "", "1s"]


def test_a_value_of_many_lines_is_one_line(make: Make) -> None:
    container = make({"POSTFIX_MYNETWORKS": "127.0.0.0/8\n10.0.0.0/8\r\n[::1]/128\n"})
    assert rendered(container, "mynetworks")[0].split() == ["127.0.0.0/8", "10.0.0.0/8", "[::1]/128"]


def test_milters_come_after_sendgate_in_the_order_of_their_numbers(make: Make) -> None:
    container = make({"MILTER_20_B": "inet:localhost:8891", "MILTER_3_A": "unix:/run/filters/a.sock"})
    [value] = rendered(container, "smtpd_milters")
    addresses = [part.split(",")[0].strip() for part in value.split("{")[1:]]
    assert addresses == ["unix:/run/sendgate/milter.sock", "unix:/run/filters/a.sock", "inet:localhost:8891"]
    assert value.count("default_action=tempfail") == 3
    assert value.count("content_timeout=60s") == 2


def test_ports_and_container_defaults(make: Make) -> None:
    container = make({"SMTP_PORT": "2525", "SHOWQ_PORT": "9103"})
    values = rendered(container, "inet_interfaces", "maillog_file")
    assert values == ["all", "/var/log/postfix/maillog"]
    services = (container.folder / "etc" / "master.cf").read_text().splitlines()
    inet = [line.split() for line in services if line.split()[1:2] == ["inet"]]
    assert [(line[0], line[7]) for line in inet] == [("2525", "smtpd"), ("127.0.0.1:9103", "showq")]


def test_without_a_port_for_showq_there_is_no_such_listener(make: Make) -> None:
    container = make({"SHOWQ_PORT": "", "SMTP_PORT": "25"})
    rendered(container, "myhostname")
    services = (container.folder / "etc" / "master.cf").read_text().splitlines()
    assert [line.split()[0] for line in services if line.split()[1:2] == ["inet"]] == ["smtp"]
