"""The settings: defaults, the file, the environment, and every broken file of `tests/data/settings`.

A broken file `NAME.yaml` has its expected mistakes in `NAME.errors`, one a line, and may have variables in `NAME.env`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sendgate.decision import Action
from sendgate.entry import WITHOUT_ACTION, Reason
from sendgate.settings import Settings, load
from sendgate.settings_file import SettingsError

_FILES = sorted((Path(__file__).parents[1] / "data" / "settings").glob("*.yaml"))
_KUBERNETES = {
    "SENDGATE_PORT": "tcp://10.96.0.7:25",
    "SENDGATE_PORT_25_TCP": "tcp://10.96.0.7:25",
    "SENDGATE_PORT_25_TCP_ADDR": "10.96.0.7",
    "SENDGATE_PORT_25_TCP_PORT": "25",
    "SENDGATE_PORT_25_TCP_PROTO": "tcp",
    "SENDGATE_SERVICE_HOST": "10.96.0.7",
    "SENDGATE_SERVICE_PORT": "25",
    "SENDGATE_SERVICE_PORT_SMTP": "25",
}


@pytest.fixture(autouse=True)
def _no_file_at_the_default_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sendgate.settings.DEFAULT_PATH", str(tmp_path / "none.yaml"))


def written(folder: Path, text: str) -> Path:
    path = folder / "sendgate.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path | None, **environment: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(path, environment)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


@pytest.mark.parametrize("path", _FILES, ids=[path.stem for path in _FILES])
def test_every_mistake_of_a_broken_file_is_told_with_its_place(path: Path) -> None:
    variables = path.with_suffix(".env")
    lines = variables.read_text().splitlines() if variables.exists() else []
    told = problems(path, **dict(line.split("=", 1) for line in lines))
    assert [text.replace(str(path), path.name) for text in told] == path.with_suffix(".errors").read_text().splitlines()


def test_a_section_without_keys_is_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "sendgate.yaml"
    path.write_text("ops:\ncampaign:\n  # header: X-Mailing\n", encoding="utf-8")
    assert load(path, {}) == Settings()


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load(written(tmp_path, ""), {}) == load(written(tmp_path, "# nothing\n"), {}) == Settings()


def test_the_defaults_are_the_designs() -> None:
    given = Settings()
    assert given.milter.socket == "unix:/run/sendgate/milter.sock"
    assert given.milter.socket_mode == "0660"
    assert given.milter.recycle_after == 100_000
    assert given.store.url == "lmdb:///var/lib/sendgate"
    assert given.store.max_staleness == 6 * 3600
    assert given.ops.listen == "127.0.0.1:9102"
    assert given.campaign.sources == ("envid", "sender", "sasl", "env")
    assert given.campaign.max_labels == 500
    assert (given.actions.default, given.actions.soft_bounce) == (Action.REJECT, Action.TEMPFAIL)
    assert not given.observe.all


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    given = load(
        written(
            tmp_path,
            """
            milter: {socket: "inet:8890@127.0.0.1", workers: 4, worker_memory: 64MiB, drain: 1m}
            store: {url: "lmdb:///srv/lists", max_staleness: 2h, hash_key_file: /etc/sendgate/key}
            ops: {listen: "[::1]:9102"}
            campaign:
              from: [sasl, env]
              header: null
              streams: {marketing: "^news-", transactional: "^txn-"}
            actions: {default: tempfail, trap: discard, role: observe}
            observe: {lists: [new], campaigns: [spring-26]}
            lists: {imported: {match: mailbox}, partners: {match: exact}, other: {}}
            """,
        ),
        {"CAMPAIGN_ID": "pod-7"},
    )
    assert (given.milter.worker_memory, given.milter.drain, given.store.max_staleness) == (2**26, 60, 7200)
    assert (given.campaign.sources, given.campaign.header) == (("sasl", "env"), None)
    assert list(given.campaign.streams) == ["marketing", "transactional"]
    assert given.observe.lists == {"new"}
    assert given.match_by_list() == {"imported": True, "partners": False}
    assert given.campaign_id == "pod-7"


@pytest.mark.parametrize(
    "url",
    [
        "lmdb:///srv/lists",
        "redis://redis.example",
        "redis://app@redis.example:6380/3",
        "rediss://app:p%40ss@[::1]",
        "redis+sentinel://one.example,two.example:26380/lists",
        "rediss+cluster://one.example,two.example",
    ],
)
def test_a_store_may_be_a_folder_or_any_kind_of_redis(tmp_path: Path, url: str) -> None:
    assert load(written(tmp_path, f'store: {{url: "{url}"}}'), {}).store.url == url


def test_all_about_a_shared_store_is_read(tmp_path: Path) -> None:
    text = """
        store:
          url: rediss://app@redis.example
          replica: /srv/replica
          max_staleness: 12h
          password_file: /run/secrets/redis
          sentinel_password_file: /run/secrets/sentinel
          tls_ca_file: /etc/ca.pem
          tls_cert_file: /etc/cert.pem
          tls_key_file: /etc/key.pem
          timeout: 10s
          prefix: sendgate-2.test_3
          shards: 64
          buckets: 1
          history: 1GiB
          resync_spread: 2m
        """
    store = load(written(tmp_path, text), {}).store
    assert (store.replica, store.max_staleness, store.timeout) == ("/srv/replica", 12 * 3600, 10)
    assert (store.password_file, store.sentinel_password_file) == ("/run/secrets/redis", "/run/secrets/sentinel")
    assert (store.tls_ca_file, store.tls_cert_file, store.tls_key_file) == (
        "/etc/ca.pem",
        "/etc/cert.pem",
        "/etc/key.pem",
    )
    assert (store.prefix, store.shards, store.buckets) == ("sendgate-2.test_3", 64, 1)
    assert (store.history, store.resync_spread) == (2**30, 120)


def test_a_shared_store_s_defaults_fit_each_other() -> None:
    store = Settings().store
    assert (store.prefix, store.shards, store.buckets) == ("sendgate", 16, 16384)
    assert (store.timeout, store.history, store.resync_spread) == (5, 256 * 2**20, 10)
    assert store.password_file is store.sentinel_password_file is None
    assert store.tls_ca_file is store.tls_cert_file is store.tls_key_file is None


def test_pods_that_must_copy_may_do_so_at_once(tmp_path: Path) -> None:
    assert load(written(tmp_path, "store: {resync_spread: 0}"), {}).store.resync_spread == 0


def test_the_rules_are_what_a_decision_needs(tmp_path: Path) -> None:
    text = "actions: {default: hold, trap: discard}\nobserve: {all: true, lists: [new], campaigns: [spring]}\n"
    rules = load(written(tmp_path, text), {}).rules()
    assert rules.default_action is Action.HOLD
    assert rules.actions == {Reason.TRAP: Action.DISCARD, Reason.SOFT_BOUNCE: Action.TEMPFAIL}
    assert rules.observe_all
    assert (rules.observed_lists, rules.observed_campaigns) == (frozenset({"new"}), frozenset({"spring"}))


def test_every_reason_but_allow_can_be_given_an_action() -> None:
    keys = set(type(Settings().actions).model_fields) - {"default"}
    assert keys == set(Reason) - WITHOUT_ACTION


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ("unix:/run/sendgate/milter.sock", "unix:/run/sendgate/milter.sock"),
        ("inet:8890@127.0.0.1", "inet:8890@127.0.0.1"),
        ("inet:127.0.0.1:8890", "inet:8890@127.0.0.1"),
        ("inet:[::1]:8890", "inet:8890@[::1]"),
        ("inet6:8890@[::1]", "inet6:8890@[::1]"),
    ],
)
def test_a_socket_may_be_written_as_postfix_or_libmilter_do(tmp_path: Path, given: str, held: str) -> None:
    assert load(written(tmp_path, f'milter: {{socket: "{given}"}}'), {}).milter.socket == held


@pytest.mark.parametrize(("given", "held"), [('"0660"', "0660"), ('"660"', "660"), ("0660", "0660"), ("0600", "0600")])
def test_a_socket_mode_is_octal_in_quotes_or_not(tmp_path: Path, given: str, held: str) -> None:
    assert load(written(tmp_path, f"milter: {{socket_mode: {given}}}"), {}).milter.socket_mode == held
    assert load(None, {"SENDGATE_MILTER__SOCKET_MODE": given}).milter.socket_mode == held


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "milter: {workers: 2, recycle_after: 5}\nstore:\n")
    given = load(
        path,
        {
            "SENDGATE_MILTER__WORKERS": "3",
            "SENDGATE_STORE__URL": "lmdb:///srv/lists",
            "SENDGATE_STORE__HASH_KEY_FILE": "",
            "SENDGATE_CAMPAIGN__FROM": "[env]",
            "SENDGATE_CAMPAIGN__STREAMS__MARKETING": "^news-",
            "SENDGATE_OBSERVE__ALL": "true",
        },
    )
    assert (given.milter.workers, given.milter.recycle_after) == (3, 5)
    assert (given.store.url, given.store.hash_key_file) == ("lmdb:///srv/lists", None)
    assert (given.campaign.sources, given.campaign.streams) == (("env",), {"marketing": "^news-"})
    assert given.observe.all


def test_every_key_can_be_given_by_the_environment() -> None:
    for section, inner in Settings():
        if isinstance(inner, dict) or section == "campaign_id":
            continue
        for key, field in type(inner).model_fields.items():
            variable = f"SENDGATE_{section}__{field.alias or key}".upper()
            (told,) = problems(None, **{variable: "{x: {}}"}) if key != "streams" else problems(None, **{variable: "x"})
            assert told.startswith(f"{variable}: {section}.{field.alias or key}"), told


def test_kubernetes_service_variables_are_not_settings() -> None:
    assert load(None, _KUBERNETES) == Settings()


@pytest.mark.parametrize(
    ("given", "meant"),
    [("SENDGATE_OBSERVE_ALL", "SENDGATE_OBSERVE__ALL"), ("SENDGATE_CAMPAIGN_FROM", "SENDGATE_CAMPAIGN__FROM")],
)
def test_a_setting_with_one_underscore_is_not_taken_for_a_variable_of_somebody_else(given: str, meant: str) -> None:
    assert problems(None, **{given: "true"}) == [f"{given}: two underscores between section and key: {meant}"]


def test_a_mistake_of_the_environment_is_told_beside_those_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "milter: {workers: -1}\n")
    told = problems(path, SENDGATE_OPS__LISTEN="nowhere", SENDGATE_STORE__SIZE="1", CAMPAIGN_ID="a,b")
    assert [text.split(": ")[:2] for text in told] == [
        [f"{path}:1", "milter.workers"],
        ["SENDGATE_STORE__SIZE", "store.size"],
        ["SENDGATE_OPS__LISTEN", "ops.listen"],
        ["CAMPAIGN_ID", "campaign_id"],
    ]


def test_a_variable_s_mistake_is_not_blamed_on_the_file_s_line(tmp_path: Path) -> None:
    path = written(tmp_path, "milter:\n  workers: 2\n")
    (told,) = problems(path, SENDGATE_MILTER__WORKERS="-1")
    assert told.startswith("SENDGATE_MILTER__WORKERS: milter.workers: ")


def test_the_variables_for_the_file_itself_and_others_are_not_keys(tmp_path: Path) -> None:
    path = written(tmp_path, "milter: {workers: 2}\n")
    assert load(None, {"SENDGATE_CONFIG": str(path), "HOME": "/root", "OTHER__KEY": "1"}).milter.workers == 2


def test_a_named_file_wins_over_the_variable(tmp_path: Path) -> None:
    path = written(tmp_path, "milter: {workers: 2}\n")
    assert load(path, {"SENDGATE_CONFIG": "/nowhere/sendgate.yaml"}).milter.workers == 2


def test_a_named_file_must_be_there() -> None:
    remedy = "no such file; name another with --config or SENDGATE_CONFIG"
    assert problems(Path("/nowhere/sendgate.yaml")) == [f"/nowhere/sendgate.yaml: {remedy}"]
    assert problems(None, SENDGATE_CONFIG="/nowhere/x.yaml") == [f"/nowhere/x.yaml: {remedy}"]


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    (told,) = problems(tmp_path)
    assert told.startswith(f"{tmp_path}: cannot be read: ")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().milter.workers = 3
