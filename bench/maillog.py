"""A made-up day of a bulk sender: Postfix's log with several campaigns, and what happened to whom.

In: a number of lines and a seed. Out: the log's text, always the same, and the events it tells of by campaign and kind.

Messages overlap as on a busy queue. Of their recipients 2 % bounce; 5 % are deferred at least once, and of those some
are never delivered (expired), the others arrive at last. Now and then other services have a line in between.
"""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench import lists

START = 1_772_323_200
"""The first of March 2026."""
CAMPAIGNS = ("news-0301", "spring-sale", "receipts", "onboarding-7", "survey")
BOUNCES = (
    ("5.1.1", "550 5.1.1 <{to}>: Recipient address rejected: User unknown in virtual mailbox table", "RCPT TO"),
    (
        "5.1.1",
        "550-5.1.1 The email account that you tried to reach does not exist. Please try 550-5.1.1 double-checking "
        "the recipient's email address for typos or 550-5.1.1 unnecessary spaces. 550 5.1.1 - gsmtp",
        "RCPT TO",
    ),
    ("5.7.1", "550 5.7.1 Message rejected due to local policy", "end of DATA"),
    ("5.2.2", "552 5.2.2 <{to}>: user is over quota", "RCPT TO"),
    ("5.0.0", "554 delivery error: dd This user doesn't have a {domain} account ({to}) [0]", "end of DATA"),
)
DEFERRALS = (
    ("4.2.2", "{peer} said: 452 4.2.2 The recipient's inbox is out of storage (in reply to RCPT TO command)"),
    ("4.7.1", "{peer} said: 450 4.7.1 <{to}>: Recipient address rejected: Greylisted (in reply to RCPT TO command)"),
    ("4.4.1", "connect to {peer}:25: Connection timed out"),
    ("4.4.2", "lost connection with {peer} while sending RCPT TO"),
    ("4.7.0", "{peer} refused to talk to me: 421 4.7.0 Try again later, closing connection"),
)
BOUNCE_SHARE, DEFERRAL_SHARE, EXPIRED_SHARE = 0.02, 0.05, 0.1
RATE = 200
"""Messages a second."""
_LETTERS = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxy"

Timed = tuple[float, int, str]


@dataclass(slots=True)
class Day:
    """How many lines were made, and the events: by campaign and by sent, bounced, deferred or expired."""

    lines: int = 0
    messages: int = 0
    events: Counter[tuple[str, str]] = field(default_factory=Counter)


def write_day(count: int, day: Day, seed: int = 1) -> Iterator[str]:
    """So many lines or a few more (each message is told to its end), in the order of their times; `day` is filled."""
    chance = random.Random(seed)
    waiting: list[Timed] = []
    serial = 0
    while day.lines + len(waiting) < count:
        at = START + day.messages / RATE
        while waiting and waiting[0][0] <= at:
            yield _line(heapq.heappop(waiting), day)
        for moment, text in _message(day, at, chance):
            serial += 1
            heapq.heappush(waiting, (moment, serial, text))
        day.messages += 1
    while waiting:
        yield _line(heapq.heappop(waiting), day)


def _line(timed: Timed, day: Day) -> str:
    day.lines += 1
    moment = time.gmtime(timed[0])
    return (
        f"{time.strftime('%b', moment)} {moment.tm_mday:2d} {time.strftime('%H:%M:%S', moment)} mx1 postfix/{timed[2]}"
    )


def _message(day: Day, at: float, chance: random.Random) -> Iterator[tuple[float, str]]:
    number = day.messages
    campaign = chance.choice(CAMPAIGNS)
    to = lists.address(number)
    sender = f"bounce+{campaign}+{number:x}@mail.example.com"
    queue_id = _queue_id(number)
    yield from _injection(number, at, queue_id, campaign, sender)
    last = at
    for delay, kind, text in _deliveries(to, sender, queue_id, chance):
        day.events[campaign, kind] += 1
        last = at + delay
        yield last, text
    if kind in ("bounced", "expired"):
        yield from _notice(number, last, queue_id, sender)
    yield last + 0.07, f"qmgr[2001]: {queue_id}: removed"


def _injection(number: int, at: float, queue_id: str, campaign: str, sender: str) -> Iterator[tuple[float, str]]:
    """How the message came in, and what other services have to say."""
    client, smtpd, login = "injector.example.com[192.0.2.10]", f"smtpd[{3000 + number % 40}]: ", f"login-{number % 3}"
    if not number % 20:
        yield at, f"{smtpd}connect from {client}"
    yield at, f"{smtpd}{queue_id}: client={client}, sasl_method=PLAIN, sasl_username={login}"
    yield at + 0.01, f"cleanup[{3100 + number % 20}]: {queue_id}: message-id=<{number:x}.{campaign}@mail.example.com>"
    yield at + 0.02, f"qmgr[2001]: {queue_id}: from=<{sender}>, size={1000 + number % 50_000}, nrcpt=1 (queue active)"
    if not number % 20:
        yield at + 0.03, f"{smtpd}disconnect from {client} ehlo=1 mail=20 rcpt=20 data=20 quit=1 commands=62"
    if not number % 1000:
        yield at + 0.04, "anvil[2100]: statistics: max connection rate 12/60s for (smtp:192.0.2.10) at Mar  1 00:00:00"


def _notice(number: int, at: float, queue_id: str, sender: str) -> Iterator[tuple[float, str]]:
    """The bounce message that Postfix makes for the sender, and its way."""
    notice = _queue_id(number, "x")
    yield at + 0.01, f"cleanup[{3100 + number % 20}]: {notice}: message-id=<{notice}@mx1.example.com>"
    yield at + 0.02, f"bounce[2200]: {queue_id}: sender non-delivery notification: {notice}"
    yield at + 0.02, f"qmgr[2001]: {notice}: from=<>, size=3000, nrcpt=1 (queue active)"
    yield at + 0.05, _attempt(sender, notice, 0.05, "2.0.0", "sent (250 2.0.0 Ok: queued)", "bounces.example.com")
    yield at + 0.06, f"qmgr[2001]: {notice}: removed"


def _deliveries(to: str, sender: str, queue_id: str, chance: random.Random) -> Iterator[tuple[float, str, str]]:
    """What happened to one recipient: seconds after the message came, kind, and the line."""
    draw, delay = chance.random(), 0.1 + chance.random() * 3
    domain = to.rpartition("@")[2]
    given = {"to": to, "peer": f"mx.{domain}[192.0.2.25]", "domain": domain}
    if draw < BOUNCE_SHARE:
        code, reply, phase = chance.choice(BOUNCES)
        told = "bounced (host {peer} said: " + reply + f" (in reply to {phase} command))"
        yield delay, "bounced", _attempt(to, queue_id, delay, code, told.format(**given), f"mx.{domain}")
        return
    if draw < BOUNCE_SHARE + DEFERRAL_SHARE:
        code, reply = chance.choice(DEFERRALS)
        told = f"deferred ({'host ' if reply.startswith('{peer}') else ''}{reply})".format(**given)
        for wait in (300, 900, 2700)[: chance.randint(1, 3)]:
            yield delay, "deferred", _attempt(to, queue_id, delay, code, told, f"mx.{domain}")
            delay += wait
        if chance.random() < EXPIRED_SHARE:
            yield delay, "expired", f"qmgr[2001]: {queue_id}: from=<{sender}>, status=expired, returned to sender"
            return
    accepted = f"sent (250 2.0.0 OK  {START} {queue_id.lower()} - gsmtp)"
    yield delay, "sent", _attempt(to, queue_id, delay, "2.0.0", accepted, f"mx.{domain}")


def _attempt(to: str, queue_id: str, delay: float, dsn: str, told: str, host: str) -> str:
    relay = "none" if "connect to" in told else f"{host}[192.0.2.25]:25"
    return (
        f"smtp[{4000 + len(told) % 60}]: {queue_id}: to=<{to}>, relay={relay}, delay={delay:.2g}, "
        f"delays=0.02/0.01/{delay / 2:.2g}/{delay / 2:.2g}, dsn={dsn}, status={told}"
    )


def _queue_id(number: int, last: str = "") -> str:
    """A long queue id: the time, "z", and the file's number, as Postfix writes it."""
    text, rest = "", number * 7919 + 10_000_000
    while rest:
        rest, digit = divmod(rest, len(_LETTERS))
        text = _LETTERS[digit] + text
    return f"4fK{text.rjust(8, '0')}z{text[-3:]}{last}"
