"""The variants of settings that dialogues run with: each one gate and one Postfix, started when first used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Variant:
    """settings: of the gate, over the trial's; environment: of its processes; mta: settings of main.cf.

    logins: users that can log in to Postfix by SASL, all with the password `secret`. tcp: the milter listens on TCP.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    mta: dict[str, str] = field(default_factory=dict)
    logins: tuple[str, ...] = ()
    tcp: bool = False


STREAMS = {"marketing": "^news-", "transactional": "^txn-"}

VARIANTS = {
    # The defaults of the gate and main.cf as it is shipped, with streams, and users that can log in.
    "shipped": Variant({"campaign": {"streams": STREAMS}}, logins=("autumn", "news-weekly")),
    # Every action, and dry run of a list and of a campaign.
    "fates": Variant(
        {
            "actions": {
                "manual": "hold",
                "legal": "hold",
                "role": "discard",
                "typo": "discard",
                "disposable": "observe",
            },
            "observe": {"lists": ["pilot"], "campaigns": ["rehearsal"]},
        }
    ),
    # Dry run of everything.
    "dry-run": Variant({"observe": {"all": True}}),
    # A Postfix that takes addresses in every writing it knows, and reads routes in local parts.
    "loose": Variant(
        {"actions": {"typo": "discard"}},
        mta={
            "strict_rfc821_envelopes": "no",
            "allow_percent_hack": "yes",
            "swap_bangpath": "yes",
            "smtpd_recipient_restrictions": "",
            "smtputf8_enable": "no",
        },
    ),
    # Campaigns in another order, with other patterns, and the pod's own when a message names none.
    "pod": Variant(
        {
            "campaign": {
                "from": ["sender", "envid", "env"],
                "sender_pattern": r"^(?P<campaign>[^+@]+)\+",
                "envid_pattern": r"^job/(?P<campaign>\w+)",
                "header": None,
            }
        },
        environment={"CAMPAIGN_ID": "pod-blue"},
    ),
    # Entries that match by list, whatever their reason.
    "lists": Variant({"lists": {"partner": {"match": "mailbox"}, "strict": {"match": "exact"}}}),
    # The milter on TCP instead of a Unix socket.
    "tcp": Variant(tcp=True),
    # No clear address in the store; the arena writes the key.
    "hashed": Variant({"store": {"hash_key_file": "{folder}/secret"}}),
}
