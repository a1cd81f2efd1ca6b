"""`sendgate serve`: the one place where all parts meet. Straight wiring, no rules of its own.

In: the settings' path and the environment. Out: a running gate, until SIGTERM.
Refused: settings that are wrong (exit 2), a store that cannot be read (exit 3), an address in use (exit 2): told
before anything is started.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sendgate import __version__, events
from sendgate.campaign import CampaignResolver
from sendgate.cli import serve_feedback, stores
from sendgate.cli.serve_helpers import Readiness, ask_metrics, follow, look_after_lists, watch_queue
from sendgate.gate import Gate
from sendgate.keys import Keyer
from sendgate.metrics import FollowMetrics, Metrics
from sendgate.metrics_files import RoomyFile
from sendgate.ops import server
from sendgate.ops.server import Questions
from sendgate.settings import Settings, chosen_path, load
from sendgate.settings_file import SettingsError
from sendgate.smtp import listener
from sendgate.smtp.listener import ListenError
from sendgate.smtp.session import Sessions
from sendgate.smtp.supervisor import Plan, Supervisor
from sendgate.smtp.worker import Links, Protocol, recycler, run
from sendgate.store.errors import StoreCorruptError, StoreError
from sendgate.store.serving import ServingReplica
from sendgate.store.verification import verify_store


@dataclass(frozen=True, slots=True)
class Ground:
    """What outlives a reload: the sockets, the folder of the metrics, the settings' path."""

    path: Path | None
    milter: socket.socket
    ops: socket.socket
    metrics: Path
    lmtp: socket.socket | None = None


def serve(path: Path | None) -> None:
    """Run the gate until SIGTERM or SIGINT. Raises SettingsError, StoreError or ListenError before it starts."""
    settings = load(path, os.environ)
    events.configure(clear_addresses=settings.store.hash_key_file is None)
    entries = _look_at_store(settings)
    serve_feedback.check(settings)
    milter_socket = listener.listen(settings.milter.socket, settings.milter.socket_mode, settings.milter.socket_group)
    try:
        ops_socket = listener.listen_http(settings.ops.listen)
        with serve_feedback.listening(settings) as lmtp:
            ground = Ground(path, milter_socket, ops_socket, _metrics_folder(settings), lmtp)
            _supervise(settings, ground, entries)
    finally:
        listener.remove(settings.milter.socket, milter_socket)


def _supervise(settings: Settings, ground: Ground, entries: int) -> None:
    started = time.monotonic()
    RoomyFile.on_full = staticmethod(_teller())
    counters = Metrics(ground.metrics, "supervisor", settings.campaign.max_labels)
    try:
        plan = _plan(settings, ground)
        events.serving(__version__, settings.milter.socket, plan.workers, settings.ops.listen, entries)
        stop_listening = partial(listener.remove, settings.milter.socket, ground.milter)
        Supervisor(plan, counters, lambda: _reload(settings, ground), stop_listening).run()
        events.stopped(time.monotonic() - started)
    finally:
        shutil.rmtree(ground.metrics, ignore_errors=True)


def _teller() -> Callable[[str, OSError], None]:
    told: set[str] = set()

    def tell(file: str, error: OSError) -> None:
        if file not in told:
            told.add(file)
            events.metrics_incomplete(file, error.strerror or str(error))

    return tell


def _plan(settings: Settings, ground: Ground) -> Plan:
    """Everything that is to run, with these settings. Raises SettingsError."""
    keyer = stores.keyer(settings)
    return Plan(
        workers=settings.milter.workers or os.cpu_count() or 1,
        worker_memory=settings.milter.worker_memory,
        drain_seconds=settings.milter.drain,
        worker=lambda name, control, report, trusted: _worker(
            settings, keyer, ground, name, Links(ground.milter.fileno(), control, report), trusted
        ),
        helpers=_helpers(settings, keyer, ground),
        verify=lambda _control, _report: _verify(settings, ground),
    )


def _helpers(settings: Settings, keyer: Keyer, ground: Ground) -> dict[str, Callable[[int, int], None]]:
    helpers: dict[str, Callable[[int, int], None]] = {
        "ops": lambda control, _report: _ops(settings, keyer, ground, control),
        "sweep": lambda control, _report: _sweep(settings, keyer, ground, control),
    }
    if stores.shared(settings):
        stores.access(settings)  # a file that cannot be read is told before anything starts
        helpers["follow"] = lambda control, _report: _follow(settings, ground, control)
    if settings.feedback.log:
        helpers["feedback"] = lambda control, _report: _feedback(settings, keyer, ground, control)
    if ground.lmtp is not None:
        lmtp = ground.lmtp
        helpers["lmtp"] = lambda control, _report: _lmtp(settings, keyer, ground, lmtp, control)
    return helpers


def _worker(settings: Settings, keyer: Keyer, ground: Ground, name: str, links: Links, trusted: bool) -> None:
    ground.ops.close()  # the supervisor's death must free the address, even while sessions go on
    metrics = Metrics(ground.metrics, name, settings.campaign.max_labels)

    def on_fault(error: Exception) -> None:
        metrics.store_fault()
        events.store_unavailable(name, error)

    replica = ServingReplica(
        lambda: stores.open_served(settings, keyer),
        on_fault,
        lambda: events.store_recovered(name),
        lambda: stores.served_folder(settings),
        lambda: stores.age(settings, time.time()) > settings.store.max_staleness,
    )
    look_after_store = replica.check if trusted else lambda: None
    look_after_store()
    sessions = Sessions(
        Gate(replica.lookup, settings.rules(), time.time, replica.stale),
        CampaignResolver(settings.campaign, settings.campaign_id),
        metrics,
        settings.campaign.header,
        at_message=recycler(links.report, settings.milter.recycle_after),
        name=name,
    )
    run(sessions, links, _protocol(settings), look_after_store)


def _protocol(settings: Settings) -> Protocol:
    rules = settings.rules()
    ends = {"hold", "discard"} & {rules.default_action.value, *(action.value for action in rules.actions.values())}
    return Protocol(
        headers=settings.campaign.header is not None,
        end_actions=bool(ends),
        silent_mail=settings.milter.socket.startswith("unix:"),
    )


def _ops(settings: Settings, keyer: Keyer, ground: Ground, control: int) -> None:
    ground.milter.close()
    queue = watch_queue(settings)
    questions = Questions(
        metrics=lambda: ask_metrics(settings, keyer, ground.metrics, queue),
        ready=Readiness(settings, keyer).missing,
    )
    server.run(ground.ops, questions, control)


def _sweep(settings: Settings, keyer: Keyer, ground: Ground, control: int) -> None:
    ground.milter.close()
    ground.ops.close()
    look_after_lists(control, settings, keyer, Metrics(ground.metrics, "sweep"))


def _follow(settings: Settings, ground: Ground, control: int) -> None:
    ground.milter.close()
    ground.ops.close()
    follow(control, settings, FollowMetrics(ground.metrics))


def _feedback(settings: Settings, keyer: Keyer, ground: Ground, control: int) -> None:
    ground.milter.close()
    ground.ops.close()
    if ground.lmtp is not None:
        ground.lmtp.close()
    from sendgate.cli.feedback_processes import follow_log  # in this process alone

    follow_log(settings, keyer, control)


def _lmtp(settings: Settings, keyer: Keyer, ground: Ground, lmtp: socket.socket, control: int) -> None:
    ground.milter.close()
    ground.ops.close()
    from sendgate.cli.feedback_processes import serve_lmtp  # in this process alone

    serve_lmtp(settings, keyer, lmtp, control)


def _verify(settings: Settings, ground: Ground) -> None:
    ground.milter.close()
    ground.ops.close()
    try:
        verify_store(stores.served_folder(settings))
    except StoreCorruptError:
        if stores.shared(settings):
            stores.replica_folder(settings).discard()  # the follower copies it anew
        raise


def _reload(running: Settings, ground: Ground) -> Plan | None:
    """A new plan from the settings as they are now; None, and a log line, when they cannot be used."""
    try:
        settings = load(ground.path, os.environ)
        fixed = [
            f"{key}: cannot change while running; restart"
            for key, before, after in (
                ("milter.socket", running.milter.socket, settings.milter.socket),
                ("ops.listen", running.ops.listen, settings.ops.listen),
                ("feedback.lmtp", running.feedback.lmtp, settings.feedback.lmtp),
            )
            if before != after
        ]
        if fixed:
            raise SettingsError(fixed)
        plan = _plan(settings, ground)
        _look_at_store(settings)
        serve_feedback.check(settings)
        listener.protect(settings.milter.socket, settings.milter.socket_mode, settings.milter.socket_group)
        serve_feedback.protect(settings)
    except SettingsError as error:
        events.settings_refused(error.problems)
        return None
    except (StoreError, ListenError) as error:
        events.settings_refused([str(error)])
        return None
    events.configure(clear_addresses=settings.store.hash_key_file is None)
    events.settings_reloaded(str(chosen_path(ground.path, os.environ)))
    return plan


def _look_at_store(settings: Settings) -> int:
    """Open the store once and close it: its entries. Raises StoreError when an embedded one cannot serve.

    The replica of a shared origin may still be missing: it is made then, and recipients are answered 451 until it is.
    """
    keyer = stores.keyer(settings)
    try:
        with closing(stores.open_served(settings, keyer)) as replica:
            return sum(replica.count().values())
    except StoreError:
        if stores.shared(settings):
            return 0
        raise


def _metrics_folder(settings: Settings) -> Path:
    """A fresh folder for the counters: beside a Unix socket, where we may write for certain."""
    if not settings.milter.socket.startswith("unix:"):
        return Path(tempfile.mkdtemp(prefix="sendgate-metrics-"))
    folder = Path(settings.milter.socket.removeprefix("unix:") + ".metrics")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise ListenError(f"{folder}: {error.strerror or error}; remove it, and see who may write beside it") from None
    return folder
