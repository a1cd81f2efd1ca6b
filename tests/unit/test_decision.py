"""The decision about one recipient, by examples of the entries found for it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise, permutations

import pytest

from sendgate.decision import PASS, Action, Campaign, Cause, Rules, Verdict, decide
from sendgate.entry import EVERYWHERE, OVERRIDES_ALLOW, PRECEDENCE, WITHOUT_ACTION, Found, Reason, Scope, parse_scope

NOW = 1_772_366_400
CAMPAIGN = Campaign("spring-26", "marketing")
_REFUSING = [reason for reason in Reason if reason not in WITHOUT_ACTION]


def found(reason: Reason, scope: Scope = EVERYWHERE, list_name: str = "default", expires: int | None = None) -> Found:
    return Found(reason, scope, list_name, NOW - 86400, expires, "7f3a9c21")


def rules(actions: Mapping[Reason, Action] | None = None, *lists: str) -> Rules:
    return Rules(actions=actions or {}, observed_lists=frozenset(lists))


def test_nothing_found_passes() -> None:
    assert decide([], CAMPAIGN, NOW, Rules()) == PASS


@pytest.mark.parametrize("reason", _REFUSING)
def test_an_entry_is_refused_by_default_and_named(reason: Reason) -> None:
    entry = found(reason)
    decision = decide([entry], CAMPAIGN, NOW, Rules())
    assert decision == (Verdict.REJECT, Cause.ENTRY, entry, False)


def test_the_precedence_is_the_designs() -> None:
    words = "trap legal complaint unsubscribe hard_bounce invalid_domain disposable role typo soft_bounce manual allow"
    assert sorted(Reason, key=PRECEDENCE.__getitem__) == [*words.split(), "strike"]


def test_a_remembered_failure_refuses_nobody() -> None:
    assert decide([found(Reason.STRIKE)], CAMPAIGN, NOW, Rules()) == PASS


def test_a_remembered_failure_changes_nothing_about_other_entries() -> None:
    entries = [found(Reason.STRIKE), found(Reason.HARD_BOUNCE)]
    assert decide(entries, CAMPAIGN, NOW, Rules()) == decide(entries[1:], CAMPAIGN, NOW, Rules())


@pytest.mark.parametrize(("stronger", "weaker"), list(pairwise(_REFUSING)))
def test_the_stronger_reason_decides_in_whatever_order(stronger: Reason, weaker: Reason) -> None:
    for order in permutations([found(stronger), found(weaker)]):
        entry = decide(order, CAMPAIGN, NOW, Rules()).entry
        assert entry is not None
        assert entry.reason is stronger


def test_an_allow_alone_passes() -> None:
    assert decide([found(Reason.ALLOW)], CAMPAIGN, NOW, Rules()) == PASS


@pytest.mark.parametrize("reason", _REFUSING)
def test_an_allow_releases_all_but_legal_complaint_and_unsubscribe(reason: Reason) -> None:
    decision = decide([found(reason), found(Reason.ALLOW)], CAMPAIGN, NOW, Rules())
    assert (decision.verdict is Verdict.REJECT) is (reason in OVERRIDES_ALLOW)
    assert {Reason.LEGAL, Reason.COMPLAINT, Reason.UNSUBSCRIBE} == OVERRIDES_ALLOW


def test_under_an_allow_a_trap_does_not_hide_a_complaint() -> None:
    entries = [found(Reason.TRAP), found(Reason.COMPLAINT), found(Reason.ALLOW)]
    entry = decide(entries, CAMPAIGN, NOW, Rules()).entry
    assert entry == found(Reason.COMPLAINT)


@pytest.mark.parametrize(
    ("scope", "refused"),
    [
        ("*", True),
        ("campaign:spring-26", True),
        ("campaign:autumn-26", False),
        ("stream:marketing", True),
        ("stream:transactional", False),
    ],
)
def test_an_entry_holds_within_its_scope_only(scope: str, refused: bool) -> None:
    decision = decide([found(Reason.UNSUBSCRIBE, parse_scope(scope))], CAMPAIGN, NOW, Rules())
    assert (decision.verdict is Verdict.REJECT) is refused


def test_an_entry_out_of_scope_does_not_mask_a_weaker_one_in_scope() -> None:
    entries = [found(Reason.LEGAL, parse_scope("stream:transactional")), found(Reason.MANUAL)]
    assert decide(entries, CAMPAIGN, NOW, Rules()).entry == entries[1]


def test_an_allow_out_of_scope_releases_nothing() -> None:
    entries = [found(Reason.HARD_BOUNCE), found(Reason.ALLOW, parse_scope("stream:transactional"))]
    assert decide(entries, CAMPAIGN, NOW, Rules()).verdict is Verdict.REJECT


def test_an_allow_in_scope_releases_a_global_entry() -> None:
    entries = [found(Reason.HARD_BOUNCE), found(Reason.ALLOW, parse_scope("campaign:spring-26"))]
    assert decide(entries, CAMPAIGN, NOW, Rules()) == PASS


@pytest.mark.parametrize(("expires", "refused"), [(NOW - 1, False), (NOW, False), (NOW + 1, True), (None, True)])
def test_an_entry_counts_until_its_second_of_expiry(expires: int | None, refused: bool) -> None:
    decision = decide([found(Reason.MANUAL, expires=expires)], CAMPAIGN, NOW, Rules())
    assert (decision.verdict is Verdict.REJECT) is refused


def test_an_expired_entry_does_not_mask_a_weaker_live_one() -> None:
    entries = [found(Reason.TRAP, expires=NOW), found(Reason.ROLE)]
    assert decide(entries, CAMPAIGN, NOW, Rules()).entry == entries[1]


def test_an_expired_allow_releases_nothing() -> None:
    entries = [found(Reason.ROLE), found(Reason.ALLOW, expires=NOW)]
    assert decide(entries, CAMPAIGN, NOW, Rules()).verdict is Verdict.REJECT


@pytest.mark.parametrize("action", [Action.REJECT, Action.TEMPFAIL, Action.HOLD, Action.DISCARD])
def test_the_action_for_the_reason_is_taken(action: Action) -> None:
    decision = decide([found(Reason.ROLE)], CAMPAIGN, NOW, rules({Reason.ROLE: action}))
    assert decision.verdict is Verdict(action)


def test_a_reason_without_action_gets_the_default_one() -> None:
    given = Rules(default_action=Action.HOLD, actions={Reason.ROLE: Action.DISCARD})
    assert decide([found(Reason.TYPO)], CAMPAIGN, NOW, given).verdict is Verdict.HOLD


def test_the_action_is_that_of_the_strongest_reason() -> None:
    given = rules({Reason.TRAP: Action.DISCARD, Reason.MANUAL: Action.HOLD})
    decision = decide([found(Reason.MANUAL), found(Reason.TRAP)], CAMPAIGN, NOW, given)
    assert decision.verdict is Verdict.DISCARD


_DRY_RUNS = {
    "of all": Rules(observe_all=True),
    "of the list": Rules(observed_lists=frozenset({"default"})),
    "of the campaign": Rules(observed_campaigns=frozenset({"spring-26"})),
    "of the reason": Rules(actions={Reason.ROLE: Action.OBSERVE}),
    "by default": Rules(default_action=Action.OBSERVE),
}


@pytest.mark.parametrize("given", _DRY_RUNS.values(), ids=_DRY_RUNS.keys())
def test_a_dry_run_passes_and_names_the_entry(given: Rules) -> None:
    entry = found(Reason.ROLE)
    assert decide([entry], CAMPAIGN, NOW, given) == (Verdict.PASS, Cause.ENTRY, entry, True)


def test_a_dry_run_of_another_list_or_campaign_changes_nothing() -> None:
    given = Rules(observed_lists=frozenset({"other"}), observed_campaigns=frozenset({"autumn-26", "marketing"}))
    assert decide([found(Reason.ROLE)], CAMPAIGN, NOW, given).verdict is Verdict.REJECT


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_stronger_observed_entry_does_not_mask_an_enforced_one(order: tuple[int, int]) -> None:
    entries = [found(Reason.TRAP, list_name="new"), found(Reason.MANUAL)]
    decision = decide([entries[index] for index in order], CAMPAIGN, NOW, rules(None, "new"))
    assert decision == (Verdict.REJECT, Cause.ENTRY, entries[1], False)


def test_the_strongest_observed_entry_is_named_when_none_is_enforced() -> None:
    entries = [found(Reason.ROLE, list_name="new"), found(Reason.TRAP, list_name="new")]
    assert decide(entries, CAMPAIGN, NOW, rules(None, "new")).entry == entries[1]


def test_an_observed_allow_does_not_release_an_enforced_entry() -> None:
    entries = [found(Reason.ROLE), found(Reason.ALLOW, list_name="new")]
    assert decide(entries, CAMPAIGN, NOW, rules(None, "new")).verdict is Verdict.REJECT


def test_an_observed_allow_releases_observed_entries() -> None:
    entries = [found(Reason.ROLE), found(Reason.ALLOW)]
    assert decide(entries, CAMPAIGN, NOW, Rules(observe_all=True)) == PASS


def test_an_observed_allow_does_not_hide_an_observed_complaint() -> None:
    entries = [found(Reason.TRAP), found(Reason.COMPLAINT), found(Reason.ALLOW)]
    decision = decide(entries, CAMPAIGN, NOW, Rules(observe_all=True))
    assert (decision.observed, decision.entry) == (True, entries[1])


def test_an_enforced_allow_hides_an_observed_entry() -> None:
    entries = [found(Reason.TRAP, list_name="new"), found(Reason.ALLOW)]
    assert decide(entries, CAMPAIGN, NOW, rules(None, "new")) == PASS


def test_an_allow_is_enforced_even_when_the_default_is_to_observe() -> None:
    given = Rules(default_action=Action.OBSERVE, actions={Reason.TRAP: Action.REJECT})
    assert decide([found(Reason.TRAP), found(Reason.ALLOW)], CAMPAIGN, NOW, given) == PASS


def test_one_list_s_allow_and_another_s_entry_meet() -> None:
    entries = [found(Reason.HARD_BOUNCE, list_name="a"), found(Reason.ALLOW, list_name="b")]
    assert decide(entries, CAMPAIGN, NOW, Rules()) == PASS
