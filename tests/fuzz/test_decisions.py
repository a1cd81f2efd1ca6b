"""The decision obeys its rules for whatever is found."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fuzz.strategies import found_entries, names, reasons
from sendgate.decision import PASS, Action, Campaign, Rules, Verdict, decide
from sendgate.entry import OVERRIDES_ALLOW, PRECEDENCE, WITHOUT_ACTION, Found, Reason

_FEW = st.lists(found_entries, max_size=6)
_CAMPAIGNS = st.builds(Campaign, st.sampled_from(["a", "b", "unknown"]), st.sampled_from(["", "a", "b"]))
_NOW = st.integers(0, 30)
_RULES = st.builds(
    Rules,
    st.sampled_from(Action),
    st.dictionaries(reasons.filter(lambda reason: reason not in WITHOUT_ACTION), st.sampled_from(Action), max_size=4),
    st.integers(0, 9).map(lambda number: number == 0),
    st.frozensets(names, max_size=1),
    st.frozensets(st.sampled_from(["a", "b"]), max_size=1),
)


def counting(found: list[Found], campaign: Campaign, now: int) -> list[Found]:
    """The entries that are live and in scope, as the design words it."""
    return [
        entry
        for entry in found
        if entry.reason is not Reason.STRIKE
        and (entry.expires is None or entry.expires > now)
        and str(entry.scope) in ("*", f"campaign:{campaign.name}", f"stream:{campaign.stream}")
    ]


def enforced(found: list[Found], campaign: Campaign, now: int, rules: Rules) -> list[Found]:
    return [entry for entry in counting(found, campaign, now) if rules.action(entry, campaign) is not Action.OBSERVE]


@given(_FEW, _CAMPAIGNS, _NOW, _RULES)
def test_legal_complaint_and_unsubscribe_are_never_passed(
    found: list[Found], campaign: Campaign, now: int, rules: Rules
) -> None:
    binding = [entry for entry in enforced(found, campaign, now, rules) if entry.reason in OVERRIDES_ALLOW]
    if binding:
        assert decide(found, campaign, now, rules).verdict is not Verdict.PASS


@given(_FEW, _CAMPAIGNS, _NOW, _RULES)
def test_the_strongest_enforced_entry_that_no_allow_releases_decides(
    found: list[Found], campaign: Campaign, now: int, rules: Rules
) -> None:
    holding = enforced(found, campaign, now, rules)
    allowed = any(entry.reason is Reason.ALLOW for entry in holding)
    refusing = [
        entry
        for entry in holding
        if entry.reason is not Reason.ALLOW and (not allowed or entry.reason in OVERRIDES_ALLOW)
    ]
    decision = decide(found, campaign, now, rules)
    if not refusing:
        assert decision.verdict is Verdict.PASS
        return
    strongest = min(refusing, key=lambda entry: PRECEDENCE[entry.reason])
    assert decision.entry is not None
    assert decision.entry.reason is strongest.reason
    assert decision.verdict.value == rules.action(strongest, campaign).value
    assert not decision.observed


@given(_FEW, _CAMPAIGNS, _NOW, _RULES)
def test_what_expired_or_is_out_of_scope_has_no_part(
    found: list[Found], campaign: Campaign, now: int, rules: Rules
) -> None:
    assert decide(found, campaign, now, rules) == decide(counting(found, campaign, now), campaign, now, rules)


@given(_FEW, _CAMPAIGNS, _NOW, _RULES, st.randoms(use_true_random=False))
def test_the_order_of_the_entries_has_no_part(
    found: list[Found], campaign: Campaign, now: int, rules: Rules, random: object
) -> None:
    shuffled = sorted(found, key=lambda _: random.random())  # type: ignore[attr-defined]
    one, other = decide(found, campaign, now, rules), decide(shuffled, campaign, now, rules)
    assert (one.verdict, one.cause, one.observed) == (other.verdict, other.cause, other.observed)
    assert (one.entry and one.entry.reason) == (other.entry and other.entry.reason)


@given(_FEW, _CAMPAIGNS, _NOW, _RULES)
def test_only_a_dry_run_is_observed_and_it_passes(
    found: list[Found], campaign: Campaign, now: int, rules: Rules
) -> None:
    decision = decide(found, campaign, now, rules)
    if decision.observed:
        assert decision.verdict is Verdict.PASS
        assert decision.entry is not None
        assert decision.entry.reason is not Reason.ALLOW
        assert rules.action(decision.entry, campaign) is Action.OBSERVE
    elif decision.verdict is Verdict.PASS:
        assert decision == PASS


@given(_FEW, _CAMPAIGNS, _NOW)
def test_a_dry_run_of_all_passes_what_the_real_run_refuses_and_names_the_same(
    found: list[Found], campaign: Campaign, now: int
) -> None:
    real, dry = decide(found, campaign, now, Rules()), decide(found, campaign, now, Rules(observe_all=True))
    assert dry.verdict is Verdict.PASS
    assert dry.observed == (real.verdict is not Verdict.PASS)
    assert dry.entry == real.entry
