"""A private primary with its replicas, watched by Redis Sentinels.

In: a folder, how many replicas and Sentinels, the name of the set, and what a single server takes. Out: the servers,
the URL that names the Sentinels, the server that they call the primary, and failovers: a plain one, and one whose
new primary never saw the last writes.
Refused: `TrialError` when something cannot start, TimeoutError when the Sentinels do not agree in time.

The Sentinels look more often than they do by default, so that a failover takes three seconds and not twenty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import redis

from trial.background import Running
from trial.certificates import Certificates
from trial.mta import TrialError
from trial.ports import LOOPBACK
from trial.redis_server import ADMIN, ADMIN_PASSWORD, RedisServer, stop_all
from trial.waiting import wait_until

TIMEOUT = 40

# Milliseconds, and what they are by default. A busy machine makes Sentinels mistrust their clocks (TILT).
PACE = {
    "INFO-PERIOD": 200,  # 10000
    "PING-PERIOD": 400,  # 1000; a replica not heard of for five of them cannot be promoted
    "ASK-PERIOD": 200,  # 1000
    "PUBLISH-PERIOD": 100,  # 2000
    "TILT-PERIOD": 1000,  # 30000
    "ELECTION-TIMEOUT": 2000,  # 10000
}


class Sentinel(RedisServer):
    """One Sentinel process."""

    mode = ("--sentinel",)

    def start(self) -> None:
        """Start it, and make it look more often: it does not keep that over a restart."""
        super().start()
        self.command("SENTINEL", "DEBUG", *(word for pair in PACE.items() for word in pair))


class RedisSentinels(Running):
    """One set. Use it as a context manager, or call start and stop.

    servers: the first primary, then its replicas. password: of the servers' default user, sentinel_password: of the
    Sentinels'.
    """

    def __init__(
        self,
        folder: Path,
        replicas: int = 2,
        sentinels: int = 3,
        name: str = "sendgate",
        *,
        certificates: Certificates | None = None,
        password: str = "",
        sentinel_password: str = "",
        acl: Sequence[str] = (),
        extra: Sequence[str] = (),
        appendonly: bool = False,
        program: str = "redis-server",
        down_after_ms: int = 500,
        failover_timeout_ms: int = 2000,
    ) -> None:
        self.name = name
        self.certificates = certificates
        self.servers = [
            RedisServer(
                folder / f"server-{number}",
                certificates=certificates,
                password=password,
                acl=acl,
                extra=extra,
                appendonly=appendonly,
                program=program,
            )
            for number in range(1 + replicas)
        ]
        settings = [
            f"sentinel monitor {name} {LOOPBACK} {self.servers[0].port} {sentinels // 2 + 1}",
            f"sentinel down-after-milliseconds {name} {down_after_ms}",
            f"sentinel failover-timeout {name} {failover_timeout_ms}",
            f"sentinel parallel-syncs {name} {max(1, replicas)}",
            f"sentinel auth-user {name} {ADMIN}",
            f"sentinel auth-pass {name} {ADMIN_PASSWORD}",
            f"sentinel sentinel-user {ADMIN}",
            f"sentinel sentinel-pass {ADMIN_PASSWORD}",
        ]
        self.sentinels = [
            Sentinel(
                folder / f"sentinel-{number}",
                certificates=certificates,
                password=sentinel_password,
                extra=settings,
                program=program,
            )
            for number in range(sentinels)
        ]

    @property
    def url(self) -> str:
        """The Sentinels and the name: without user and password."""
        hosts = ",".join(f"{LOOPBACK}:{sentinel.port}" for sentinel in self.sentinels)
        return f"{'rediss' if self.certificates else 'redis'}+sentinel://{hosts}/{self.name}/0"

    @property
    def primary(self) -> RedisServer:
        """The server that all living Sentinels name now. Raises TrialError while they do not agree."""
        named = self._named()
        if named is None:
            raise TrialError("the Sentinels do not agree on a primary")
        return named

    def start(self) -> None:
        """Start all and wait until the Sentinels know all. A failed start leaves no process.

        After a stop the servers go on in the roles that they had.
        """
        try:
            for server in self.servers:
                server.start()
            if not self._watched():
                for server in self.servers[1:]:
                    server.replicate(self.servers[0])
            for sentinel in self.sentinels:
                sentinel.start()
            self.wait_until_settled()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all, the Sentinels first: they shall not see a failure. Harmless when they do not run."""
        stop_all([*self.sentinels, *self.servers])

    def wait_until_settled(self) -> None:
        """Wait until the living Sentinels see the living servers well, and these follow one primary with all data."""
        wait_until(self._settled, TIMEOUT, "the Sentinels agree, and the replicas follow the primary")

    def fail_over(self) -> RedisServer:
        """Kill the primary and wait until the Sentinels name another, which acts as one. Returns that server.

        What was written before is not lost; what is written meanwhile may be.
        """
        lost, _ = self._with_all_data()
        lost.kill()
        return self._successor_of(lost)

    def fail_over_losing_writes(self, write: Callable[[], object]) -> RedisServer:
        """A failover whose new primary has all but what `write` wrote to the old one. Returns the new one.

        A frozen replica alone would not do: what the primary sends it waits in the kernel. So its link is cut, too,
        and it cannot make a new one before the primary is dead.
        """
        lost, replicas = self._with_all_data()
        try:
            for replica in replicas:
                replica.pause()
            wait_until(lambda: _cut_off(lost), TIMEOUT, "the primary has lost its replicas")
            write()
            if not _cut_off(lost):
                raise TrialError("a replica came back to the primary during the writes")
            lost.kill()
        finally:
            for replica in replicas:
                replica.resume()
        return self._successor_of(lost)

    def _with_all_data(self) -> tuple[RedisServer, list[RedisServer]]:
        """The primary and its living replicas, as soon as these have all that it has."""
        self.wait_until_settled()
        primary = self.primary
        replicas = [server for server in self.servers if server.runs and server is not primary]
        wanted = _offset(primary)
        wait_until(
            lambda: all(_offset(replica) >= wanted for replica in replicas), TIMEOUT, "the replicas have all data"
        )
        return primary, replicas

    def _successor_of(self, lost: RedisServer) -> RedisServer:
        def successor() -> RedisServer | None:
            named = self._named()
            return named if named is not None and named is not lost and _is_primary(named) else None

        return wait_until(successor, TIMEOUT, f"the Sentinels name another primary than port {lost.port}")

    def _named(self) -> RedisServer | None:
        ports = {self._master(sentinel)["port"] for sentinel in self._living_sentinels()}
        if len(ports) != 1:
            return None
        return next((server for server in self.servers if server.port in ports), None)

    def _settled(self) -> bool:
        primary = self._named()
        if primary is None or not primary.runs or not _is_primary(primary):
            return False
        replicas = [server for server in self.servers if server.runs and server is not primary]
        try:
            followed = all(replica.follows(primary) for replica in replicas)
        except redis.ConnectionError:  # it loads the data of the primary
            return False
        return followed and all(self._sees(sentinel, primary, replicas) for sentinel in self._living_sentinels())

    def _sees(self, sentinel: RedisServer, primary: RedisServer, replicas: Sequence[RedisServer]) -> bool:
        """Whether a Sentinel finds nothing wrong with the living servers and the other living Sentinels."""
        seen = {one["port"]: one for one in sentinel.command("SENTINEL SLAVES", self.name)}
        others = {one["port"]: one for one in sentinel.command("SENTINEL SENTINELS", self.name)}
        return (
            self._master(sentinel)["flags"] == "master"
            and all(_well(seen.get(replica.port), primary) for replica in replicas)
            and all(
                others.get(other.port, {}).get("flags") == "sentinel"
                for other in self._living_sentinels()
                if other is not sentinel
            )
        )

    def _master(self, sentinel: RedisServer) -> dict[str, Any]:
        told: dict[str, Any] = sentinel.command("SENTINEL MASTER", self.name)
        return told

    def _living_sentinels(self) -> list[Sentinel]:
        return [sentinel for sentinel in self.sentinels if sentinel.runs]

    def _watched(self) -> bool:
        """Whether Sentinels have run in these folders before: then the servers' files tell who follows whom."""
        return any((sentinel.folder / "output").exists() for sentinel in self.sentinels)


def _is_primary(server: RedisServer) -> bool:
    try:
        return bool(server.client.info("replication")["role"] == "master")
    except redis.ConnectionError:
        return False


def _well(replica: dict[str, Any] | None, primary: RedisServer) -> bool:
    """Whether a Sentinel's view of a replica makes it fit for a failover."""
    return (
        replica is not None
        and replica["flags"] == "slave"
        and replica["master-link-status"] == "ok"
        and int(replica["master-port"]) == primary.port
    )


def _offset(server: RedisServer) -> int:
    """How far a server is in the stream of writes."""
    told = server.client.info("replication")
    return int(told["master_repl_offset" if told["role"] == "master" else "slave_repl_offset"])


def _cut_off(primary: RedisServer) -> bool:
    """End the primary's links to replicas. Returns whether it has none."""
    primary.command("CLIENT", "KILL", "TYPE", "replica")
    return bool(primary.client.info("replication")["connected_slaves"] == 0)
