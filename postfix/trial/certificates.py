"""Certificates for a trial: a CA, what it signed for a server and for a client, and a CA that signed neither.

In: a folder. Out: PEM files in it, good for ten years; the server is 127.0.0.1 and localhost, and may act as a
client as well, as servers do among themselves. Refused: `TrialError` when openssl is missing or fails.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trial.mta import TrialError

DAYS = "3650"

# A configuration of its own: Debian's would add extensions of a CA to every certificate.
CONFIG = """[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True)
class Certificates:
    """Where the files are. other_ca: a CA that signed none of them."""

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path
    other_ca: Path


def make_certificates(folder: Path) -> Certificates:
    """Make them in the folder, which is made if need be."""
    if shutil.which("openssl") is None:
        raise TrialError("openssl is missing; on Debian: apt-get install openssl")
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "openssl.cnf"
    config.write_text(CONFIG)
    ca, ca_key = _make(config, "ca", "ca")
    server_cert, server_key = _make(config, "server", "server", ca, ca_key)
    client_cert, client_key = _make(config, "client", "client", ca, ca_key)
    other_ca, _ = _make(config, "other-ca", "ca")
    return Certificates(ca, server_cert, server_key, client_cert, client_key, other_ca)


def tls_arguments(certificates: Certificates | None) -> dict[str, Any]:
    """What redis-py's clients want for TLS with the client certificate."""
    if certificates is None:
        return {}
    return {
        "ssl": True,
        "ssl_ca_certs": str(certificates.ca),
        "ssl_certfile": str(certificates.client_cert),
        "ssl_keyfile": str(certificates.client_key),
    }


def _make(config: Path, name: str, kind: str, ca: Path | None = None, ca_key: Path | None = None) -> tuple[Path, Path]:
    """One certificate and its key, with the extensions of its kind; without a CA it signs itself."""
    certificate, key = config.parent / f"{name}.crt", config.parent / f"{name}.key"
    command = ["openssl", "req", "-x509", "-config", str(config), "-extensions", kind, "-subj", f"/CN={name}.test"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", DAYS]
    command += ["-keyout", str(key), "-out", str(certificate)]
    if ca and ca_key:
        command += ["-CA", str(ca), "-CAkey", str(ca_key)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise TrialError(f"{' '.join(command)}: {done.stderr.strip()}")
    return certificate, key
