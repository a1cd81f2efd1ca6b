"""A program: the plain Prometheus in a namespace of Kubernetes whose DNS knows two sender pods; what it scrapes.

In: a folder with prometheus.yml; own mount and network namespaces (`unshare --mount --net`), as root. Out: on standard
output the samples of `up` of job sendgate, as JSON, once two pods are scraped. Refused: TimeoutError when they are not.
"""

from __future__ import annotations

import fcntl
import http.server
import json
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

from monitoring.servers import Prometheus, running
from trial.waiting import wait_until

PATIENCE = 40
SERVICE = "sender-pods.demo.svc.cluster.local."
ZONE = f"""\
$ORIGIN cluster.local.
@ 5 IN SOA ns. host. 1 5 5 5 5
@ 5 IN NS ns.cluster.local.
ns 5 IN A 127.0.0.1
_metrics._tcp.{SERVICE} 5 IN SRV 0 50 9102 sender-0.{SERVICE}
_metrics._tcp.{SERVICE} 5 IN SRV 0 50 9102 sender-1.{SERVICE}
sender-0.{SERVICE} 5 IN A 127.0.0.2
sender-1.{SERVICE} 5 IN A 127.0.0.3
"""
# As the kubelet writes it.
RESOLVER = """\
search demo.svc.cluster.local svc.cluster.local cluster.local
nameserver 127.0.0.1
options ndots:5
"""
NSD = """\
server:
  ip-address: 127.0.0.1
  port: 53
  username: ""
  zonesdir: "{0}"
  database: ""
  pidfile: ""
  zonelistfile: "{0}/zones"
  xfrdfile: ""
remote-control:
  control-enable: no
zone:
  name: cluster.local
  zonefile: zone
"""
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


class Pod(http.server.BaseHTTPRequestHandler):
    """Metrics of a gate, as few as possible."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"sendgate_store_up 1\n")

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


def raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))


def pods_up(server: Prometheus) -> bool:
    try:
        return server.value('sum(up{job="sendgate"})') == 2
    except OSError:
        return False


def main(folder: Path) -> None:
    raise_loopback()
    for name, text in {"zone": ZONE, "resolv.conf": RESOLVER, "nsd.conf": NSD.format(folder)}.items():
        (folder / name).write_text(text)
    subprocess.run(["mount", "--bind", folder / "resolv.conf", Path("/etc/resolv.conf").resolve()], check=True)
    pods = http.server.ThreadingHTTPServer(("0.0.0.0", 9102), Pod)
    threading.Thread(target=pods.serve_forever, daemon=True).start()
    (folder / "dns").mkdir()
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (
        running(["nsd", "-d", "-c", f"{folder}/nsd.conf"], folder / "dns"),
        running([*command, "--web.listen-address=127.0.0.1:9090"], folder),
    ):
        server = Prometheus(9090)
        wait_until(lambda: pods_up(server), PATIENCE, "both pods are scraped")
        print(json.dumps(server.query('up{job="sendgate"}')))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
