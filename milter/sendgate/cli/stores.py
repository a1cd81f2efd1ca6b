"""Opening the store that the settings name: embedded, or shared with its replica in this pod.

In: settings. Out: the keyer, the folder to serve from, an open origin.
Refused: `SettingsError` for the secret and other files, `StoreError` for the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sendgate.keys import Keyer
from sendgate.origin_url import is_shared, parse_origin_url
from sendgate.settings import Settings
from sendgate.settings_file import SettingsError
from sendgate.store.embedded import EmbeddedOrigin
from sendgate.store.environment import Environment
from sendgate.store.errors import StoreMissingError
from sendgate.store.layout import Layout
from sendgate.store.opening import open_shards
from sendgate.store.origin import Explains, Origin
from sendgate.store.redis_client import Access, RedisClient
from sendgate.store.replica import Replica, open_replica
from sendgate.store.replica_folder import ReplicaFolder
from sendgate.store.replica_origin import ReplicaOrigin
from sendgate.store.shards import Shards
from sendgate.store.shared import SharedOrigin


def keyer(settings: Settings) -> Keyer:
    """Makes keys with the secret of store.hash_key_file and, while it changes, the one before. Raises SettingsError."""
    secret = _secret("hash_key_file", settings.store.hash_key_file)
    if settings.store.previous_hash_key_file is None:
        return Keyer(secret)
    previous = _secret("previous_hash_key_file", settings.store.previous_hash_key_file)
    if not secret:
        raise SettingsError(["store.previous_hash_key_file: needs store.hash_key_file, which holds the new secret"])
    if previous == secret:
        raise SettingsError(["store.previous_hash_key_file: holds the same secret as store.hash_key_file"])
    return Keyer(secret, Keyer(previous))


def shared(settings: Settings) -> bool:
    """Whether the origin is a server that other pods share."""
    return is_shared(settings.store.url)


def replica_folder(settings: Settings) -> ReplicaFolder:
    """This pod's replica of a shared origin."""
    return ReplicaFolder(Path(settings.store.replica))


def served_folder(settings: Settings) -> Path:
    """The folder of the LMDB file that the gate reads. Raises StoreMissingError while there is no replica."""
    return replica_folder(settings).current() if shared(settings) else _embedded_folder(settings)


def open_served(settings: Settings, keyer: Keyer) -> Replica:
    """What the gate reads. Raises StoreError."""
    return open_replica(served_folder(settings), keyer, settings.store.max_size)


def age(settings: Settings, now: float) -> float:
    """Seconds since what the gate reads was in step with the origin; an embedded store always is."""
    return replica_folder(settings).age(now) if shared(settings) else 0.0


def access(settings: Settings) -> Access:
    """How to reach a shared origin. Raises SettingsError for a file that cannot be read."""
    store = settings.store
    problems = []
    for name in ("tls_ca_file", "tls_cert_file", "tls_key_file"):
        try:
            _read(name, getattr(store, name))
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    return Access(
        url=parse_origin_url(store.url),
        password=_password("password_file", store.password_file),
        sentinel_password=_password("sentinel_password_file", store.sentinel_password_file),
        ca_file=store.tls_ca_file or "",
        cert_file=store.tls_cert_file or "",
        key_file=store.tls_key_file or "",
        timeout=store.timeout,
    )


def open_replica_environment(settings: Settings) -> Environment:
    """This pod's replica of a shared origin, open for reading. Raises StoreError."""
    return Environment(served_folder(settings), settings.store.max_size, keyer(settings).secrets, write=False)


def connect(settings: Settings, *, create: bool = False, empty: bool = False, shards: int = 0) -> Shards:
    """The shared origin's lists. Raises SettingsError and StoreError.

    empty: also where there are none; shards: how many new lists have, if not as many as the settings say.
    """
    store = settings.store
    wanted = Layout(store.prefix, shards or store.shards, store.buckets)
    client = RedisClient(access(settings))
    try:
        return open_shards(client, wanted, keyer(settings).secrets, store.history, create=create, empty=empty)
    except BaseException:
        client.close()
        raise


@contextmanager
def open_origin(settings: Settings, *, create: bool) -> Iterator[Origin]:
    """The origin, open for writing. Only `create` makes one where there is none: it would let everybody pass."""
    with closing(_origin(settings, write=True, create=create)) as origin:
        yield origin


def open_writing(settings: Settings) -> Origin:
    """The origin that is there, open for writing until it is closed. Raises StoreError."""
    return _origin(settings, write=True, create=False)


@contextmanager
def open_for_reading(settings: Settings) -> Iterator[Origin]:
    """The origin, open for reading: needs no right to change the list, and creates nothing."""
    with closing(_origin(settings, write=False, create=False)) as origin:
        yield origin


@contextmanager
def open_replica_origin(settings: Settings) -> Iterator[Explains]:
    """What this pod's gate goes by; embedded, the origin itself."""
    if not shared(settings):
        with open_for_reading(settings) as origin:
            yield origin
        return
    with closing(ReplicaOrigin(open_replica_environment(settings), keyer(settings))) as replica:
        yield replica


@contextmanager
def open_scratch(settings: Settings, place: Path) -> Iterator[Origin]:
    """A new, empty origin in another folder, for a dry run where there is no store yet."""
    with closing(_embedded(settings, place, write=True, create=True)) as origin:
        yield origin


def exists(settings: Settings) -> bool:
    """Whether there is a store, readable or not. Raises StoreError when a server does not answer."""
    if not shared(settings):
        return any(_embedded_folder(settings).glob("data.mdb"))
    try:
        connect(settings).client.close()
    except StoreMissingError:
        return False
    return True


def _origin(settings: Settings, *, write: bool, create: bool) -> Origin:
    if not shared(settings):
        return _embedded(settings, _embedded_folder(settings), write=write, create=create)
    shards = connect(settings, create=create)
    if not write:
        _check_whole(shards)
    matching, lease_seconds = settings.match_by_list(), settings.store.sweep_every
    return SharedOrigin(shards, keyer(settings), matching, sweep_lease_seconds=lease_seconds)


def _check_whole(shards: Shards) -> None:
    """What is gone must not look like entries that are not there."""
    try:
        shards.check(range(shards.layout.shards))
    except BaseException:
        shards.client.close()
        raise


def _embedded(settings: Settings, place: Path, *, write: bool, create: bool) -> Origin:
    max_size, matching = settings.store.max_size, settings.match_by_list()
    return EmbeddedOrigin(place, keyer(settings), max_size, matching, write=write, create=create)


def _embedded_folder(settings: Settings) -> Path:
    return Path(settings.store.url.removeprefix("lmdb://"))


def _secret(name: str, path: str | None) -> bytes:
    """The secret in a file; b"" for no file."""
    value = _read(name, path)
    if path is not None and not 1 <= len(value) <= 64:
        raise SettingsError([f"store.{name}: must hold 1 to 64 bytes, holds {len(value)}"])
    return value


def _password(name: str, path: str | None) -> str:
    try:
        return _read(name, path).decode()
    except UnicodeDecodeError:
        raise SettingsError([f"store.{name}: {path} must hold text in UTF-8, as base64 makes it"]) from None


def _read(name: str, path: str | None) -> bytes:
    """What a file of the settings holds, without the newline at its end; nothing for none."""
    if path is None:
        return b""
    try:
        return Path(path).read_bytes().removesuffix(b"\n")
    except OSError as error:
        raise SettingsError([f"store.{name}: {error}"]) from None
