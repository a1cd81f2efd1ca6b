"""CPU for a RCPT: worker CPU time by recipients, Sendgate beside the bare C milter, turn by turn in one run.

In: a scale. Out: microseconds for a recipient and ratios to the C milter: in each round each contender gets the same
recipients, and the ratio is the median of the rounds' ratios. Every reply is checked: exactly the listed are refused.
"""

from __future__ import annotations

from statistics import median

from bench import lists, load
from bench.contenders import Contender, line_up
from bench.processes import cpu_seconds
from bench.report import Report, Target, progress
from bench.scale import Scale

YARDSTICK = "C milter"
CONTENDERS = (YARDSTICK, "Sendgate, 1 worker", "Sendgate, 2 workers")
SHAPES = ((1, 0.0), (50, 0.0), (1, 0.1), (50, 0.1))
"""Recipients a message, and the share of them that is on the list."""
RATIO_LIMIT = 1.25

Times = dict[str, list[float]]


def run(scale: Scale) -> Report:
    report = Report(
        "cpu",
        f"CPU for a RCPT, {scale.list_size:,} entries, {scale.rounds} rounds",
        ("recipients", "listed", *(f"{name}, µs" for name in CONTENDERS), "ratio", "ratio, 2 workers"),
        notes=["Ratios to the C milter, which does one LMDB get and no more: no counting, no log. Median of rounds."],
    )
    with line_up(scale.list_size, CONTENDERS) as contenders:
        for recipients, share in SHAPES:
            progress(f"cpu: {recipients} recipients a message, {share:.0%} of them on the list")
            messages = scale.messages if recipients == 1 else scale.bulk_messages
            times = _measure(contenders, scale, messages, recipients, share)
            _add(report, recipients, share, times)
    return report


def _measure(contenders: list[Contender], scale: Scale, messages: int, recipients: int, share: float) -> Times:
    times: Times = {contender.name: [] for contender in contenders}
    for number in range(scale.rounds + 1):
        addresses = lists.sample(messages * recipients, scale.list_size, share, seed=number)
        batch = [addresses[start : start + recipients] for start in range(0, len(addresses), recipients)]
        first = number % len(contenders)
        for contender in contenders[first:] + contenders[:first]:
            seconds = _turn(contender, batch, share)
            if number:  # the first round only warms up
                times[contender.name].append(seconds / len(addresses))
    return times


def _turn(contender: Contender, batch: list[list[str]], share: float) -> float:
    before = cpu_seconds(contender.pids())
    outcome = load.send(contender.mta.port, batch)
    spent = cpu_seconds(contender.pids()) - before
    if outcome.refused != round(outcome.recipients * share):
        raise load.UnexpectedReplyError(f"{contender.name} refused {outcome.refused} of {outcome.recipients}")
    contender.drain()
    return spent


def _add(report: Report, recipients: int, share: float, times: Times) -> None:
    ratios = {name: _ratio(times, name) for name in CONTENDERS if name != YARDSTICK}
    spent = {name: median(times[name]) * 1e6 for name in CONTENDERS}
    report.rows.append(
        (
            str(recipients),
            f"{share:.0%}",
            *(f"{value:.0f}" for value in spent.values()),
            *(f"{value:.2f}" for value in ratios.values()),
        )
    )
    shape = f"{recipients} recipients, {share:.0%} listed"
    for name in CONTENDERS:
        report.figures[f"{shape}: {name}, µs"] = spent[name]
    for name, ratio in ratios.items():
        report.figures[f"{shape}: {name}, ratio"] = ratio
        if not share:
            report.targets.append(Target(f"{shape}: {name} to {YARDSTICK}", ratio, RATIO_LIMIT))


def _ratio(times: Times, name: str) -> float:
    return median(mine / theirs for mine, theirs in zip(times[name], times[YARDSTICK], strict=True))
