"""The milter session: libmilter's callbacks translated into calls of the gate, and its answers into libmilter's.

In: libmilter's events, as bytes. Out: SMFIS codes, SMTP replies, end-of-message actions, counts, log lines.
Refused: nothing raises into libmilter: an error of our own is a 451 for that recipient or message.

Callbacks of one connection run on different threads, one after the other. State is in two objects, Connection and
Message; a new message replaces the old one.

At RCPT a good recipient is CONTINUE (ACCEPT would hide all later ones). At DATA we ACCEPT when nothing is left to do
for this message, which ends its events and spares Postfix's cleanup a conversation with us.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from time import perf_counter
from typing import Any, Protocol

import milter

from sendgate import events
from sendgate.campaign import CampaignResolver, Resolved
from sendgate.decision import OTHER_FATE, Campaign, Decision, Verdict
from sendgate.entry import Reason
from sendgate.gate import Gate
from sendgate.metrics import Metrics
from sendgate.reply import hold_reason, reply_to

CONTINUE: int = milter.CONTINUE
ACCEPT: int = milter.ACCEPT
REJECT: int = milter.REJECT
TEMPFAIL: int = milter.TEMPFAIL
DISCARD: int = milter.DISCARD


class Context(Protocol):
    """What we use of pymilter's context."""

    def getpriv(self) -> Any: ...
    def setpriv(self, value: Any) -> None: ...
    def getsymval(self, name: str) -> str | None: ...
    def setreply(self, code: str, enhanced: str, text: str) -> None: ...
    def delrcpt(self, recipient: str) -> None: ...
    def quarantine(self, reason: str) -> None: ...
    def setsymlist(self, stage: int, macros: str) -> None: ...


class Message:
    """One message. `refined` is the campaign that a header named; it labels what passed."""

    __slots__ = ("campaign", "discarded", "held", "may_refine", "observed", "passed", "refined", "seconds")

    def __init__(self, resolved: Resolved) -> None:
        self.campaign: Campaign = resolved.campaign
        self.may_refine = not resolved.by_envelope
        self.refined: Campaign | None = None
        self.passed = 0
        self.observed = 0
        self.held: Decision | None = None
        self.discarded: list[bytes] = []
        self.seconds: list[float] = []

    @property
    def delivers(self) -> bool:
        """Whether there is a recipient that is neither held nor discarded."""
        return self.passed + self.observed > 0

    @property
    def acts_at_end(self) -> bool:
        """Whether something is left to do at end of message."""
        return self.held is not None or bool(self.discarded)


class Connection:
    """One connection from Postfix, which is one SMTP session.

    mail_answer, header_answer: what to return where there is nothing to say: NOREPLY when Postfix has agreed to wait
    for no answer (libmilter complains to syslog about any other then), else CONTINUE.
    """

    __slots__ = ("header_answer", "mail_answer", "message")

    def __init__(self, mail_answer: int, header_answer: int) -> None:
        self.mail_answer = mail_answer
        self.header_answer = header_answer
        self.message: Message | None = None


class Sessions:
    """The callbacks, for all connections of a worker.

    at_message: called after each message.
    """

    def __init__(
        self,
        gate: Gate,
        resolver: CampaignResolver,
        metrics: Metrics,
        header: str | None,
        at_message: Callable[[], None],
        name: str = "worker",
    ) -> None:
        self._gate = gate
        self._resolver = resolver
        self._metrics = metrics
        self._header = header.lower() if header else None
        self._at_message = at_message
        self._name = name
        self._lock = Lock()
        self.active = 0

    def opened(self, context: Context, connection: Connection) -> None:
        """A connection begins."""
        context.setpriv(connection)
        with self._lock:
            self.active += 1

    def envfrom(self, context: Context, sender: bytes, *parameters: bytes) -> int:
        """MAIL FROM: a new message, and the campaign it belongs to."""
        connection: Connection = context.getpriv()
        try:
            self._leave(connection)
            connection.message = Message(self._resolve(context, sender, parameters))
        except Exception as error:
            self._own_fault("MAIL", error)
            if connection.mail_answer == CONTINUE:
                return TEMPFAIL
        return connection.mail_answer

    def envrcpt(self, context: Context, recipient: bytes, *_parameters: bytes) -> int:
        """RCPT TO: the decision."""
        started = perf_counter()
        try:
            message: Message = context.getpriv().message
            decision = self._gate.judge(recipient, lambda: _macro(context, "{rcpt_addr}"), message.campaign)
            if decision.cause is None and message.held is None:
                message.passed += 1
                message.seconds.append(perf_counter() - started)
                return CONTINUE
            answer = self._answer(context, message, recipient, decision)
            message.seconds.append(perf_counter() - started)
        except Exception as error:
            return self._own_fault("RCPT", error)
        return answer

    def data(self, context: Context) -> int:
        """DATA: the end for us, unless a header may name the campaign or something is to be done at the end."""
        connection: Connection = context.getpriv()
        message = connection.message
        if message is None or message.acts_at_end or (self._header and message.may_refine):
            return CONTINUE
        return self._end(connection, message)

    def header(self, context: Context, name: str, value: bytes) -> int:
        """A header: perhaps the one that names the campaign. The first of them counts."""
        connection: Connection = context.getpriv()
        message = connection.message
        if message is not None and message.refined is None and name.lower() == self._header:
            message.refined = self._resolver.refine(value.decode("utf-8", "surrogateescape"))
        return connection.header_answer

    def eoh(self, context: Context) -> int:
        """End of headers."""
        connection: Connection = context.getpriv()
        message = connection.message
        if message is None or message.acts_at_end:
            return CONTINUE
        return self._end(connection, message)

    def eom(self, context: Context) -> int:
        """End of message: discarded recipients are taken out, a held message goes to Postfix's hold queue."""
        connection: Connection = context.getpriv()
        message = connection.message
        if message is None:
            return CONTINUE
        try:
            verdict = self._act(context, message)
        except Exception as error:
            return self._own_fault("end of message", error)
        self._end(connection, message)
        return verdict

    def abort(self, context: Context) -> int:
        """The client gave the message up."""
        self._leave(context.getpriv())
        return CONTINUE

    def close(self, context: Context) -> int:
        """The connection ends, at whatever point."""
        connection: Connection | None = context.getpriv()
        if connection is not None:
            self._leave(connection)
            with self._lock:
                self.active -= 1
        return CONTINUE

    def _resolve(self, context: Context, sender: bytes, parameters: tuple[bytes, ...]) -> Resolved:
        envid = ""
        for parameter in parameters:
            if parameter[:6].upper() == b"ENVID=":
                envid = parameter[6:].decode("ascii", "surrogateescape")
        login = _macro(context, "{auth_authen}") or "" if self._resolver.needs_login else ""
        text = sender.decode("utf-8", "surrogateescape").removeprefix("<").removesuffix(">")
        return self._resolver.resolve(envid, text, login)

    def _answer(self, context: Context, message: Message, recipient: bytes, decision: Decision) -> int:
        """Everything but a plain pass: hold, discard, refuse, or pass under observation."""
        decision = _with_fate(message, decision)
        shown = recipient.decode("utf-8", "backslashreplace")
        reply = reply_to(decision, shown)
        self._count(message.campaign.name, decision)
        if decision.cause is not None:
            events.recipient_judged(decision, shown, message.campaign.name, str(reply) if reply else "")
        match decision.verdict:
            case Verdict.HOLD:
                message.held = message.held or decision
            case Verdict.DISCARD:
                message.discarded.append(recipient)
            case Verdict.PASS:
                message.observed += 1
        if reply is None:
            return CONTINUE
        # libmilter and Postfix read "%" as the start of a format.
        context.setreply(reply.code, reply.enhanced, reply.text.replace("%", "%%"))
        return REJECT if reply.code.startswith("5") else TEMPFAIL

    def _count(self, campaign: str, decision: Decision) -> None:
        entry, cause = decision.entry, decision.cause
        reason = entry.reason.value if entry else cause.value if cause else "none"
        self._metrics.recipients(campaign, "would_reject" if decision.observed else decision.verdict.value, reason)
        if entry and entry.reason is Reason.TRAP:
            self._metrics.trap_hit(campaign)

    def _act(self, context: Context, message: Message) -> int:
        queue_id = _macro(context, "i") or ""
        campaign = message.campaign.name
        if message.discarded:
            events.recipients_discarded(queue_id, campaign, len(message.discarded))
            if not message.delivers and message.held is None:
                return DISCARD
            for recipient in message.discarded:
                context.delrcpt(_without_route(recipient).decode())
        if message.held is not None:
            reason = hold_reason(message.held)
            context.quarantine(reason)
            events.message_held(queue_id, campaign, reason)
        return CONTINUE

    def _end(self, connection: Connection, message: Message) -> int:
        """The message went past the gate."""
        self._metrics.message((message.refined or message.campaign).name)
        self._leave(connection)
        self._at_message()
        return ACCEPT

    def _leave(self, connection: Connection) -> None:
        """Count what was kept back for the message's end: its passes and times. The message is then over."""
        message, connection.message = connection.message, None
        if message is None or not message.seconds:
            return
        self._metrics.decision_seconds(message.seconds)
        if message.passed:
            self._metrics.recipients((message.refined or message.campaign).name, "pass", "none", message.passed)

    def _own_fault(self, where: str, error: Exception) -> int:
        self._metrics.exception()
        events.internal_error(self._name, where, error)
        return TEMPFAIL


def _with_fate(message: Message, decision: Decision) -> Decision:
    """A message is held as a whole: whoever is not held must not be in it, and the other way round."""
    if decision.verdict is Verdict.HOLD and message.held is None and message.delivers:
        return OTHER_FATE
    if decision.verdict is Verdict.PASS and message.held is not None:
        return OTHER_FATE
    return decision


def _without_route(recipient: bytes) -> bytes:
    """A recipient as Postfix keeps it: it cuts a source route off, up to the first colon, and compares to the rest."""
    inner = recipient.removeprefix(b"<").removesuffix(b">")
    return b"<" + inner.partition(b":")[2] + b">" if inner.startswith(b"@") and b":" in inner else recipient


def _macro(context: Context, name: str) -> str | None:
    try:
        return context.getsymval(name)
    except (UnicodeDecodeError, milter.error):
        return None
