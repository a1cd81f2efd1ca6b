"""What the tests of feedback share: a bounce, a log as Postfix writes it.

In: recipients, senders, what servers said. Out: texts and files.
"""

from __future__ import annotations

import time
from pathlib import Path

GONE = "550 5.1.1 <{0}>: Recipient address rejected: User unknown"
DSN = """\
From: Mail Delivery System <MAILER-DAEMON@mx.example.com>
To: {sender}
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

I'm sorry to have to inform you that your message could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.com

Final-Recipient: rfc822; {recipient}
Action: failed
Status: {status}
Diagnostic-Code: smtp; {reply}

--b
Content-Type: text/rfc822-headers

Return-Path: <{sender}>
From: news@example.net
To: {recipient}
Subject: News

--b--
"""
"""A bounce as Postfix writes one: sender, recipient, status, reply."""
BOUNCE = DSN.replace("{status}", "5.1.1").replace("{reply}", "550 5.1.1 <{recipient}>: no such user")
"""The same for an unknown user: sender, recipient."""


class Log:
    """A log as Postfix writes it, one message at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._number = 0

    def deliver(self, recipient: str, said: str = "", *, campaign: str = "spring") -> None:
        """A message of a campaign to a recipient, and the answer; "" for one that was taken."""
        self._number += 1
        queue_id = f"4ZQ{self._number:05d}zz1z9"
        at = time.strftime("%Y-%m-%dT%H:%M:%S.000000+00:00", time.gmtime())
        relay = "mx.example.com[192.0.2.1]:25"
        outcome = f"bounced (host mx.example.com[192.0.2.1] said: {said} (in reply to RCPT TO command))"
        result = outcome if said else "sent (250 2.0.0 taken)"
        dsn = "5.1.1" if said else "2.0.0"
        lines = [
            f"postfix/smtpd[7]: {queue_id}: client=app[192.0.2.9]",
            f"postfix/qmgr[8]: {queue_id}: from=<bounce+{campaign}@example.net>, size=312, nrcpt=1 (queue active)",
            f"postfix/smtp[9]: {queue_id}: to=<{recipient}>, relay={relay}, delay=0.4,"
            f" delays=0.1/0/0.1/0.2, dsn={dsn}, status={result}",
            f"postfix/qmgr[8]: {queue_id}: removed",
        ]
        with self.path.open("a") as file:
            file.write("".join(f"{at} pod-0 {line}\n" for line in lines))
