"""Where the shared origin is: the URL of a Redis server, of a Sentinel set or of a Cluster.

In: the text of `store.url`. Out: an `OriginUrl`. Refused: ValueError, with the forms that there are.

    redis://[user[:password]@]host[:port][/database]
    redis+sentinel://[user[:password]@]host[:port],host[:port].../service[/database]
    redis+cluster://[user[:password]@]host[:port],host[:port]...

`rediss` instead of `redis` is the same over TLS. A port left out is 6379, a Sentinel's 26379.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple
from urllib.parse import unquote

FORMS = (
    "redis://[user@]host[:port][/database], redis+sentinel://host[:port],.../service[/database] or "
    "redis+cluster://host[:port],... (rediss with TLS)"
)
REDIS_PORT, SENTINEL_PORT = 6379, 26379
MAX_PORT = 65535

_AT_TOO_MANY = "an @ too many; in a user name or password it is written %40, and a / there %2F"
_URL = re.compile(
    r"(?P<scheme>rediss?)(?:\+(?P<kind>sentinel|cluster))?://(?:(?P<user>[^@/]*)@)?(?P<hosts>[^/]+)(?P<path>/.*)?"
)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:\[\]@]+)(?::(?P<port>\d+))?")
_PATHS = {
    "server": re.compile(r"(?:/(?P<database>\d+)?)?"),
    "sentinel": re.compile(r"/(?P<service>[^/\s]+)(?:/(?P<database>\d+))?"),
    "cluster": re.compile(r"/?"),
}

Kind = Literal["server", "sentinel", "cluster"]


class OriginUrl(NamedTuple):
    """A shared origin. `hosts`: of the server, the Sentinels or some nodes; `service`: what the Sentinels watch."""

    kind: Kind
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    service: str = ""
    database: int = 0
    username: str = ""
    password: str = ""

    def __str__(self) -> str:
        """The URL without the password, as logs and errors show it."""
        scheme = ("rediss" if self.tls else "redis") + ("" if self.kind == "server" else f"+{self.kind}")
        user = f"{self.username}@" if self.username else ""
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        path = (f"/{self.service}" if self.service else "") + (f"/{self.database}" if self.database else "")
        return f"{scheme}://{user}{hosts}{path}"


def is_shared(url: str) -> bool:
    """Whether `store.url` names a server, rather than an embedded store."""
    return url.startswith(("redis:", "rediss:", "redis+", "rediss+"))


def parse_origin_url(text: str) -> OriginUrl:
    """Read a URL. Raises ValueError when it is none of the forms."""
    match = _URL.fullmatch(text)
    if not match:
        raise ValueError(f"must be {FORMS}")
    kind: Kind = match["kind"] or "server"  # type: ignore[assignment]
    path = _PATHS[kind].fullmatch(match["path"] or "")
    if "@" in (match["path"] or ""):
        raise ValueError(_AT_TOO_MANY)
    if not path:
        raise ValueError(f"the path {match['path'] or ''!r} does not fit; must be {FORMS}")
    parts = path.groupdict()
    username, _, password = (match["user"] or "").partition(":")
    hosts = tuple(
        _host(host, SENTINEL_PORT if kind == "sentinel" else REDIS_PORT) for host in match["hosts"].split(",")
    )
    if kind == "server" and len(hosts) > 1:
        raise ValueError("one host only; several are redis+sentinel:// or redis+cluster://")
    return OriginUrl(
        kind=kind,
        tls=match["scheme"] == "rediss",
        hosts=hosts,
        service=parts.get("service") or "",
        database=int(parts.get("database") or 0),
        username=unquote(username),
        password=unquote(password),
    )


def _host(text: str, default_port: int) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    port = int(match["port"] or default_port) if match else 0
    if "@" in text:  # it may be a part of a password, which is not to be shown
        raise ValueError(_AT_TOO_MANY)
    if not match or not 0 < port <= MAX_PORT:
        raise ValueError(f"{text!r} is no host[:port]")
    return match["host"].strip("[]"), port
