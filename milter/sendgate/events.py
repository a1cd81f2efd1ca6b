"""The log: every event that Sendgate reports, one function each. One JSON line on stdout for each of them.

In: the facts of the event. Out: a line with `time` (RFC 3339, UTC), `level`, `event`, and the facts.
Nothing is refused. With a hashed store no recipient is written in clear: only the reference.

A log that cannot be written (nobody reads the pipe, the reader is gone, the disk is full) stops no decision and no
process: lines are dropped until it can, and then their number is told.
"""

from __future__ import annotations

import json
import logging
import os
import select

import structlog

from sendgate.decision import Decision

MAX_RECIPIENT = 320
"""Characters of a recipient that a line shows: as long as an address may be, and short of what a pipe takes whole."""
_log = structlog.get_logger()
_encoder = json.JSONEncoder(default=str)  # made once: json.dumps would make one for each line
_clear_addresses = True


def configure(*, clear_addresses: bool = True) -> None:
    """Send events to stdout as JSON. `clear_addresses` False leaves recipients out."""
    global _clear_addresses
    _clear_addresses = clear_addresses
    output = _StandardOutput()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.JSONRenderer(serializer=_to_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_names: output,
        cache_logger_on_first_use=True,
    )


class _StandardOutput:
    """structlog's logger. A line is written whole and at once, or dropped; never waited for."""

    _DESCRIPTOR = 1

    def __init__(self) -> None:
        self._dropped = 0

    def info(self, line: str) -> None:
        has_room = select.select((), (self._DESCRIPTOR,), (), 0)[1]  # a pipe has when PIPE_BUF (4,096) octets fit
        if not has_room or not self._written(line):
            self._dropped += 1
        elif self._dropped:
            dropped, self._dropped = self._dropped, 0
            lines_dropped(dropped)

    warning = error = info  # the level is in the line

    def _written(self, line: str) -> bool:
        try:
            os.write(self._DESCRIPTOR, f"{line}\n".encode())
        except OSError:
            return False
        return True


def _to_json(facts: object, **_options: object) -> str:
    return _encoder.encode(facts)


def recipient_judged(decision: Decision, recipient: str, campaign: str, reply: str) -> None:
    """A recipient that did not simply pass: refused, held, discarded or only observed."""
    facts: dict[str, object] = {"decision": decision.verdict, "campaign": campaign, "cause": decision.cause}
    if decision.observed:
        facts["decision"] = "would_reject"
    if decision.entry is not None:
        entry = decision.entry
        facts |= {"reason": entry.reason, "list": entry.list, "scope": str(entry.scope), "ref": entry.ref}
    if _clear_addresses:
        facts["recipient"] = recipient[:MAX_RECIPIENT]
        facts["reply"] = reply
    _log.info("recipient", **facts)


def message_held(queue_id: str, campaign: str, reason: str) -> None:
    _log.info("message_held", queue_id=queue_id, campaign=campaign, reason=reason)


def recipients_discarded(queue_id: str, campaign: str, count: int) -> None:
    _log.info("recipients_discarded", queue_id=queue_id, campaign=campaign, count=count)


def store_unavailable(process: str, error: Exception) -> None:
    """The store cannot be read; every recipient is answered 451 from now on."""
    _log.error("store_unavailable", process=process, error=str(error))


def store_recovered(process: str) -> None:
    _log.info("store_recovered", process=process)


def internal_error(process: str, where: str, error: BaseException) -> None:
    """An error of Sendgate itself; the recipient or message was answered 451."""
    _log.error("internal_error", process=process, where=where, error=f"{type(error).__name__}: {error}")


def serving(version: str, socket: str, workers: int, ops: str, entries: int) -> None:
    _log.info("serving", version=version, socket=socket, workers=workers, ops=ops, entries=entries)


def stopping(signal: str) -> None:
    _log.info("stopping", signal=signal)


def stopped(uptime_seconds: float) -> None:
    _log.info("stopped", uptime_seconds=round(uptime_seconds, 1))


def process_started(process: str, pid: int) -> None:
    _log.info("process_started", process=process, pid=pid)


def process_ended(process: str, pid: int, status: str, cause: str, *, asked: bool) -> None:
    """status: how it ended ("exit 0", "signal 9"); cause: why, as counted in the metrics; asked: by the supervisor."""
    tell = _log.info if asked else _log.warning
    tell("process_ended", process=process, pid=pid, status=status, cause=cause)


def settings_reloaded(path: str) -> None:
    _log.info("settings_reloaded", path=path)


def settings_refused(problems: list[str]) -> None:
    """A reload found mistakes; the old settings stay in force."""
    _log.error("settings_refused", problems=problems)


def store_suspected(cause: str) -> None:
    """A worker died in a way that a damaged store causes; it is checked before it is trusted again."""
    _log.error("store_suspected", cause=cause)


def entries_swept(count: int) -> None:
    _log.info("entries_swept", count=count)


def lists_changed(position: int, changes: int, entries_by_list: dict[str, int]) -> None:
    """Commands, feedback or a sweep changed the lists. entries_by_list: how many more (or fewer) each list has."""
    _log.info("lists_changed", position=position, changes=changes, entries_by_list=entries_by_list)


def following(place: str) -> None:
    """The changes of the shared origin are taken in from now on."""
    _log.info("following", place=place)


def following_interrupted(error: Exception, replica_age_seconds: float | None) -> None:
    """The shared origin is away or has lost lists, or the replica cannot be written; it stays in force as it is.

    replica_age_seconds: since it was last in step; None when there is none yet, and recipients are answered 451.
    """
    age = None if replica_age_seconds is None else round(replica_age_seconds, 1)
    _log.error("following_interrupted", error=str(error), replica_age_seconds=age)


def resync_started(cause: str, shards: list[int]) -> None:
    """The lists are copied from the origin, beside the replica that is served."""
    tell = _log.info if cause == "bootstrap" else _log.warning
    tell("resync_started", cause=cause, shards=shards)


def resync_progress(cause: str, copied: int, entries: int) -> None:
    _log.info("resync_progress", cause=cause, copied=copied, entries=entries)


def resync_done(cause: str, entries: int, kept: int, seconds: float) -> None:
    """A new copy is served. kept: entries that only this replica still has, because the origin has lost them."""
    tell = _log.error if kept else _log.info
    tell("resync_done", cause=cause, entries=entries, kept=kept, seconds=round(seconds, 1))


def replica_diverged(shard: int, taken_in: int, kept: int) -> None:
    """The replica differed from the origin without a change that said so. taken_in: entries that it had not, or
    otherwise; kept: entries that the origin had not, which stay in force."""
    _log.error("replica_diverged", shard=shard, taken_in=taken_in, kept=kept)


def feedback_entry(recipient: str, reason: str, campaign: str, expires: int | None, evidence: str) -> None:
    """Feedback has made an entry, or made one longer. expires: Unix time in seconds, None for never."""
    facts: dict[str, object] = {"reason": reason, "campaign": campaign, "expires": expires}
    if _clear_addresses:
        facts["recipient"] = recipient[:MAX_RECIPIENT]
        facts["evidence"] = evidence
    _log.info("feedback_entry", **facts)


def breaker_opened(provider: str, share: float, past_share: float, recipients: int) -> None:
    """A provider refuses far more recipients than it used to: entries about it are provisional from now on."""
    _log.error("breaker_opened", **_shares(provider, share, past_share, recipients))


def breaker_closed(provider: str, share: float, past_share: float, recipients: int) -> None:
    """The provider answers as it used to again."""
    _log.warning("breaker_closed", **_shares(provider, share, past_share, recipients))


def _shares(provider: str, share: float, past_share: float, recipients: int) -> dict[str, object]:
    return {
        "provider": provider,
        "share": round(share, 4),
        "past_share": round(past_share, 4),
        "recipients": recipients,
    }


def report_not_believed(source: str, belief: str, campaign: str) -> None:
    """A bounce or complaint that came as a message and that nothing proves; it was counted, and changed nothing."""
    _log.warning("report_not_believed", source=source, belief=belief, campaign=campaign)


def feedback_waits(error: str) -> None:
    """The lists or the state cannot be written; the log is not read on until they can."""
    _log.error("feedback_waits", error=error)


def feedback_goes_on() -> None:
    _log.info("feedback_goes_on")


def log_missing(path: str) -> None:
    """Postfix's log, which shall be followed, is not there (yet)."""
    _log.warning("log_missing", path=path)


def queue_unknown(error: str) -> None:
    """Postfix does not tell its queue; told once for each outage, and not while a pod starts."""
    _log.warning("queue_unknown", error=error)


def queue_known() -> None:
    """Postfix tells its queue again."""
    _log.info("queue_known")


def metrics_incomplete(file: str, error: str) -> None:
    """There is no room for a counter; what is counted is missing in the metrics until there is."""
    _log.error("metrics_incomplete", file=file, error=error)


def lines_dropped(count: int) -> None:
    """So many lines of one process could not be written; now they can."""
    _log.warning("lines_dropped", count=count)
