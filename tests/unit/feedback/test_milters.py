"""Lines of Postfix's log about milters that fail: which count, and for whom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from sendgate.campaign import CampaignResolver
from sendgate.feedback.follower import Follower, Plan
from sendgate.feedback.intake import Edges, Intake, Lists
from sendgate.feedback.log.milters import failed_milter
from sendgate.feedback.rules import load_rules
from sendgate.feedback.state import State
from sendgate.metrics_feedback import FeedbackCollector, FeedbackFigures
from sendgate.settings import CampaignSettings
from sendgate.settings_feedback import FeedbackSettings

GATE = "unix:/run/sendgate/milter.sock"
SMTPD = "Nov 22 13:25:01 sender postfix/smtpd[13267]: "
WARNING = SMTPD + "warning: "
FAILURES = [
    f"connect to Milter service {GATE}: No such file or directory",
    f"connect to Milter service {GATE}: Connection refused",
    f"connect to Milter service {GATE}: Permission denied",
    f"connect to Milter service {GATE}: Connection timed out",
    f"milter {GATE}: can't read SMFIC_OPTNEG reply packet header: Connection reset by peer",
    f"milter {GATE}: can't read SMFIC_OPTNEG reply packet header: Connection timed out",
    f"milter {GATE}: can't read SMFIC_MAIL reply packet header: Application error",
    f"milter {GATE}: can't read SMFIC_RCPT reply packet header: Broken pipe",
    f"milter {GATE}: can't read SMFIC_BODYEOB reply packet header: Connection timed out",
    f"milter {GATE}: bad packet length: 0",
    f"milter {GATE}: unreasonable packet length: 1213486160 > 1073741823",
    f"milter {GATE}: EOF while reading command code: Application error",
    f"milter {GATE}: input packet too short for network long",
    f"milter {GATE}: no data in input packet",
    f"milter8_read_data: milter {GATE}: EOF while reading string: Broken pipe",
    f"milter8_read_data: milter {GATE}: missing string null termimator",
    f"milter {GATE}: error writing command: Broken pipe",
    f'milter {GATE}: unexpected reply "c" in initial handshake',
    f"milter {GATE}: protocol version 99 conflict with MTA protocol version 6",
    f"milter {GATE}: request mask 0x1ff conflict with MTA request mask 0x1f",
    f"milter {GATE}: unexpected filter response (unknown filter reply) after event SMFIC_MAIL",
    f"milter {GATE}: malformed reply: hello",
    f"milter {GATE}: malformed reply: ",
    f"milter {GATE}: reply SMFIR_CONTINUE was followed by 11 data bytes",
]
NO_FAILURES = [
    f"milter {GATE}: read error in initial handshake",  # the line before it told
    f"milter {GATE}: write error in initial handshake",
    f"milter {GATE}: unrecognized default action: nonsense",
    f"milter {GATE}: ignoring unknown macro type 9",
    f"milter {GATE}: unexpected protocol version 1",
    "host or service [::1]:1 not found: Address family for hostname not supported",
    "hostname mx.example.com does not resolve to address 192.0.2.1",
    f"non-SMTP command from unknown[192.0.2.1]: milter {GATE}: bad packet length: 0",
    f"Connection concurrency limit exceeded: connect to Milter service {GATE}: x",
]


@pytest.mark.parametrize("text", FAILURES)
def test_a_failure_is_told_with_its_milter(text: str) -> None:
    assert failed_milter(WARNING + text) == GATE


@pytest.mark.parametrize("text", NO_FAILURES)
def test_what_tells_no_failure_or_tells_one_again_does_not_count(text: str) -> None:
    assert failed_milter(WARNING + text) is None


@pytest.mark.parametrize(
    "front",
    [
        "2026-11-22T13:25:01.123456+00:00 sender postfix/smtpd[1]: warning: ",
        "Nov 22 13:25:01 sender postfix-out/submission/smtpd[12345]: warning: ",
        "Nov 22 13:25:01 sender postfix/cleanup[7]: warning: ",
        "postfix/smtpd[7]: warning: ",
    ],
)
def test_whatever_the_line_begins_with(front: str) -> None:
    assert failed_milter(front + FAILURES[0]) == GATE


@pytest.mark.parametrize(
    "line",
    [
        "",
        "]: warning: ",
        WARNING,
        SMTPD + FAILURES[0],
        f"Nov 22 13:25:01 sender opendkim[13267]: warning: {FAILURES[0]}",
        f"Nov 22 13:25:01 sender postfix/smtp[13267]: warning: {FAILURES[0]}",
        f"Nov 22 13:25:01 sender postfix/smtpd[1]: NOQUEUE: reject: helo=<a[1]: warning: {FAILURES[0]}>",
        f"Nov 22 13:25:01 sender postfix/smtp[9]: 4jX: host mx.x[192.0.2.1] said: 450 {WARNING}{FAILURES[0]}",
        f"{SMTPD}NOQUEUE: reject: RCPT from h[192.0.2.1]: 550 helo=<{WARNING}{FAILURES[0]}>",
        SMTPD + "NOQUEUE: milter-reject: CONNECT from unknown[192.0.2.1]: 451 4.7.1 Service unavailable; proto=SMTP",
        SMTPD + "4jXVFK0pZlzMhjt: milter-reject: END-OF-MESSAGE from h[192.0.2.1]: 4.7.1 Service unavailable",
    ],
)
def test_other_lines_do_not_count(line: str) -> None:
    assert failed_milter(line) is None


@pytest.mark.parametrize(
    ("text", "milter"),
    [
        ("connect to Milter service inet:127.0.0.1:8891: Connection refused", "inet:127.0.0.1:8891"),
        ("connect to Milter service inet:[::1]:8891: Cannot assign requested address", "inet:[::1]:8891"),
        ("milter inet:127.0.0.1:8891: can't read SMFIC_DATA reply packet header: Success", "inet:127.0.0.1:8891"),
        ("connect to Milter service unix:sendgate/milter.sock: No such file or directory", "unix:sendgate/milter.sock"),
        ("invalid transport name: foo in Milter service: foo:bar", "foo:bar"),
        ('Milter service needs transport:endpoint instead of "nohost"', "nohost"),
        ("milter8_read_data: left-over data 7 bytes", ""),
    ],
)
def test_the_milter_is_named_as_in_main_cf(text: str, milter: str) -> None:
    assert failed_milter(WARNING + text) == milter


def follower_of(folder: Path) -> Follower:
    """A new one, that takes up where the last one saved its place."""
    state = State(folder / "feedback")

    @contextmanager
    def lists() -> Iterator[Lists]:
        raise AssertionError("no lists are asked")
        yield

    intake = Intake(FeedbackSettings(), state, Edges(lists, lambda _: set(), sees_all=True, tell=False))
    return Follower(Plan(folder / "maillog", load_rules(), CampaignResolver(CampaignSettings()), state, intake, ()))


def follow(folder: Path) -> None:
    follower = follower_of(folder)
    while (batch := follower.read()).position is not None:
        follower.take(batch)


def write(folder: Path, *texts: str) -> None:
    with (folder / "maillog").open("a") as file:
        file.write("".join(f"{WARNING}{text}\n" for text in texts))


def shown(figures: FeedbackFigures) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(FeedbackCollector(lambda: figures, 500))
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    name = "sendgate_postfix_milter_failures_total"
    return {sample.labels["milter"]: sample.value for sample in samples if sample.name == name}


def failures(folder: Path) -> dict[str, float]:
    with closing(State(folder / "feedback")) as state:
        return shown(FeedbackFigures(state.counts(), behind=0, milter=GATE))


def test_failures_are_counted_once_over_restarts_and_batches_that_were_not_saved(tmp_path: Path) -> None:
    write(tmp_path, *FAILURES, *NO_FAILURES)
    follow(tmp_path)
    write(tmp_path, FAILURES[0], "connect to Milter service inet:127.0.0.1:8891: Connection refused")
    follower_of(tmp_path).read()  # and is killed
    follow(tmp_path)
    follow(tmp_path)
    assert failures(tmp_path) == {GATE: len(FAILURES) + 1, "inet:127.0.0.1:8891": 1}


def test_our_own_milter_is_there_before_it_ever_failed() -> None:
    assert shown(FeedbackFigures([], behind=0, milter=GATE)) == {GATE: 0}


def test_without_a_log_that_is_followed_nothing_is_told() -> None:
    assert shown(FeedbackFigures([("milter_failures", "", GATE, 7)])) == {}


def test_milters_beyond_eight_and_without_a_name_are_others() -> None:
    counts = [("milter_failures", "", f"unix:/run/{number}", 1) for number in range(10)]
    told = shown(FeedbackFigures([*counts, ("milter_failures", "", "", 5)], behind=0, milter=GATE))
    assert told == {GATE: 0, **{f"unix:/run/{number}": 1 for number in range(7)}, "other": 8}
