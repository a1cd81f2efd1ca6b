"""`sendgate explain`: why an address passes or not, or what the reference of a reply stands for.

In: an address and a campaign, or a reference. Out: what it was looked up by, all entries found and whether each
applies, the decision and the reply. Refused: nothing; an address that cannot be read is answered as the gate would.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated

import typer

from sendgate.campaign import UNKNOWN
from sendgate.cli.explaining import Explanation, evidence_lines, evidence_object, explain_recipient
from sendgate.cli.options import ConfigOption, JsonOption, settings_of
from sendgate.cli.output import brief, print_json, print_pairs, times_of
from sendgate.cli.problems import Exit, complain
from sendgate.cli.stores import open_for_reading, open_replica_origin
from sendgate.decision import Decision, Verdict
from sendgate.entry import Entry, check_name
from sendgate.keys import REF_DIGITS, ref_of
from sendgate.listfile.writer import as_object
from sendgate.settings import Settings
from sendgate.store.errors import OriginLostError, StoreUnreachableError
from sendgate.store.origin import Explains

_REF = re.compile(rf"[0-9a-fA-F]{{{REF_DIGITS}}}")


def explain(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="ADDRESS|REF", help="A recipient, or the ref of a reply.")],
    campaign: Annotated[str, typer.Option("--campaign", metavar="NAME", help="The campaign to judge for.")] = UNKNOWN,
    replica: Annotated[
        bool, typer.Option("--replica", help="By what this pod's replica knows; also without, while Redis is away.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> int:
    """Tell why an address passes or not, and the reply it would get.

    Exit status 0 when the address passes, 1 when it does not. For the ref of a reply (8 hex digits): its entries,
    0 when there are any, 1 when there are none.
    """
    settings = settings_of(context, config)
    name = check_name(campaign, "campaign")
    with _opened(settings, replica) as origin:
        if _REF.fullmatch(subject):
            return _explain_ref(origin, subject.lower(), as_json)
        explanation = explain_recipient(origin, settings, subject, name)
    _print(explanation, as_json)
    return Exit.YES if explanation.decision.verdict is Verdict.PASS else Exit.NO


@contextmanager
def _opened(settings: Settings, replica: bool) -> Iterator[Explains]:
    """What to ask: the origin, or the replica of a shared one that is away."""
    with ExitStack() as stack:
        origin: Explains
        try:
            if replica:
                origin = stack.enter_context(open_replica_origin(settings))
            else:
                origin = stack.enter_context(open_for_reading(settings))
        except (StoreUnreachableError, OriginLostError) as error:
            origin = stack.enter_context(open_replica_origin(settings))
            complain(f"{str(error).rstrip('.')}; this is what this pod's replica knows, without notes")
        yield origin


def _explain_ref(origin: Explains, ref: str, as_json: bool) -> int:
    entries = origin.by_ref(ref)
    if as_json:
        print_json({"ref": ref, "entries": [_with_evidence(entry) for entry in entries]})
    elif not entries:
        print(f"ref {ref} stands for no entry (any more)")
    for entry in [] if as_json else entries:
        print(f"{brief(entry)}\n    {times_of(entry)}, {_who(entry)}")
        _print_evidence(entry)
    return Exit.YES if entries else Exit.NO


def _print(told: Explanation, as_json: bool) -> None:
    if as_json:
        print_json(_as_object(told))
        return
    stream = f" (stream {told.campaign.stream})" if told.campaign.stream else ""
    print_pairs(
        [
            ("address", told.address or f"not understood: {told.problem}"),
            ("mailbox", told.mailbox or "-"),
            ("campaign", told.campaign.name + stream),
            ("keys", ", ".join(f"{text} ({ref_of(key)})" for text, key in told.keys) or "-"),
            ("entries", len(told.entries)),
        ]
    )
    for explained in told.entries:
        entry = explained.match.entry
        print(f"  {brief(entry)}\n    {times_of(entry)}, {_who(entry)}, ref {explained.match.found.ref}")
        _print_evidence(entry)
        print(f"    {explained.why}")
    print_pairs([("decision", _verdict(told.decision)), ("reply", told.reply or "250, as Postfix has it")])


def _as_object(told: Explanation) -> dict[str, object]:
    decision = told.decision
    return {
        "recipient": told.recipient,
        "address": told.address,
        "problem": told.problem,
        "mailbox": told.mailbox,
        "campaign": told.campaign.name,
        "stream": told.campaign.stream or None,
        "keys": [{"text": text, "key": key.hex()} for text, key in told.keys],
        "entries": [
            {**_with_evidence(match.entry), "ref": match.found.ref, "applies": applies, "why": why}
            for match, applies, why in told.entries
        ],
        "passes": decision.verdict is Verdict.PASS,
        "decision": decision.verdict.value,
        "cause": decision.cause.value if decision.cause else None,
        "observed": decision.observed,
        "reply": told.reply,
    }


def _with_evidence(entry: Entry) -> dict[str, object]:
    return {**as_object(entry), "evidence": evidence_object(entry)}


def _print_evidence(entry: Entry) -> None:
    for line in evidence_lines(entry):
        print(f"    {line}")


def _verdict(decision: Decision) -> str:
    if decision.observed:
        return "pass; observed only, counted as would_reject"
    if decision.verdict in (Verdict.HOLD, Verdict.DISCARD):
        return f"{decision.verdict}, at end of message"
    return decision.verdict.value


def _who(entry: Entry) -> str:
    shown = entry.note and evidence_object(entry) is None
    note = f", note: {entry.note}" if shown else ""
    return f"by {entry.origin}, strikes {entry.strikes}{note}"
