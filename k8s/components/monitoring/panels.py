"""What is on the dashboard: rows of panels, each with its queries.

In: nothing. Out: ROWS. Refused: nothing. Variables of the dashboard ($namespace, $campaign, $__rate_interval) stand in
the queries as Grafana replaces them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_N = 'namespace=~"$namespace"'
_C = f'{_N},campaign=~"$campaign"'
_RATE = "[$__rate_interval]"


@dataclass(frozen=True, slots=True)
class Panel:
    """kind: Grafana's panel type. queries: expression and legend. limits: values from which it is yellow, and red."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    about: str = ""
    limits: tuple[float, float] | None = None
    stacked: bool = False
    highest: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: Sequence[Panel]


def _stat(title: str, query: str, unit: str = "short", limits: tuple[float, float] | None = None) -> Panel:
    return Panel(title, [(query, "")], unit, "stat", width=4, height=4, limits=limits)


def _share(rate: str) -> list[tuple[str, str]]:
    selected = f'{{rate="{rate}",{_C}}}'
    return [
        (f"campaign:sendgate_share:ratio{selected}", "{{namespace}} {{campaign}}"),
        (f"campaign:sendgate_share:lower{selected}", "{{namespace}} {{campaign}}, for certain"),
    ]


NOW = Row(
    "Now",
    [
        _stat("Gates that answer", f'sum(up{{job="sendgate",{_N}}})'),
        _stat("Messages delivered, 1 h", f'sum(campaign:sendgate_deliveries:increase1h{{result="sent",{_C}}})'),
        _stat(
            "Recipients on the lists, 1 h",
            f'sum(campaign:sendgate_hits:sum{{rate="listed",{_C}}})'
            f' / (sum(campaign:sendgate_tries:sum{{rate="listed",{_C}}}) > 0)',
            "percentunit",
            (0.1, 0.5),
        ),
        _stat("Spam traps, 1 h", f"sum(campaign:sendgate_trap_hits:increase1h{{{_C}}}) or vector(0)", limits=(1, 10)),
        _stat("Oldest replica", f"max(sendgate_replica_age_seconds{{{_N}}})", "s", (10800, 19440)),
        _stat(
            "Alerts",
            f'count(ALERTS{{alertname=~"Sendgate.+",severity!="none",alertstate="firing",{_N}}}) or vector(0)',
            limits=(1, 5),
        ),
    ],
)

CAMPAIGNS = Row(
    "Campaigns",
    [
        Panel(
            "Sent",
            [(f'sum by (campaign) (rate(sendgate_deliveries_total{{result="sent",{_C}}}{_RATE}))', "{{campaign}}")],
            "ops",
            about="Recipients that a receiver has taken, a second.",
        ),
        Panel(
            "Other answers",
            [(f'sum by (result) (rate(sendgate_deliveries_total{{result!="sent",{_C}}}{_RATE}))', "{{result}}")],
            "ops",
        ),
        Panel(
            "Decisions",
            [(f"sum by (decision) (rate(sendgate_recipients_total{{{_C}}}{_RATE}))", "{{decision}}")],
            "ops",
            stacked=True,
        ),
        Panel(
            "Refused, by reason",
            [
                (
                    f'sum by (reason) (rate(sendgate_recipients_total{{decision=~"reject|tempfail",{_C}}}{_RATE}))',
                    "{{reason}}",
                )
            ],
            "ops",
            stacked=True,
        ),
        Panel(
            "Share of recipients on the lists",
            [
                *_share("listed")[:1],
                (f"campaign:sendgate_share:expected{{{_C}}}", "{{namespace}} {{campaign}}, the day before"),
            ],
            "percentunit",
            highest=1,
        ),
        Panel(
            "Spam traps within an hour",
            [(f"campaign:sendgate_trap_hits:increase1h{{{_C}}}", "{{namespace}} {{campaign}}")],
            limits=(1, 10),
        ),
        Panel(
            "Bounces, by type",
            [(f"sum by (bounce_type) (campaign:sendgate_bounces:increase1h{{{_C}}})", "{{bounce_type}}")],
            about="Within an hour.",
            stacked=True,
        ),
        Panel("Bad recipients, of a day's answers", _share("bad_recipients"), "percentunit", limits=(0.05, 0.1)),
        Panel("Blocked, of an hour's answers", _share("blocked"), "percentunit", limits=(0.02, 0.2)),
        Panel("Complaints, of a day's deliveries", _share("complaints"), "percentunit", limits=(0.001, 0.003)),
        Panel(
            "Complaints within a day",
            [(f"campaign:sendgate_complaints:increase1d{{{_C}}}", "{{namespace}} {{campaign}}")],
        ),
        Panel(
            "Recipients without a campaign of their own",
            [(f'campaign:sendgate_share:ratio{{rate="unknown_campaign",{_N}}}', "{{namespace}}")],
            "percentunit",
            limits=(0.1, 0.5),
        ),
    ],
)

_BUCKETS = f"sum by (le) (rate(sendgate_decision_seconds_bucket{{{_N}}}{_RATE}))"
GATE = Row(
    "Gate",
    [
        Panel(
            "Time for a decision",
            [(f"histogram_quantile({share}, {_BUCKETS})", f"{share * 100:g} %") for share in (0.5, 0.99, 0.999)],
            "s",
        ),
        Panel(
            "Messages", [(f"sum by (campaign) (rate(sendgate_messages_total{{{_C}}}{_RATE}))", "{{campaign}}")], "ops"
        ),
        Panel("Workers", [(f"sendgate_workers{{{_N}}}", "{{namespace}} {{pod}}")]),
        Panel(
            "Workers replaced, faults, reloads refused, within an hour",
            [
                (f"sum by (cause) (increase(sendgate_worker_restarts_total{{{_N}}}[1h]))", "{{cause}}"),
                (f"sum(increase(sendgate_exceptions_total{{{_N}}}[1h]))", "faults"),
                (f'sum(increase(sendgate_config_reloads_total{{result="failed",{_N}}}[1h]))', "reloads refused"),
            ],
        ),
        Panel(
            "Replica age",
            [(f"sendgate_replica_age_seconds{{{_N}}}", "{{namespace}} {{pod}}")],
            "s",
            limits=(10800, 19440),
        ),
        Panel(
            "Origin and store",
            [
                (f"min by (namespace) (sendgate_origin_up{{{_N}}})", "{{namespace}}: all follow the origin"),
                (f"min by (namespace) (sendgate_store_up{{{_N}}})", "{{namespace}}: all can read their lists"),
            ],
            highest=1,
        ),
        Panel(
            "Entries, by reason",
            [(f"max by (reason) (sendgate_entries{{{_N}}})", "{{reason}}")],
            about="Of the pod that has the most. With a shared origin all pods have the same.",
        ),
        Panel(
            "Entries that the origin has lost",
            [(f"sendgate_replica_kept_entries{{{_N}}}", "{{namespace}} {{pod}}")],
            limits=(1, 1),
        ),
        Panel(
            "Feedback that waits",
            [(f"sendgate_feedback_log_behind_bytes{{{_N}}}", "{{namespace}} {{pod}}")],
            "bytes",
            limits=(1e7, 1e8),
        ),
    ],
)

QUEUE = Row(
    "Postfix",
    [
        Panel(
            "Queue, by state",
            [(f"sum by (queue) (sendgate_postfix_queue_messages{{{_N}}})", "{{queue}}")],
            stacked=True,
        ),
        Panel(
            "Queue, by age",
            [(f"sum by (age) (sendgate_postfix_queue_messages{{{_N}}})", "{{age}}")],
            stacked=True,
        ),
        Panel(
            "Oldest message",
            [(f"max by (queue) (sendgate_postfix_queue_oldest_seconds{{{_N}}})", "{{queue}}")],
            "s",
        ),
        Panel("Size of the queue", [(f"sum by (queue) (sendgate_postfix_queue_bytes{{{_N}}})", "{{queue}}")], "bytes"),
        Panel("Queue is told", [(f"sendgate_postfix_queue_up{{{_N}}}", "{{namespace}} {{pod}}")], highest=1),
        Panel(
            "Milters that Postfix did not reach",
            [(f"sum by (milter) (increase(sendgate_postfix_milter_failures_total{{{_N}}}[1h]))", "{{milter}}")],
            about="Within an hour.",
            limits=(1, 10),
        ),
    ],
)
ROWS = (NOW, CAMPAIGNS, GATE, QUEUE)
