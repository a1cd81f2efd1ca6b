"""The connection to a shared origin: one server, a Sentinel set or a Cluster, over TLS or not. redis-py's only home.

In: an `Access`. Out: a `RedisClient`, whose calls each concern one shard.
Refused: `StoreUnreachableError` when nobody answers or we may not ask, `StoreError` for any other answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import redis
from redis import exceptions
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from sendgate.origin_url import OriginUrl
from sendgate.store.redis_errors import translated

Key = str
Argument = str | bytes | int


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach the origin. Files are PEM, "" for none; a password overrides the URL's; times in seconds."""

    url: OriginUrl
    password: str = ""
    sentinel_password: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    timeout: float = 5.0
    retries: int = 2


class Script:
    """A Lua script of this package, by its name."""

    def __init__(self, name: str) -> None:
        self.text = files("sendgate.store").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


@cache
def script(name: str) -> Script:
    """A script, read once."""
    return Script(name)


class RedisClient:
    """An open connection. Any number of threads may use it; a process makes its own."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.place = str(access.url)
        self.is_cluster = access.url.kind == "cluster"
        with translated(self.place):
            self._redis: Any = _connect(access)

    def run(self, name: str, keys: Iterable[Key], arguments: Iterable[Argument] = ()) -> Any:
        """Run a script over keys of one shard. Returns its answer; raises StoreError."""
        wanted, named = script(name), list(keys)
        rest = (len(named), *named, *arguments)
        with translated(self.place):
            try:
                return self._redis.execute_command("EVALSHA", wanted.sha, *rest)
            except exceptions.NoScriptError:
                return self._redis.execute_command("EVAL", wanted.text, *rest)

    def fields(self, key: Key, *names: str) -> list[bytes | None]:
        """Some fields of a hash."""
        with translated(self.place):
            return list(self._redis.hmget(key, names))

    def hash(self, key: Key) -> dict[bytes, bytes]:
        """A whole hash; empty when there is none."""
        with translated(self.place):
            return dict(self._redis.hgetall(key))

    def hashes(self, keys: Iterable[Key]) -> list[dict[bytes, bytes]]:
        """Several whole hashes, in one go."""
        with translated(self.place):
            pipeline = self._redis.pipeline(transaction=False)
            for key in keys:
                pipeline.hgetall(key)
            return list(pipeline.execute())

    def fields_of(self, wanted: Mapping[Key, list[bytes]]) -> list[bytes | None]:
        """Some fields of several hashes, in one go: of the first hash, then of the next."""
        with translated(self.place):
            pipeline = self._redis.pipeline(transaction=False)
            for key, names in wanted.items():
                pipeline.hmget(key, names)
            return [value for values in pipeline.execute() for value in values]

    def set_fields(self, key: Key, fields: Mapping[str, Argument]) -> None:
        with translated(self.place):
            self._redis.hset(key, mapping=dict(fields))

    def changes(
        self, positions: Mapping[Key, bytes], count: int, block_seconds: float
    ) -> dict[Key, list[tuple[bytes, dict[bytes, bytes]]]]:
        """What the streams have after each position; waits for the first. In a Cluster, for one stream only."""
        with translated(self.place):
            source = self._redis
            if self.is_cluster:
                source = self._redis.get_redis_connection(self._redis.get_node_from_key(next(iter(positions))))
            # An idle server looks at those who wait ten times a second only: who need not wait must not.
            block = round(block_seconds * 1000) or None
            answer = source.xread(dict(positions), count=count, block=block)
            pairs = answer.items() if isinstance(answer, dict) else answer
            return {name.decode(): entries for name, entries in pairs}

    def take_lease(self, key: Key, holder: str, seconds: int) -> bool:
        """Take or keep a lease; False when another has it."""
        with translated(self.place):
            if self._redis.set(key, holder, nx=True, ex=seconds):
                return True
            return bool(self._redis.get(key) == holder.encode() and self._redis.expire(key, seconds))

    def memory_of(self, key: Key) -> int:
        """Octets that a key takes in the server; 0 when there is none."""
        with translated(self.place):
            return int(self._redis.memory_usage(key, samples=0) or 0)

    def ping(self) -> None:
        """Raise StoreUnreachableError when the origin does not answer."""
        with translated(self.place):
            self._redis.ping()

    def close(self) -> None:
        self._redis.close()


def _connect(access: Access) -> Any:
    url = access.url
    options = _options(access)
    if url.kind == "cluster":
        node: Any = ClusterNode
        return RedisCluster(startup_nodes=[node(host, port) for host, port in url.hosts], **options)
    options["db"] = url.database
    if url.kind == "sentinel":
        # The other Sentinels are the second try: with tries at each, a silent set would hold us for minutes.
        sentinel_options = {**options, "db": 0, "username": None, "password": access.sentinel_password or None}
        sentinel_options["retry"] = Retry(NoBackoff(), 0)
        sentinel: Any = Sentinel
        return sentinel(url.hosts, sentinel_kwargs=sentinel_options, **options).master_for(url.service)
    host, port = url.hosts[0]
    return redis.Redis(host=host, port=port, **options)


def _options(access: Access) -> dict[str, Any]:
    url = access.url
    options: dict[str, Any] = {
        "username": url.username or None,
        "password": access.password or url.password or None,
        "socket_timeout": access.timeout,
        "socket_connect_timeout": access.timeout,
        "socket_keepalive": True,
        "retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), access.retries),
        "client_name": "sendgate",
        "protocol": 2,
    }
    if url.tls:
        options |= {
            "ssl": True,
            "ssl_ca_certs": access.ca_file or None,
            "ssl_certfile": access.cert_file or None,
            "ssl_keyfile": access.key_file or None,
        }
    return options
