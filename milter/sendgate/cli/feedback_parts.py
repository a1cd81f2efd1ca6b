"""The parts of feedback as the settings want them: rules, keys of signatures, the intake with its way to the lists.

In: settings. Out: what the follower, the LMTP server and the commands work with.
Refused: `SettingsError` for rules and secrets, `StateError` for the folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from sendgate.address import Address
from sendgate.campaign import CampaignResolver
from sendgate.cli import stores
from sendgate.cli.feedback_reader import reader_of
from sendgate.cli.feedback_rules import rules_of
from sendgate.cli.verp import keys_of
from sendgate.entry import Reason
from sendgate.feedback.follower import Plan
from sendgate.feedback.intake import Edges, Intake, Lists
from sendgate.feedback.receiver import Receiver
from sendgate.feedback.state import State
from sendgate.feedback.trust import Trust
from sendgate.keys import Keyer
from sendgate.settings import Settings
from sendgate.settings_file import SettingsError
from sendgate.store.errors import StoreError
from sendgate.store.origin import Origin


def check(settings: Settings) -> None:
    """Look at all that the settings of feedback name. Raises SettingsError."""
    problems: list[str] = []
    looks: tuple[Callable[[], object], ...] = (lambda: rules_of(settings), lambda: keys_of(settings.feedback))
    for look in looks:
        try:
            look()
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)


def open_state(settings: Settings) -> State:
    """The state of this pod's feedback. Raises StateError."""
    return State(Path(settings.feedback.state))


def intake(settings: Settings, keyer: Keyer, state: State, *, sees_all: bool, tell: bool = True) -> Intake:
    """What takes events in. sees_all: all that Postfix logs, deliveries included; tell: with log lines."""
    way = _Way(settings, keyer)
    return Intake(settings.feedback, state, Edges(way.lists, way.struck, sees_all, tell, keyer.secret))


def receiver(settings: Settings, keyer: Keyer, state: State | None, *, tell: bool = True) -> Receiver:
    """What takes bounces and complaints in that come as messages; without a state it only judges them.

    tell: with log lines.

    Raises SettingsError.
    """
    reader, given = reader_of(settings, 0.0), settings.feedback
    return Receiver(
        lambda now: replace(reader, now=now),
        Trust(reader.verp, given.trusted_authserv_id or "", given.trusted_domains),
        None if state is None else intake(settings, keyer, state, sees_all=False, tell=tell),
        tell=tell,
    )


def follow_plan(settings: Settings, keyer: Keyer, state: State) -> Plan:
    """How to follow the log that the settings name. Raises SettingsError."""
    return Plan(
        log=Path(settings.feedback.log or ""),
        rules=rules_of(settings),
        resolver=CampaignResolver(settings.campaign, settings.campaign_id),
        state=state,
        intake=intake(settings, keyer, state, sees_all=True),
        retry_on=(StoreError,),
    )


class _Way:
    """The way to the lists. A shared origin stays connected; an embedded one is opened for each batch, since its
    folder may be replaced by another."""

    def __init__(self, settings: Settings, keyer: Keyer) -> None:
        self._settings = settings
        self._keyer = keyer
        self._connected: Origin | None = None

    @contextmanager
    def lists(self) -> Iterator[Lists]:
        if not stores.shared(self._settings):
            with stores.open_origin(self._settings, create=False) as origin:
                yield origin
            return
        if self._connected is None:
            self._connected = stores.open_writing(self._settings)
        try:
            yield self._connected
        except BaseException:
            broken, self._connected = self._connected, None
            with suppress(Exception):
                broken.close()
            raise

    def struck(self, addresses: Sequence[Address]) -> set[Address]:
        """Those with strikes in this pod's replica; while there is none yet, all of them: the origin is asked then."""
        wanted = self._settings.feedback.list
        try:
            with closing(stores.open_served(self._settings, self._keyer)) as replica:
                return {
                    address
                    for address in set(addresses)
                    if any(found.reason is Reason.STRIKE and found.list == wanted for found in replica.lookup(address))
                }
        except StoreError:
            return set(addresses)
