"""The whole way of a mail: Sendgate, filters as sidecars with the files that are shipped, Postfix, and a sink.

In: names of components, other files for their ConfigMaps (keys and tables of the domains below), settings of main.cf.
Out: a `Chain` that takes mail by SMTP. The order of milters and their options are the manifests' and the container's.

Domains: example.com and example.org have a key and a policy; example.net has neither; nokey.example has its line in the
signing table and no key; other.example is signed with the key of example.com.
"""

from __future__ import annotations

import grp
import re
import shutil
import smtplib
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

from filters.manifest import SOCKETS, Component, component, milter_options
from filters.sidecar import Sidecar
from filters.zone import NameServer
from sendgate.entry import Add
from smtp.arena import change, make_gate
from smtp.script import entry_of
from trial.mta import Postfix, command_path, shipped_milter
from trial.sink import Delivery, Sink

UID = 10002
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
"""The text that SpamAssassin counts 1000 for."""
CLIENTS = ("203.0.113.9", "[2001:db8::25]")
"""Clients elsewhere, as injectors in other pods are."""
SELECTORS = {"example.com": "s1", "example.org": "s2"}
TABLES = {
    "signing-table": "*@example.com s1\n*@example.org s2\n*@nokey.example s1\n*@other.example foreign\n",
    "key-table": "".join(
        [
            "s1 %:s1:/run/secrets/opendkim-keys/%.s1.private\n",
            "s2 %:s2:/run/secrets/opendkim-keys/%.s2.private\n",
            "foreign example.com:s1:/run/secrets/opendkim-keys/example.com.s1.private\n",
        ]
    ),
}
POLICY = '_dmarc TXT "v=DMARC1; p=reject"'


class Keys:
    """The Secret opendkim-keys, as the kubelet lays it out; and what is published of it."""

    def __init__(self, folder: Path) -> None:
        self.secret = folder
        content = folder / "..data_1"
        content.mkdir(parents=True)
        (folder / "..data").symlink_to(content.name)
        self.published: dict[str, str] = {}
        for domain, selector in SELECTORS.items():
            command = ["opendkim-genkey", "-b", "2048", "-d", domain, "-s", selector, "-D", str(content)]
            subprocess.run(command, check=True)
            self.published[domain] = (content / f"{selector}.txt").read_text().partition(" ; ")[0]
            (content / f"{selector}.txt").unlink()
            name = f"{domain}.{selector}.private"
            (content / f"{selector}.private").rename(content / name)
            (content / name).chmod(0o440)
            (folder / name).symlink_to(f"..data/{name}")
        subprocess.run(["chgrp", "-R", str(grp.getgrnam("postfix").gr_gid), str(folder)], check=True)
        folder.chmod(0o3777)

    def records(self) -> dict[str, list[str]]:
        """All that is published: a key and a policy for each domain."""
        zones = {domain: [POLICY, record] for domain, record in self.published.items()}
        return zones | {"other.example": [POLICY], "nokey.example": [POLICY]}


class Chain:
    """The parts. Context manager; nothing is left behind. environment: by container, over the manifest's."""

    def __init__(
        self,
        components: Sequence[str],
        keys: Keys,
        name_server: NameServer,
        environment: Mapping[str, Mapping[str, str]] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="trial-filters-"))
        self._folder.chmod(0o755)  # Postfix's user must reach the sockets
        self._sockets = self._folder / "filters"
        self._sockets.mkdir()
        self._sockets.chmod(0o2775)
        subprocess.run(["chgrp", "postfix", str(self._sockets)], check=True)
        self._components = [component(name) for name in components]
        self._keys, self._name_server = keys, name_server
        self._environment = environment or {}
        self._parameters = parameters
        self._stack = ExitStack()
        self.sidecars: dict[str, Sidecar] = {}

    def __enter__(self) -> Chain:
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            gate = make_gate({"milter": {"workers": 1}})
            stack.callback(gate.remove)
            change(gate, [Add(entry_of("hard_bounce gone@example.com"))])
            self.gate = stack.enter_context(gate)
            for one in self._components:
                self._start(one, stack)
            self.sink = stack.enter_context(Sink())
            self.mta = stack.enter_context(
                Postfix([gate.milter, *self.milters()], self._settings(), f"[127.0.0.1]:{self.sink.port}")
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sidecar in self.sidecars.values():
            sidecar.kill()  # told to end, each libmilter takes five seconds
        self._stack.close()

    def smtpd_milters(self, **changed: str) -> str:
        """All of smtpd_milters; changed: other values of the further milters' options."""
        further = ", ".join(self.milters())
        for name, value in changed.items():
            further = re.sub(rf"{name}=[^, ]+", f"{name}={value}", further)
        return f"{shipped_milter(self.gate.milter)}, {further}"

    def file(self, config_map: str, name: str) -> Path:
        """A file as its containers see it, to be changed while they are down."""
        return self._folder / config_map / name

    def release_all(self) -> None:
        """Release all that is held."""
        command = [command_path("postsuper"), "-c", str(self.mta.config), "-H", "ALL"]
        subprocess.run(command, check=True, capture_output=True)

    def milters(self) -> list[str]:
        """The further milters, as the Postfix container would write them."""
        found = sorted(item for one in self._components for item in one.milters.items())
        paths = [value.replace(f"unix:{SOCKETS}", f"unix:{self._sockets}") for _, value in found]
        return [f"{{ {path}, {milter_options()} }}" for path in paths]

    def send(
        self,
        sender: str,
        *recipients: str,
        text: str = "hello",
        more: str = "",
        mta: Postfix | None = None,
        client: str = "",
    ) -> dict[str, tuple[int, bytes]]:
        """Send a campaign's mail; more: further header lines; mta: another one; client: comes from there.

        Returns the refused recipients.

        Raises smtplib's error for the reply after the content.
        """
        lines = [
            f"From: News <{sender}>",
            "To: anna@example.com",
            "Subject: News",
            "Date: Sun, 22 Nov 2026 13:00:00 +0000",
            f"Message-ID: <1.2.3@{sender.partition('@')[2]}>",
            "List-Unsubscribe: <https://example.com/u/1>",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
            *more.splitlines(),
            "",
            text,
            "",
        ]
        with smtplib.SMTP("127.0.0.1", (mta or self.mta).port, timeout=90) as session:
            if client:
                address = client.strip("[]")
                told = session.docmd("XCLIENT", f"ADDR=IPV6:{address}" if ":" in address else f"ADDR={address}")
                assert told[0] == 220, told
            envelope = "bounce+1@example.com"
            return session.sendmail(envelope, recipients or ("anna@example.com",), "\r\n".join(lines))

    def reply(
        self, sender: str, text: str = "hello", more: str = "", mta: Postfix | None = None, client: str = ""
    ) -> str:
        """The reply to a mail that does not pass, as `550 5.7.1 text`; at whichever step it comes."""
        try:
            self.send(sender, text=text, more=more, mta=mta, client=client)
        except smtplib.SMTPRecipientsRefused as error:
            ((code, told),) = error.recipients.values()
        except smtplib.SMTPResponseException as error:
            code, told = error.smtp_code, error.smtp_error if isinstance(error.smtp_error, bytes) else b""
        else:
            return "250"
        return f"{code} {told.decode()}"

    def send_refused(self, sender: str, *recipients: str, text: str = "hello") -> None:
        """Send a mail that is refused, in part at RCPT and for the rest then or at the end."""
        with suppress(smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError):
            self.send(sender, *recipients, text=text)
            raise AssertionError("it was taken")

    def deliver(self, sender: str, *recipients: str, text: str = "hello", more: str = "", client: str = "") -> Delivery:
        """Send a mail that passes. Returns it as it left."""
        before = len(self.sink.deliveries)
        self.send(sender, *recipients, text=text, more=more, client=client)
        return self.sink.wait_for(before + 1)[before]

    def _start(self, one: Component, stack: ExitStack) -> None:
        one.write_config_maps(self._folder, TABLES)
        volumes = {"filters": self._sockets, "opendkim-keys": self._keys.secret}
        for name, volume in one.volumes.items():
            if "configMap" in volume:
                volumes[name] = self._folder / volume["configMap"]["name"]
                if mode := volume["configMap"].get("defaultMode"):
                    for file in volumes[name].iterdir():
                        file.chmod(mode)
        for name, container in one.containers.items():
            told = self._environment.get(name)
            sidecar = Sidecar(container, volumes, self._folder, self._name_server.address, told)
            self.sidecars[name] = sidecar
            stack.callback(sidecar.kill)
            sidecar.start()

    def _settings(self) -> dict[str, str]:
        own = {"queue_run_delay": "1s", "minimal_backoff_time": "2s", "maximal_backoff_time": "3s"}
        own |= {
            "inet_protocols": "all",
            "smtpd_authorized_xclient_hosts": "127.0.0.1",
            "mynetworks": f"127.0.0.0/8 {' '.join(CLIENTS)}",
        }
        if self._parameters is not None:
            return own | dict(self._parameters)
        return own | {name: value for one in self._components for name, value in one.parameters.items()}
