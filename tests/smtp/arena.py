"""A gate, a Postfix with it in front, and a sink behind: dialogues are played here, and all they leave is compared.

In: a variant of settings, scripts. Out: nothing, or an AssertionError that shows what differs: a reply, a count in
/metrics, a log line, a delivery, the hold queue. Counts are compared whole and over all scripts played so far, so
that one that comes late or too often is found by the next.
"""

from __future__ import annotations

import shutil
import smtplib
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Any

from sendgate.entry import Add, Change, Entry, Remove
from sendgate.keys import Keyer
from sendgate.store.embedded import EmbeddedOrigin
from smtp.script import Counts, Script
from smtp.variants import Variant
from trial.gate import Gate, merged
from trial.mta import Postfix
from trial.player import play
from trial.ports import free_port
from trial.sink import Sink
from trial.waiting import wait_until

SETTLED_SECONDS = 15
MAX_SIZE = 2**32
SECRET = b"a secret of the tests"
_METRICS = {
    "sendgate_recipients_total": ("recipients", "campaign", "decision", "reason"),
    "sendgate_messages_total": ("messages", "campaign"),
    "sendgate_trap_hits_total": ("traps", "campaign"),
}


class Arena:
    """The three parts. Context manager; nothing is left behind. `socket` is the milter's, as libmilter writes it."""

    def __init__(self, variant: Variant) -> None:
        self._variant = variant
        self._stack = ExitStack()
        self._expected: Counts = Counter()
        self._lines_seen = 0
        self._delivered_seen = 0
        self._matches = {name: given["match"] == "mailbox" for name, given in variant.settings.get("lists", {}).items()}

    def __enter__(self) -> Arena:
        with ExitStack() as stack:
            settings, port = self._variant.settings, free_port()
            if self._variant.tcp:
                settings = merged(settings, {"milter": {"socket": f"inet:{port}@127.0.0.1"}})
            self.gate = self.make_gate(settings, self._variant.environment)
            self.socket = f"inet:{port}@127.0.0.1" if self._variant.tcp else f"unix:{self.gate.socket}"
            milter = f"inet:127.0.0.1:{port}" if self._variant.tcp else self.gate.milter
            stack.callback(self.gate.remove)
            self._keyer = Keyer(SECRET if "store" in self._variant.settings else b"")
            self.change([])
            stack.enter_context(self.gate)
            self.sink = stack.enter_context(Sink())
            next_hop = f"[127.0.0.1]:{self.sink.port}"
            self.mta = stack.enter_context(self.make_mta(milter, next_hop))
            if self._variant.logins:
                self._let_log_in()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def make_gate(self, settings: dict[str, Any], environment: dict[str, str]) -> Gate:
        """The gate, not yet started."""
        return make_gate(settings, environment)

    def make_mta(self, milter: str, next_hop: str) -> Postfix:
        """The Postfix in front of it, not yet started."""
        return Postfix([milter], self._variant.mta, next_hop)

    def change(self, changes: list[Change]) -> None:
        """Write to the store, as a command would."""
        change(self.gate, changes, self._keyer, self._matches)

    def play(self, script: Script) -> None:
        """Play one script and compare all it leaves."""
        with self.listed(script.listed):
            play(script.dialogue, self.mta.port)
            self.expect(script.counts)
            self.expect_deliveries(script.delivered, script.held)
            self._expect_log(script.logged)

    @contextmanager
    def listed(self, entries: list[Entry]) -> Iterator[None]:
        """These entries are in the store meanwhile; what is compared is what happens from here on."""
        self.change([Add(entry) for entry in entries])
        self._lines_seen = len(self.gate.log_lines())
        self._delivered_seen = len(self.sink.deliveries)
        try:
            yield
        except BaseException:
            self._expected = self.counts()
            raise
        finally:
            self.change([removal(entry) for entry in entries])
            self._empty_hold_queue()

    def counts(self) -> Counts:
        """What /metrics shows now."""
        found: Counts = Counter()
        for (name, labels), value in self.gate.metrics().items():
            if name in _METRICS and value:
                short, *wanted = _METRICS[name]
                found[short, *(dict(labels)[label] for label in wanted)] += int(value)
            if name in ("sendgate_exceptions_total", "sendgate_store_faults_total"):
                assert value == 0, f"{name} {value}\n{self.gate.log_text()[-2000:]}"
        return found

    def expect(self, counts: Counts) -> None:
        """These are added to the metrics, soon, and nothing else is."""
        self._expected = self._expected + counts
        with suppress(TimeoutError):
            wait_until(lambda: self.counts() == self._expected, SETTLED_SECONDS, "the counts are right")
        found, self._expected, expected = self.counts(), self.counts(), self._expected
        assert found == expected, f"too much: {found - expected}, missing: {expected - found}"

    def expect_deliveries(self, delivered: Counter[str], held: Counter[str] | None = None) -> None:
        """These recipients come to the sink, those stay in the hold queue, and nobody else has mail."""

        def on_the_way() -> bool:
            return any(message["queue_name"] != "hold" for message in self.mta.queue())

        wait_until(lambda: not on_the_way(), SETTLED_SECONDS, "the queue is empty but for what is held")
        assert self.delivered() == delivered
        in_hold = Counter(to["address"] for message in self.mta.queue() for to in message["recipients"])
        assert in_hold == (held or Counter())

    def delivered(self) -> Counter[str]:
        """The recipients that came to the sink since the last script began."""
        return Counter(to for delivery in self.sink.deliveries[self._delivered_seen :] for to in delivery.recipients)

    def log_since(self) -> list[dict[str, Any]]:
        """The gate's log lines since the last script began."""
        return self.gate.log_lines()[self._lines_seen :]

    def _expect_log(self, logged: Counts) -> None:
        """One line for each recipient that did not simply pass, and none for one that did."""
        lines = [line for line in self.log_since() if line["event"] == "recipient"]
        found = Counter((line["campaign"], line["decision"], line.get("reason", line["cause"])) for line in lines)
        assert found == logged
        assert not [line for line in self.log_since() if line["level"] == "error"]

    def _empty_hold_queue(self) -> None:
        if self.mta.queue():
            self.mta.delete("hold")

    def _let_log_in(self) -> None:
        """A user data base of Cyrus SASL for this Postfix. Debian's looks for its settings beside main.cf."""
        folder = self.mta.config / "sasl"
        folder.mkdir(exist_ok=True)
        users = folder / "users.db"
        for login in self._variant.logins:
            command = ["saslpasswd2", "-p", "-c", "-f", str(users), "-u", "sender.test", login]
            subprocess.run(command, input=b"secret", check=True, capture_output=True)
        shutil.chown(users, self.mta.owner)
        (folder / "smtpd.conf").write_text(
            f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {users}\nmech_list: PLAIN LOGIN\n"
        )
        self.mta.set(smtpd_sasl_auth_enable="yes", smtpd_tls_auth_only="no", smtpd_sasl_local_domain="sender.test")
        self.mta.reload()

        def offered() -> bool:
            with smtplib.SMTP("127.0.0.1", self.mta.port) as client:
                client.ehlo()
                return bool(client.esmtp_features.get("auth"))

        wait_until(offered, SETTLED_SECONDS, "Postfix lets users log in")


def make_gate(
    settings: dict[str, Any], environment: dict[str, str] | None = None, kind: Callable[..., Gate] = Gate
) -> Gate:
    """A gate that is not yet started. `{folder}` in settings is its folder; a secret is in the file `secret` there."""
    gate = kind(settings, environment)
    gate.config.write_text(gate.config.read_text().replace("{folder}", str(gate.folder)))
    (gate.folder / "secret").write_bytes(SECRET + b"\n")
    return gate


def change(
    gate: Gate, changes: list[Change], keyer: Keyer | None = None, matches: dict[str, bool] | None = None
) -> None:
    """Write changes to a gate's store, which is made when it is not there."""
    origin = EmbeddedOrigin(gate.store, keyer or Keyer(), MAX_SIZE, matches)
    try:
        origin.apply(changes)
    finally:
        origin.close()


def removal(entry: Entry) -> Remove:
    """What takes exactly this entry away again."""
    return Remove(entry.subject, entry.reason, entry.scope, entry.list)
