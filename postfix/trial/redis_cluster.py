"""A private Redis Cluster: masters that share the slots evenly, in their order, and replicas if wanted.

In: a folder, the number of masters and of replicas of each, and what a single server takes. Out: the servers
(masters first, then the replicas in the order of their masters), the URL, and what happens to a cluster: a node is
killed and comes back, a slot moves, a replica takes over.
Refused: `TrialError` when it cannot start, TimeoutError when the nodes do not agree in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import redis

from trial.background import Running
from trial.certificates import Certificates
from trial.mta import TrialError
from trial.ports import LOOPBACK
from trial.redis_server import ADMIN, ADMIN_PASSWORD, RedisServer, stop_all
from trial.waiting import wait_until

SLOTS = 16384
TIMEOUT = 30
MIGRATE_TIMEOUT_MS = 5000
BATCH = 100


@dataclass(frozen=True)
class Member:
    """A node as another one, or itself, sees it."""

    id: str
    flags: frozenset[str]
    master_id: str
    connected: bool
    slots: tuple[range, ...]

    @property
    def well(self) -> bool:
        return self.connected and not self.flags & {"fail", "fail?", "handshake", "noaddr"}

    def has(self, slot: int) -> bool:
        return "master" in self.flags and any(slot in part for part in self.slots)


class RedisCluster(Running):
    """One cluster. Use it as a context manager, or call start and stop.

    full_coverage: whether all of it refuses to serve when some slots have no node.
    """

    def __init__(
        self,
        folder: Path,
        nodes: int = 3,
        replicas_each: int = 0,
        *,
        certificates: Certificates | None = None,
        password: str = "",
        acl: Sequence[str] = (),
        extra: Sequence[str] = (),
        appendonly: bool = False,
        program: str = "redis-server",
        full_coverage: bool = True,
        node_timeout_ms: int = 1000,
    ) -> None:
        self.certificates = certificates
        settings = cluster_settings(full_coverage, node_timeout_ms, certificates is not None)
        self.nodes = [
            RedisServer(
                folder / f"node-{number}",
                certificates=certificates,
                password=password,
                acl=acl,
                extra=[*settings, *extra],
                appendonly=appendonly,
                program=program,
            )
            for number in range(nodes * (1 + replicas_each))
        ]
        self._masters = nodes
        self._replicas_each = replicas_each
        self._joined = False

    @property
    def url(self) -> str:
        """The masters it began with: without user and password."""
        hosts = ",".join(f"{LOOPBACK}:{node.port}" for node in self.nodes[: self._masters])
        return f"{'rediss' if self.certificates else 'redis'}+cluster://{hosts}"

    def start(self) -> None:
        """Start all nodes and wait until they agree; the first time they are joined. A failed start leaves none."""
        try:
            for node in self.nodes:
                node.start()
            if not self._joined:
                self._join()
                self._joined = True
            self.wait_until_settled()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all nodes; harmless when they do not run."""
        stop_all(self.nodes)

    def wait_until_settled(self) -> None:
        """Wait until every living node says that the cluster is ok, and that it knows and reaches all living ones, and
        every replica is linked to its master."""
        wait_until(self._settled, TIMEOUT, "the nodes of the cluster agree")

    def kill(self, index: int) -> None:
        """Kill a node; the others notice after their time-out."""
        self.nodes[index].kill()

    def restart(self, index: int) -> None:
        """Start a node (again), and wait until the cluster has it back, in whatever role."""
        self.nodes[index].restart()
        self.wait_until_settled()

    def wait_failover(self, index: int) -> RedisServer:
        """Kill a master, and wait until one of its replicas has its slots in all eyes. Returns that replica."""
        lost = self._self(index)
        replicas = [number for number in self._living() if self._self(number).master_id == lost.id]
        if not replicas or not lost.slots:
            raise TrialError(f"node {index} is no master with slots and a replica")
        self.kill(index)
        slot = lost.slots[0].start

        def successor() -> RedisServer | None:
            owners = {self._seen_owner(number, slot) for number in self._living()}
            first = owners.pop()
            return self.nodes[first] if not owners and first in replicas and self._settled() else None

        return wait_until(successor, TIMEOUT, f"a replica serves instead of node {index}")

    def owner(self, slot: int) -> int:
        """The index of the living node that serves a slot."""
        for index in self._living():
            if self._self(index).has(slot):
                return index
        raise TrialError(f"no living node serves slot {slot}")

    def move_slot(self, slot: int, to_index: int) -> None:
        """Move a slot and its keys to another master, and wait until every living node knows."""
        if self.owner(slot) == to_index:
            return
        self.begin_move(slot, to_index)
        while self.move_keys(slot, to_index):
            pass
        self.end_move(slot, to_index)

    def begin_move(self, slot: int, to_index: int) -> None:
        """Open a slot for a move: from now on its owner answers ASK for keys that it does not have (any more)."""
        source, target = self.owner(slot), to_index
        self.nodes[target].command("CLUSTER", "SETSLOT", slot, "IMPORTING", self._self(source).id)
        self.nodes[source].command("CLUSTER", "SETSLOT", slot, "MIGRATING", self._self(target).id)

    def move_keys(self, slot: int, to_index: int, most: int = BATCH) -> int:
        """Move some keys of a slot whose move has begun. Returns how many; 0 when there are none left."""
        source = self.nodes[self.owner(slot)]
        keys: list[bytes] = source.command("CLUSTER", "GETKEYSINSLOT", slot, most)
        if keys:
            address = (LOOPBACK, self.nodes[to_index].port, "", 0, MIGRATE_TIMEOUT_MS)
            source.command("MIGRATE", *address, "AUTH2", ADMIN, ADMIN_PASSWORD, "KEYS", *keys)
        return len(keys)

    def end_move(self, slot: int, to_index: int) -> None:
        """Give a slot without keys to its new owner, and wait until every living node knows."""
        target = self._self(to_index).id
        masters = [number for number in self._living() if "master" in self._self(number).flags]
        # The new owner first: the old one would send clients to a node that does not know yet that it is its slot.
        for number in sorted(masters, key=lambda number: number != to_index):
            self.nodes[number].command("CLUSTER", "SETSLOT", slot, "NODE", target)
        wait_until(
            lambda: all(self._seen_owner(number, slot) == to_index for number in self._living()),
            TIMEOUT,
            f"all nodes know that slot {slot} is at node {to_index}",
        )

    def _join(self) -> None:
        """Make one cluster of the single nodes."""
        for number, node in enumerate(self.nodes):
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)  # they would have to settle equal ones
            for other in self.nodes[:number]:
                node.command("CLUSTER", "MEET", LOOPBACK, other.port)
        for part, node in zip(slot_parts(self._masters), self.nodes, strict=False):
            node.command("CLUSTER", "ADDSLOTSRANGE", part.start, part.stop - 1)
        wait_until(self._acquainted, TIMEOUT, "the nodes of the cluster know each other")
        for number, node in enumerate(self.nodes[self._masters :]):
            master = number // self._replicas_each
            node.command("CLUSTER", "REPLICATE", self._self(master).id)
            wait_until(partial(node.follows, self.nodes[master]), TIMEOUT, f"node {master} has its replica")

    def _acquainted(self) -> bool:
        """Whether all living nodes see all living nodes well."""
        ports = {self.nodes[number].port for number in self._living()}
        views = [self._view(number) for number in self._living()]
        return all(port in view and view[port].well for view in views for port in ports)

    def _settled(self) -> bool:
        try:
            states = [self.nodes[number].command("CLUSTER INFO")["cluster_state"] for number in self._living()]
            return set(states) == {"ok"} and self._acquainted() and self._consistent() and self._linked()
        except redis.ConnectionError:  # a replica that loads the data of its new master
            return False

    def _consistent(self) -> bool:
        """Whether all living nodes see each other in the roles and with the slots that these claim."""
        views = [self._view(number) for number in self._living()]
        for number in self._living():
            port, own = self.nodes[number].port, self._self(number)
            seen = {(view[port].master_id, view[port].slots) for view in views}
            if seen != {(own.master_id, own.slots)}:
                return False
        return True

    def _linked(self) -> bool:
        """Whether all living replicas have the data of their masters."""
        told = [self.nodes[number].client.info("replication") for number in self._living()]
        return all(one["role"] == "master" or one["master_link_status"] == "up" for one in told)

    def _living(self) -> list[int]:
        return [number for number, node in enumerate(self.nodes) if node.runs]

    def _view(self, index: int) -> dict[int, Member]:
        """The cluster as one node sees it, by port."""
        told = self.nodes[index].command("CLUSTER NODES")
        return {
            int(address.rpartition(":")[2]): Member(
                id=entry["node_id"],
                flags=frozenset(entry["flags"].split(",")),
                master_id=entry["master_id"],
                connected=entry["connected"],
                slots=tuple(range(int(part[0]), int(part[-1]) + 1) for part in entry["slots"]),
            )
            for address, entry in told.items()
        }

    def _self(self, index: int) -> Member:
        """A node as it sees itself."""
        return self._view(index)[self.nodes[index].port]

    def _seen_owner(self, index: int, slot: int) -> int:
        """Who serves a slot, as one node sees it; -1 for nobody."""
        ports = [port for port, member in self._view(index).items() if member.has(slot)]
        return next((number for number, node in enumerate(self.nodes) if node.port in ports), -1)


def slot_parts(masters: int) -> list[range]:
    """All slots in contiguous parts, as even as can be."""
    edges = [number * SLOTS // masters for number in range(masters + 1)]
    return [range(start, stop) for start, stop in pairwise(edges)]


def cluster_settings(full_coverage: bool, node_timeout_ms: int, tls: bool) -> list[str]:
    """What makes a server a node of a cluster that changes only when it is told to, or loses a master."""
    return [
        "cluster-enabled yes",
        f"cluster-node-timeout {node_timeout_ms}",
        f"cluster-require-full-coverage {'yes' if full_coverage else 'no'}",
        "cluster-allow-replica-migration no",
        "cluster-replica-validity-factor 0",  # a replica takes over however old its data are
        f"tls-cluster {'yes' if tls else 'no'}",
    ]
