"""A name server with the records that senders publish: DKIM keys and DMARC policies.

In: records by zone. Out: NSD on port 53 of a loopback address of its own. Refused: TrialError when it does not start.
A zone without records is one that NSD knows of and cannot serve: SERVFAIL.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from trial.mta import TrialError
from trial.waiting import wait_until

Records = Mapping[str, Sequence[str]]

_SETTINGS = """server:
  ip-address: {address}@53
  username: ""
  database: ""
  zonesdir: "{folder}"
  zonelistfile: "{folder}/zone.list"
  xfrdfile: ""
  xfrdir: "{folder}"
  pidfile: ""
  server-count: 1
remote-control:
  control-enable: no
"""
_ZONE = 'zone:\n  name: "{name}"\n  zonefile: "{name}.zone"\n'
_HEAD = "$TTL 1\n@ SOA ns hostmaster 1 3600 600 86400 1\n@ NS ns\nns A {address}\n"


class NameServer:
    """A running name server. `address` is known from the start; `serve` replaces all records."""

    def __init__(self, folder: Path, records: Records) -> None:
        number = os.getpid()
        self.address = f"127.53.{number // 250 % 250}.{number % 250 + 1}"
        self._folder = folder
        self._records = records
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> NameServer:
        self.serve(self._records)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def serve(self, records: Records) -> None:
        """Start anew with these records."""
        self.stop()
        settings = _SETTINGS.format(address=self.address, folder=self._folder)
        for name, lines in records.items():
            settings += _ZONE.format(name=name)
            path = self._folder / f"{name}.zone"
            path.unlink(missing_ok=True)
            if lines:
                path.write_text(_HEAD.format(address=self.address) + "\n".join([*lines, ""]))
        (self._folder / "nsd.conf").write_text(settings)
        with (self._folder / "nsd.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["nsd", "-d", "-c", str(self._folder / "nsd.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._answers, 10, "the name server answers")

    def stop(self) -> None:
        """End it. Harmless when it does not run."""
        if self._process:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise TrialError(f"NSD ended at once\n{(self._folder / 'nsd.log').read_text()}")
        with socket.socket() as probe:
            return probe.connect_ex((self.address, 53)) == 0
