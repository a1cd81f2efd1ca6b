"""The breaker: tells when a provider's share of bad mailboxes leaps beyond what its own past explains. Pure.

In: of each final delivery result the provider, whether the mailbox was bad, and when. Out: since when a provider's
breaker is open, what has opened and closed, a state that JSON can hold. Refused: nothing; results that come later than
a window's length are too old to tell anything of now, and are passed over.

It opens when, within `breaker_window`, there are `breaker_volume` recipients of which certainly (the lower bound of
Wilson's interval) more were bad than `breaker_factor` times the past's share and than FLOOR. The window is also looked
at in part, from its end, so that an outage shows as soon as its own recipients are enough. The past is what has left
the window, halved each HALF_LIFE, with PRIOR recipients added of which PRIOR_SHARE were bad: who has none yet needs a
clear leap. It learns nothing while the breaker is open, but after LEARNS_AFTER: what lasts that long is no outage but
how things are.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from sendgate.settings_feedback import FeedbackSettings

MAX_PROVIDERS = 10_000
KEPT_FROM = 10
"""Recipients of a past below which a state leaves a provider out, when its window is over."""
BUCKETS = 15
FLOOR = 0.10
PRIOR, PRIOR_SHARE = 50.0, 0.02
HALF_LIFE = 7 * 86400.0
LEARNS_AFTER = 86400.0
CERTAIN = 3.291
"""Standard deviations: 99.9 %, as it is asked again and again; at 99 % lists of 12 % would often open it by chance."""


class Transition(NamedTuple):
    """A breaker opened or closed: shares of bad mailboxes now and in the past, recipients in the window."""

    provider: str
    opened: bool
    share: float
    past_share: float
    volume: int


class _Provider:
    """What is known of one provider. buckets: number (time by its length), bad, all; oldest first."""

    __slots__ = ("bad", "buckets", "opened", "past_all", "past_at", "past_bad", "unusual", "volume")

    def __init__(self) -> None:
        self.buckets: list[list[int]] = []
        self.bad = self.volume = 0
        self.past_bad = self.past_all = self.past_at = 0.0
        self.opened: float | None = None
        self.unusual = 0.0

    @property
    def share(self) -> float:
        return self.bad / self.volume if self.volume else 0.0

    @property
    def past_share(self) -> float:
        return (self.past_bad + PRIOR * PRIOR_SHARE) / (self.past_all + PRIOR)

    def learn(self, bad: int, volume: int, at: float) -> None:
        """Let recipients become part of the past."""
        faded = 0.5 ** (max(at - self.past_at, 0.0) / HALF_LIFE)
        self.past_bad = self.past_bad * faded + bad
        self.past_all = self.past_all * faded + volume
        self.past_at = max(self.past_at, at)


class Breaker:
    """The breakers of all providers, at most MAX_PROVIDERS; those without mail for longest are forgotten."""

    def __init__(self, settings: FeedbackSettings, state: Mapping[str, Any] | None = None) -> None:
        """state: what `as_object` gave. What cannot be read of it is no past."""
        self._volume = settings.breaker_volume
        self._factor = settings.breaker_factor
        self._hold = settings.breaker_hold
        self._length = max(settings.breaker_window // BUCKETS, 1)
        self._clock = 0.0
        self._transitions: list[Transition] = []
        self._providers: OrderedDict[str, _Provider | list[Any]] = OrderedDict()
        """In a list those of a state that were not asked for yet: most of many are not."""
        self._open: dict[str, _Provider] = {}
        try:
            self._restore(state or {})
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError):
            self._providers, self._open, self._clock = OrderedDict(), {}, 0.0

    def observe(self, provider: str, bad: bool, at: float) -> None:
        """Take in a final result: the message was delivered, or not, and if `bad` because there is no such mailbox."""
        one = self._known(provider)
        if one is None:
            one = self._providers[provider] = _Provider()
            if len(self._providers) > MAX_PROVIDERS:
                self._forget()
        else:
            self._providers.move_to_end(provider)
        number = int(at // self._length)
        self._clock = max(self._clock, at)
        if not one.buckets or number > one.buckets[-1][0]:
            self._move_window(one, number)
            one.buckets.append([number, 0, 0])
        bucket = next((found for found in reversed(one.buckets) if found[0] <= number), None)
        if bucket is None:
            return
        bucket[1] += bad
        bucket[2] += 1
        one.bad += bad
        one.volume += 1
        if one.opened is not None:
            self._watch(provider, one, at)
        elif bad and self._leaps(one):
            one.opened = one.unusual = at
            self._open[provider] = one
            self._transitions.append(self._transition(provider, one))

    def open_since(self, provider: str, now: float) -> float | None:
        """Since when a provider's breaker is open, None when it is not. now: the time of the event that asks."""
        one = self._open.get(provider)
        return None if one is None or now >= one.unusual + self._hold else one.opened

    def transitions(self) -> list[Transition]:
        """What opened and closed since this was asked last, by the latest result's time."""
        for provider, one in list(self._open.items()):
            if self._clock >= one.unusual + self._hold:
                self._close(provider, one)
        told, self._transitions = self._transitions, []
        return told

    def open_providers(self) -> list[str]:
        """The providers whose breaker is open."""
        return list(self._open)

    def as_object(self) -> dict[str, Any]:
        """The state, as JSON can hold it, the oldest provider first. Those that tell hardly anything are left out."""
        first = int(self._clock // self._length) - BUCKETS
        packed = ([name, *_pack(one)] for name, one in self._providers.items())
        kept = [
            row for row in packed if row[3] >= KEPT_FROM or row[0] in self._open or (row[1] and row[1][-1][0] > first)
        ]
        return {"length": self._length, "clock": self._clock, "open": self.open_providers(), "providers": kept}

    def _restore(self, state: Mapping[str, Any]) -> None:
        same_length = state.get("length") == self._length
        for name, buckets, bad, volume, *times in list(state.get("providers", []))[-MAX_PROVIDERS:]:
            self._providers[str(name)] = [list(buckets) if same_length else [], bad, float(volume), *times]
        for name in state.get("open", []):
            one = self._known(name)
            if one is not None and one.opened is not None:
                self._open[name] = one
        self._clock = float(state.get("clock", 0.0))

    def _known(self, provider: str) -> _Provider | None:
        one = self._providers.get(provider)
        if isinstance(one, list):
            one = self._providers[provider] = _unpack(one)
        return one

    def _move_window(self, one: _Provider, number: int) -> None:
        """Let what is older than the window that ends with bucket `number` become the past."""
        while one.buckets and one.buckets[0][0] <= number - BUCKETS:
            old, bad, volume = one.buckets.pop(0)
            one.bad -= bad
            one.volume -= volume
            at = float(old * self._length)
            if one.opened is None or at > one.opened + LEARNS_AFTER:
                one.learn(bad, volume, at)

    def _leaps(self, one: _Provider) -> bool:
        usual = self._usual(one)
        if one.volume < self._volume:
            return False
        bad = volume = 0
        for _, bad_of_it, volume_of_it in reversed(one.buckets):
            bad += bad_of_it
            volume += volume_of_it
            if volume >= self._volume and lower_bound(bad, volume, CERTAIN) > usual:
                return True
        return False

    def _watch(self, provider: str, one: _Provider, at: float) -> None:
        """Of an open breaker: see whether the share is still unusual, and close it when that was long ago."""
        if at >= one.unusual + self._hold:
            self._close(provider, one)
        elif one.share > self._usual(one) and one.volume * 5 >= self._volume:
            one.unusual = max(one.unusual, at)

    def _usual(self, one: _Provider) -> float:
        """The share above which a provider is out of order."""
        return max(FLOOR, self._factor * one.past_share)

    def _close(self, provider: str, one: _Provider) -> None:
        one.opened = None
        self._open.pop(provider, None)
        self._transitions.append(self._transition(provider, one)._replace(opened=False))

    def _transition(self, provider: str, one: _Provider) -> Transition:
        return Transition(provider, True, round(one.share, 4), round(one.past_share, 4), one.volume)

    def _forget(self) -> None:
        provider, _ = self._providers.popitem(last=False)
        if provider in self._open:
            self._close(provider, self._open[provider])


def lower_bound(bad: int, volume: int, deviations: float) -> float:
    """The least share that Wilson's interval leaves, given so many bad of a volume."""
    if not volume:
        return 0.0
    share, square = bad / volume, deviations * deviations / volume
    spread = deviations * math.sqrt(share * (1 - share) / volume + square / (4 * volume))
    return (share + square / 2 - spread) / (1 + square)


def _pack(one: _Provider | list[Any]) -> list[Any]:
    if isinstance(one, list):
        return one
    return [one.buckets, round(one.past_bad, 3), round(one.past_all, 3), one.past_at, one.opened, one.unusual]


def _unpack(packed: list[Any]) -> _Provider:
    """A provider from a state; a new one when that cannot be read."""
    one = _Provider()
    try:
        buckets, bad, volume, at, opened, unusual = packed
        one.buckets = [[int(number), int(bad_of_it), int(all_of_it)] for number, bad_of_it, all_of_it in buckets]
        one.past_bad, one.past_all, one.past_at = float(bad), float(volume), float(at)
        one.opened, one.unusual = None if opened is None else float(opened), float(unusual)
    except (OverflowError, TypeError, ValueError):
        return _Provider()
    one.bad = sum(bucket[1] for bucket in one.buckets)
    one.volume = sum(bucket[2] for bucket in one.buckets)
    return one
