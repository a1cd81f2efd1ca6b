"""What redis-py says when a shared origin is away, shuts us out or cannot do something, in our words.

In: redis-py's exceptions. Out: `StoreError`s that name the place and the remedy, and no password.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions
from redis.sentinel import MasterNotFoundError

from sendgate.store.errors import OriginLostError, SecretChangedError, ShutOutError, StoreError, StoreUnreachableError

_AWAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ClusterDownError,
    exceptions.RedisClusterException,
    exceptions.ReadOnlyError,
    OSError,
)
_SHUT = (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.NoPermissionError)
_MOVING = (exceptions.MovedError, exceptions.TryAgainError, exceptions.ClusterError)
"""What a Cluster says while a slot moves; the last when redis-py has given up."""
_WAITING = ("LOADING", "MASTERDOWN", "UNBLOCKED")
"""Answers of a server that is starting, or on its way to another role."""
_NO_RIGHT_IN_SCRIPT = "The user executing the script can't"


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Turn redis-py's errors into StoreErrors."""
    try:
        yield
    except (OSError, exceptions.RedisError, exceptions.RedisClusterException) as error:
        raise _in_our_words(place, error) from error


def _in_our_words(place: str, error: Exception) -> StoreError:
    causes = list(_causes(error))
    shut = next((cause for cause in causes if isinstance(cause, _SHUT)), None)
    if shut is not None:
        return _refused(place, shut)
    if isinstance(error, MasterNotFoundError):
        return StoreUnreachableError(f"{place}: {_no_master(str(error))}")
    if isinstance(error, _AWAY):
        remedy = _look_at(causes)
        kind = ShutOutError if remedy else StoreUnreachableError
        return kind(f"{place}: does not answer: {error or type(error).__name__}{remedy}")
    if isinstance(error, _MOVING):
        return StoreUnreachableError(f"{place}: not ready: a slot is on its way to another node; try again")
    if isinstance(error, exceptions.OutOfMemoryError):
        return StoreError(f"{place}: no memory: {error}; give the server more")
    return _answered(place, str(error))


def _refused(place: str, answer: object) -> StoreError:
    return ShutOutError(
        f"{place}: refused us: {answer}; look at the user of store.url, store.password_file and the server's ACL"
    )


def _no_master(text: str) -> str:
    """Why no Sentinel named a master; redis-py tells the connections to each in full, and the cause last."""
    if " - auth:" in text:
        return "the Sentinels refused us; look at store.sentinel_password_file and their ACL"
    if " - " in text:
        return "no Sentinel answers; look at the hosts of store.url and, with rediss, at store.tls_ca_file and the like"
    return "the Sentinels know no such service, or none that is well; look at the end of store.url"


def _look_at(causes: list[BaseException]) -> str:
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return "; look at store.tls_ca_file"
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "; look at store.tls_cert_file and store.tls_key_file, and at the server's log"
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _answered(place: str, answer: str) -> StoreError:
    if answer.startswith("EPOCH"):
        return OriginLostError(
            f"{place}: a part of the lists is gone or was made anew; `sendgate repair --from-replica` in a pod that "
            "still has them writes them back"
        )
    if answer.startswith("SECRET"):
        return SecretChangedError(
            f"{place}: the lists are under another secret since; the same again does the rest, with that secret named "
            "in store.hash_key_file"
        )
    if answer.startswith(_NO_RIGHT_IN_SCRIPT):
        return _refused(place, answer)
    if answer.startswith(_WAITING):
        return StoreUnreachableError(f"{place}: not ready: {answer}")
    return StoreError(f"{place}: {answer}")
