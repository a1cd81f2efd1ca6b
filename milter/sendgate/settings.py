"""The settings: one YAML file and the environment, validated whole, frozen.

In: the path of the file (or None for defaults alone) and the environment. Out: `Settings`.
Refused: `SettingsError` with every mistake at once, each with its place (file, line, dotted key or variable).

Every key can be given as `SENDGATE_<SECTION>__<KEY>`, whose value is read as YAML and wins over the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from sendgate.decision import Action, Rules
from sendgate.entry import WITHOUT_ACTION, Reason, check_name
from sendgate.origin_url import FORMS, is_shared, parse_origin_url
from sendgate.settings_feedback import FeedbackSettings
from sendgate.settings_file import PREFIX, SettingsError, read_environment, read_file
from sendgate.settings_postfix import PostfixSettings
from sendgate.settings_types import ListName, Octets, Seconds, Section, octal_mode
from sendgate.units import parse_duration

DEFAULT_PATH = "/etc/sendgate/sendgate.yaml"
MAX_PORT = 65535


def _with_campaign_group(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if "campaign" not in groups:
        raise ValueError("needs a group named campaign: (?P<campaign>...)")
    return pattern


def _regular_expression(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return pattern


def _socket(value: str) -> str:
    libmilter = re.fullmatch(r"inet6?:(\d+)@\S+", value)
    if re.fullmatch(r"unix:/.+", value) or (libmilter and int(libmilter[1]) <= MAX_PORT):
        return value
    postfix = re.fullmatch(r"inet:(\[[0-9A-Fa-f:.]+\]|[^\s:]+):(\d+)", value)
    if postfix and int(postfix[2]) <= MAX_PORT:
        return f"inet:{postfix[2]}@{postfix[1]}"
    raise ValueError("must be unix:/path, inet:port@host or inet:host:port")


def _listen(value: str) -> str:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:]+):(\d+)", value)
    if not match or int(match[2]) > MAX_PORT:
        raise ValueError("must be host:port or [address]:port")
    return value


def _store_url(value: str) -> str:
    if value.startswith("lmdb:///"):
        return value
    if is_shared(value):
        parse_origin_url(value)
        return value
    raise ValueError(f"must be lmdb:///absolute/path, or {FORMS}")


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise ValueError("must be a power of two")
    return value


_WORDS = {
    "extra_forbidden": "unknown key",
    "model_type": "must be a section: a mapping of keys",
    "dict_type": "must be a mapping of names",
    "frozen_set_type": "must be a list",
    "tuple_type": "must be a list",
    "string_type": "must be text; in quotes, if it looks like a number",
}
"""Our words for what pydantic tells in Python's."""

CampaignPattern = Annotated[str, AfterValidator(_with_campaign_group)]
Pattern = Annotated[str, AfterValidator(_regular_expression)]
StreamName = Annotated[str, AfterValidator(lambda name: check_name(name, "stream"))]
CampaignName = Annotated[str, AfterValidator(lambda name: check_name(name, "campaign"))]
PodCampaign = Annotated[str, AfterValidator(lambda name: name and check_name(name, "campaign"))]


class MilterSettings(Section):
    socket: Annotated[str, AfterValidator(_socket)] = "unix:/run/sendgate/milter.sock"
    """Where Postfix connects: `unix:/path`, or `inet:port@host` (Postfix writes it `inet:host:port`)."""
    socket_mode: Annotated[str, BeforeValidator(octal_mode)] = "0660"
    """Mode of a Unix socket, octal. Postfix's user must be able to write to it."""
    socket_group: str | None = None
    """Group that owns a Unix socket; null leaves the group of the process."""
    workers: int = Field(default=0, ge=0, le=256)
    """Worker processes; 0 is one for each core."""
    recycle_after: int = Field(default=100_000, ge=0)
    """A worker is replaced after this many messages; 0 is never."""
    worker_memory: Annotated[Octets, Field(ge=64 * 2**20)] = 256 * 2**20
    """A worker is replaced when its own memory (without the mapped list) grows beyond this; at least 64MiB."""
    drain: Seconds = 300
    """How long a replaced worker may go on with the SMTP sessions it has; longer ones are cut off with a 451."""


class StoreSettings(Section):
    url: Annotated[str, AfterValidator(_store_url)] = "lmdb:///var/lib/sendgate"
    """The origin of the lists: `lmdb:///folder`, embedded, or a Redis that all pods share: `redis://[user@]host/0`,
    `redis+sentinel://host,host/service`, `redis+cluster://host,host`; `rediss` with TLS."""
    replica: str = "/var/lib/sendgate/replica"
    """Folder of this pod's replica when the origin is shared; not used by an embedded store."""
    max_staleness: Seconds = 6 * 3600
    """A replica that is older turns every pass into 451 4.3.0; an embedded store is never stale."""
    hash_key_file: str | None = None
    """File with a secret (1 to 64 bytes): the store then holds keyed hashes instead of addresses."""
    previous_hash_key_file: str | None = None
    """File with the secret before the one in hash_key_file, for as long as entries are under it; both are looked up."""
    max_size: Octets = 64 * 2**30
    """Largest size that the store's file may grow to. Address space is reserved, not disk or memory."""
    sweep_every: Seconds = 3600
    """How often expired entries are deleted. They stop to count at their second, swept or not."""
    password_file: str | None = None
    """File with the password of the Redis user; wins over one in the URL."""
    sentinel_password_file: str | None = None
    """File with the password that the Sentinels themselves ask for, if they do."""
    tls_ca_file: str | None = None
    """Certificates (PEM) that the server's must be signed by; null: those the system trusts."""
    tls_cert_file: str | None = None
    """Our own certificate (PEM), for servers that ask for one."""
    tls_key_file: str | None = None
    """The key (PEM) of our own certificate."""
    timeout: Annotated[Seconds, Field(ge=2)] = 5
    """How long the Redis server may take to answer or to accept a connection; at least 2s."""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = "sendgate"
    """What the names of all keys in Redis begin with; lists with other prefixes are other lists."""
    shards: Annotated[int, Field(ge=1, le=256), AfterValidator(_power_of_two)] = 16
    """Into how many parts new lists are cut, for a Cluster to spread; a power of two, fixed once lists are there."""
    buckets: Annotated[int, Field(ge=1, le=2**20), AfterValidator(_power_of_two)] = 16384
    """Hash buckets of each shard, for about 50 entries each; a power of two, fixed once lists are there."""
    history: Octets = 256 * 2**20
    """Octets of changes that Redis keeps for pods that were away; a pod that misses more copies all lists anew."""
    resync_spread: Annotated[int, BeforeValidator(parse_duration), Field(ge=0)] = 10
    """Pods that must copy all lists anew begin at random times within this, so that they do not all at once."""
    audit: Annotated[int, BeforeValidator(parse_duration), Field(ge=0)] = 7 * 86400
    """Within this time all of a replica is compared to the origin once, a little at a time; 0 is never."""


class OpsSettings(Section):
    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:9102"
    """Address of the HTTP server with /metrics, /healthz and /readyz."""


class CampaignSettings(Section):
    sources: tuple[Literal["envid", "sender", "sasl", "env"], ...] = Field(
        default=("envid", "sender", "sasl", "env"), alias="from"
    )
    """Where a campaign's name is looked for, in this order; the first that has one wins, none is `unknown`."""
    envid_pattern: CampaignPattern = r"^(?P<campaign>[^+:;/=@]+)"
    """Finds the campaign in the ENVID of MAIL FROM; the rest of it may number the message."""
    sender_pattern: CampaignPattern = r"^bounce\+(?P<campaign>[^+=@]+)"
    """Finds the campaign in the envelope sender."""
    sasl_pattern: CampaignPattern = r"^(?P<campaign>[^@]+)"
    """Finds the campaign in the SASL login name."""
    header: str | None = Field(default="X-Campaign-ID", pattern=r"^[!-9;-~]+$")
    """Header that refines the label of passed messages when ENVID and sender named none; null: none is read."""
    max_labels: int = Field(default=500, ge=1, le=100_000)
    """Campaigns that get a label of their own in metrics; the rest is counted as `other`."""
    streams: dict[StreamName, Pattern] = Field(default_factory=dict)
    """Streams by name, each with a pattern of the campaigns in it; the first that matches wins."""


class ActionSettings(Section):
    default: Action = Action.REJECT
    """What happens to a recipient with an entry: reject, tempfail, hold, discard or observe."""
    trap: Action | None = None
    legal: Action | None = None
    complaint: Action | None = None
    unsubscribe: Action | None = None
    hard_bounce: Action | None = None
    invalid_domain: Action | None = None
    disposable: Action | None = None
    role: Action | None = None
    typo: Action | None = None
    soft_bounce: Action | None = Action.TEMPFAIL
    manual: Action | None = None


class ObserveSettings(Section):
    all: bool = False
    """Dry run of everything: nothing is refused, all is counted as would_reject."""
    lists: frozenset[ListName] = frozenset()
    """Lists in dry run."""
    campaigns: frozenset[CampaignName] = frozenset()
    """Campaigns in dry run."""


class ListSettings(Section):
    match: Literal["mailbox", "exact"] | None = None
    """Whether entries of this list match the mailbox or the exact address; null goes by reason."""


class Settings(Section):
    """All settings. `campaign_id` is the pod's CAMPAIGN_ID, which only the environment can give."""

    milter: MilterSettings = MilterSettings()
    store: StoreSettings = StoreSettings()
    ops: OpsSettings = OpsSettings()
    campaign: CampaignSettings = CampaignSettings()
    actions: ActionSettings = ActionSettings()
    observe: ObserveSettings = ObserveSettings()
    lists: dict[ListName, ListSettings] = Field(default_factory=dict)
    feedback: FeedbackSettings = FeedbackSettings()
    postfix: PostfixSettings = PostfixSettings()
    campaign_id: PodCampaign = Field(default="", exclude=True)

    def rules(self) -> Rules:
        """The part that decisions are made by."""
        actions = {reason: getattr(self.actions, reason, None) for reason in Reason if reason not in WITHOUT_ACTION}
        return Rules(
            default_action=self.actions.default,
            actions={reason: action for reason, action in actions.items() if action is not None},
            observe_all=self.observe.all,
            observed_lists=self.observe.lists,
            observed_campaigns=self.observe.campaigns,
        )

    def match_by_list(self) -> dict[str, bool]:
        """Lists that say how their entries match: True for the mailbox, False for the exact address."""
        return {name: given.match == "mailbox" for name, given in self.lists.items() if given.match}


def chosen_path(path: Path | None, environment: Mapping[str, str]) -> Path:
    """The settings file: the one given, else SENDGATE_CONFIG's, else the default."""
    return path or Path(environment.get("SENDGATE_CONFIG", DEFAULT_PATH))


def load(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """Read and validate. `path` None means: SENDGATE_CONFIG, else the default path if there is a file.

    Raises SettingsError with all mistakes.
    """
    chosen = chosen_path(path, environment)
    required = path is not None or "SENDGATE_CONFIG" in environment
    document = read_file(chosen, required)
    problems = read_environment(environment, document) + _with_one_underscore(environment)
    if "campaign_id" in document.values:
        problems.append(f"{document.place(('campaign_id',))}: unknown key")
        del document.values["campaign_id"]
    document.places["campaign_id",] = "CAMPAIGN_ID"
    written = {section: values for section, values in document.values.items() if values is not None}
    try:
        settings = Settings.model_validate({**written, "campaign_id": environment.get("CAMPAIGN_ID", "")})
    except ValidationError as error:
        problems += [f"{document.place(_place(item['loc']))}: {_words(item)}" for item in error.errors()]
    if problems:
        raise SettingsError(problems)
    return settings


def _with_one_underscore(environment: Mapping[str, str]) -> list[str]:
    """Meant as a setting, and ignored as every variable of somebody else's: a dry run would go live."""
    names = (
        (f"{PREFIX}{section}_{key}".upper(), f"{PREFIX}{section}__{key}".upper())
        for section, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
        for name, inner in field.annotation.model_fields.items()
        for key in [inner.alias or name]
    )
    return [
        f"{wrong}: two underscores between section and key: {right}" for wrong, right in names if wrong in environment
    ]


def _place(location: tuple[int | str, ...]) -> tuple[str, ...]:
    return tuple(str(part) for part in location if part != "[key]")


def _words(item: Any) -> str:
    return _WORDS.get(item["type"]) or str(item["msg"]).removeprefix("Value error, ")
