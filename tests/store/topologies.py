"""Every kind of Redis that lists can be shared over, each a real one on loopback, with the settings that name it.

In: nothing; each is started when it is first asked for and ended with the process. Out: a `Place`.
"""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from sendgate.settings import Settings
from store.parts import BUCKETS, SHARDS
from trial.certificates import Certificates, make_certificates
from trial.redis_cluster import RedisCluster
from trial.redis_sentinel import RedisSentinels
from trial.redis_server import EVERYTHING, RedisServer

USER, PASSWORD = "app", "pa@ss:w/or%64d-ö"
SENTINEL_PASSWORD, WRONG_PASSWORD = "sentinels:only", "wr0ng:one"
ACL = ("user default off ~* &* +@all", f"user {USER} on >{PASSWORD} {EVERYTHING}")
TIMEOUT_SECONDS = 3

Servers = TypeVar("Servers", RedisServer, RedisCluster, RedisSentinels)


@dataclass(frozen=True)
class Place:
    """A running Redis. store: the settings that name it; servers: all that have data; sentinels: that watch them."""

    store: Mapping[str, Any]
    servers: Sequence[RedisServer]
    cluster: RedisCluster | None = None
    sentinels: Sequence[RedisServer] = ()

    def section(self, **store: Any) -> dict[str, Any]:
        """The settings' section `store` for lists here. store: more of it, or other values; None for the default."""
        usual = {"shards": SHARDS, "buckets": BUCKETS, "timeout": TIMEOUT_SECONDS, "resync_spread": 0}
        return {**usual, **self.store, **store}

    def settings(self, **store: Any) -> Settings:
        return Settings.model_validate({"store": self.section(**store)})

    def let(self, user: str, rules: Sequence[str]) -> None:
        """Make a user with these rules, and no others, on every server."""
        for server in self.servers:
            server.command("ACL", "SETUSER", user, "reset", *rules)

    def flush(self) -> None:
        """Forget all data and scripts."""
        for server in self.servers:
            if server.client.info("replication")["role"] == "master":
                server.command("FLUSHALL")
                server.command("SCRIPT FLUSH")


@cache
def folder() -> Path:
    """A folder for all of this process, with the files that settings name."""
    made = tempfile.TemporaryDirectory(prefix="sendgate-topologies-")
    atexit.register(made.cleanup)
    path = Path(made.name)
    (path / "password").write_text(f"{PASSWORD}\n")
    (path / "sentinel-password").write_text(f"{SENTINEL_PASSWORD}\n")
    (path / "wrong-password").write_text(f"{WRONG_PASSWORD}\n")
    return path


@cache
def certificates() -> Certificates:
    return make_certificates(folder() / "certificates")


@cache
def plain_server() -> Place:
    server = RedisServer(folder() / "server", acl=ACL)
    return Place(_named(server.url), [_started(server)])


@cache
def tls_server() -> Place:
    server = RedisServer(folder() / "tls-server", acl=ACL, certificates=certificates())
    return Place({**_named(server.url), **_tls()}, [_started(server)])


@cache
def cluster() -> Place:
    nodes = RedisCluster(folder() / "cluster", acl=ACL)
    return Place(_named(nodes.url), _started(nodes).nodes, nodes)


@cache
def tls_cluster() -> Place:
    nodes = RedisCluster(folder() / "tls-cluster", acl=ACL, certificates=certificates())
    return Place({**_named(nodes.url), **_tls()}, _started(nodes).nodes, nodes)


@cache
def sentinel() -> Place:
    watched = RedisSentinels(folder() / "sentinel", replicas=1, acl=ACL, sentinel_password=SENTINEL_PASSWORD)
    store = {**_named(watched.url), "sentinel_password_file": str(folder() / "sentinel-password")}
    return Place(store, _started(watched).servers, sentinels=watched.sentinels)


PLACES: dict[str, Callable[[], Place]] = {
    "tls-server": tls_server,
    "cluster": cluster,
    "tls-cluster": tls_cluster,
    "sentinel": sentinel,
}


def with_user(url: str, user: str) -> str:
    """A URL without user, with one."""
    return url.replace("://", f"://{user}@")


def _named(url: str) -> dict[str, str]:
    return {"url": with_user(url, USER), "password_file": str(folder() / "password")}


def _tls() -> dict[str, str]:
    made = certificates()
    return {
        "tls_ca_file": str(made.ca),
        "tls_cert_file": str(made.client_cert),
        "tls_key_file": str(made.client_key),
    }


def _started(servers: Servers) -> Servers:
    servers.start()
    atexit.register(servers.stop)
    return servers
