"""The private Redis servers, clusters and Sentinel sets: they do what is told, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster as ClusterClient
from redis.crc import key_slot
from redis.retry import Retry
from redis.sentinel import Sentinel as SentinelClient

from postfix.parts import processes_in
from trial.certificates import Certificates, make_certificates, tls_arguments
from trial.mta import TrialError
from trial.redis_cluster import RedisCluster
from trial.redis_sentinel import RedisSentinels
from trial.redis_server import RedisServer
from trial.waiting import wait_until

KEYS = [f"user{number}@example.com" for number in range(300)]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path_factory.mktemp("cluster"), nodes=3, replicas_each=1) as started:
        yield started


@pytest.fixture(scope="module")
def tls_cluster(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path_factory.mktemp("cluster"), certificates=certificates) as started:
        yield started


@pytest.fixture
def keys(cluster: RedisCluster) -> Iterator[ClusterClient]:
    """A client of the cluster that has KEYS."""
    with cluster_client(cluster) as client:
        fill(client)
        yield client


def cluster_client(cluster: RedisCluster) -> ClusterClient:
    return ClusterClient(host="127.0.0.1", port=cluster.nodes[0].port, **tls_arguments(cluster.certificates))


def slot_of(key: str) -> int:
    return key_slot(key.encode())


def sentinel_client(servers: RedisSentinels, sentinel_password: str, password: str) -> Any:
    hosts = [("127.0.0.1", sentinel.port) for sentinel in servers.sentinels]
    tls = tls_arguments(servers.certificates)
    asking = {"password": sentinel_password, **tls}
    return SentinelClient(hosts, sentinel_kwargs=asking, password=password, **tls)  # type: ignore[no-untyped-call]


def fill(client: ClusterClient) -> None:
    for key in KEYS:
        client.set(key, key)


def unanswered(question: Callable[[], object]) -> bool:
    try:
        question()
    except redis.TimeoutError:
        return True
    return False


def plain_client(server: RedisServer, **arguments: Any) -> redis.Redis:
    """The default user's, or a named one's; what fails is not tried again."""
    return redis.Redis(host="127.0.0.1", port=server.port, retry=Retry(NoBackoff(), 0), **arguments)


def test_a_server_answers_at_its_url_and_leaves_no_process(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "with blank") as server:
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
        assert len(processes_in(tmp_path)) == 1
    assert processes_in(tmp_path) == []


def test_a_client_with_its_certificate_is_let_in(tmp_path: Path, certificates: Certificates) -> None:
    with RedisServer(tmp_path, certificates=certificates) as server:
        assert server.url == f"rediss://127.0.0.1:{server.port}/0"
        with plain_client(server, **tls_arguments(certificates)) as client:
            assert client.ping()


def test_a_client_without_certificate_is_refused(tmp_path: Path, certificates: Certificates) -> None:
    with (
        RedisServer(tmp_path, certificates=certificates) as server,
        plain_client(server, ssl=True, ssl_ca_certs=str(certificates.ca)) as client,
        pytest.raises(redis.ConnectionError),
    ):
        client.ping()


def test_a_ca_that_did_not_sign_the_server_does_not_vouch_for_it(tmp_path: Path, certificates: Certificates) -> None:
    wrong = tls_arguments(certificates) | {"ssl_ca_certs": str(certificates.other_ca)}
    with (
        RedisServer(tmp_path, certificates=certificates) as server,
        plain_client(server, **wrong) as client,
        pytest.raises(redis.ConnectionError, match="certificate verify failed"),
    ):
        client.ping()


def test_the_password_is_asked_for(tmp_path: Path) -> None:
    with RedisServer(tmp_path, password="secret") as server:
        with plain_client(server, password="secret") as client:
            assert client.ping()
        with plain_client(server) as client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_a_user_may_do_what_his_line_says_and_no_more(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path, acl=["user app on >pw ~app:* +get"]) as server,
        plain_client(server, username="app", password="pw", protocol=2) as client,
    ):
        server.client.set("app:one", "1")
        assert client.get("app:one") == b"1"
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.get("other:one")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.set("app:one", "2")


def test_a_server_that_appends_has_its_data_after_a_stop(tmp_path: Path) -> None:
    with RedisServer(tmp_path, appendonly=True) as server:
        server.client.set("kept", "1")
        port = server.port
        server.restart()
        assert server.port == port
        assert server.client.get("kept") == b"1"


def test_a_server_has_nothing_after_a_stop_but_what_it_was_told_to_save(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        server.client.set("saved", "1")
        server.stop(save=True)
        server.start()
        server.client.set("not saved", "1")
        server.restart()
        assert server.client.keys() == [b"saved"]


def test_a_killed_server_starts_again_on_its_port(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        before = server.pid
        server.kill()
        assert not server.runs
        server.start()
        assert server.pid != before
        assert server.client.ping()


def test_a_paused_server_answers_when_it_goes_on(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server, plain_client(server, socket_timeout=0.2) as client:
        assert client.ping()
        server.pause()
        assert unanswered(client.ping)
        server.resume()
        assert client.ping()


def test_a_replica_follows_again_after_a_restart(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "origin") as origin, RedisServer(tmp_path / "replica") as replica:
        origin.client.set("key", "1")
        replica.replicate(origin)
        assert replica.client.get("key") == b"1"
        replica.restart()
        wait_until(lambda: replica.follows(origin), 10, "the replica follows")
        replica.replicate(None)
        assert replica.client.set("key", "2")


def test_a_server_that_cannot_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, extra=["no-such-setting 1"])
    with pytest.raises(TrialError, match="no-such-setting"):
        server.start()
    assert processes_in(tmp_path) == []


def test_a_server_that_ended_by_itself_says_so(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        server.client.shutdown(nosave=True)
        process = server._process
        assert process is not None
        assert process.wait(10) == 0
        with pytest.raises(TrialError, match="ended by itself with status 0"):
            server.pid  # noqa: B018


def test_a_cluster_has_keys_on_all_its_nodes(cluster: RedisCluster, keys: ClusterClient) -> None:
    assert [keys.get(key) for key in KEYS] == [key.encode() for key in KEYS]
    assert all(node.client.dbsize() for node in cluster.nodes[:3])
    assert {cluster.owner(slot_of(key)) for key in KEYS} == {0, 1, 2}


def test_a_cluster_speaks_tls_between_its_nodes_too(tls_cluster: RedisCluster) -> None:
    assert tls_cluster.url.startswith("rediss+cluster://")
    with cluster_client(tls_cluster) as client:
        fill(client)
        slot = slot_of(KEYS[0])
        tls_cluster.move_slot(slot, (tls_cluster.owner(slot) + 1) % 3)
        assert [client.get(key) for key in KEYS] == [key.encode() for key in KEYS]


def test_a_slot_moves_with_its_keys(cluster: RedisCluster, keys: ClusterClient) -> None:
    slot = slot_of("{moving}")
    for number in range(250):
        keys.set(f"{{moving}}{number}", number)
    before = cluster.owner(slot)
    after = next(number for number in range(3) if number != before)
    cluster.move_slot(slot, after)
    assert cluster.owner(slot) == after
    assert cluster.nodes[after].command("CLUSTER", "COUNTKEYSINSLOT", slot) == 250
    assert keys.get("{moving}249") == b"249"
    cluster.move_slot(slot, before)


def test_a_slot_whose_move_has_begun_sends_clients_on_for_moved_keys(
    cluster: RedisCluster, keys: ClusterClient
) -> None:
    slot = slot_of("{half}")
    for number in range(2):
        keys.set(f"{{half}}{number}", number)
    before = cluster.owner(slot)
    after = next(number for number in range(3) if number != before)
    cluster.begin_move(slot, after)
    assert cluster.move_keys(slot, after, most=1) == 1
    assert cluster.nodes[before].command("CLUSTER", "COUNTKEYSINSLOT", slot) == 1
    assert [keys.get(f"{{half}}{number}") for number in range(2)] == [b"0", b"1"]
    cluster.move_slot(slot, after)
    cluster.move_slot(slot, before)


def test_a_replica_takes_over_from_a_killed_node_of_a_cluster(cluster: RedisCluster, keys: ClusterClient) -> None:
    master = cluster.owner(slot_of(KEYS[0]))
    assert cluster.wait_failover(master) is cluster.nodes[master + 3]
    assert [keys.get(key) for key in KEYS] == [key.encode() for key in KEYS]
    cluster.restart(master)
    assert cluster.nodes[master].follows(cluster.nodes[master + 3])


def test_a_node_without_replica_comes_back_with_its_slots(tls_cluster: RedisCluster) -> None:
    slots = [slot_of(key) for key in KEYS]
    tls_cluster.kill(1)
    with pytest.raises(TrialError, match="no living node"):
        list(map(tls_cluster.owner, slots))
    tls_cluster.restart(1)
    assert {tls_cluster.owner(slot) for slot in slots} == {0, 1, 2}


def test_a_cluster_that_cannot_start_leaves_no_process(tmp_path: Path) -> None:
    cluster = RedisCluster(tmp_path, extra=["no-such-setting 1"])
    with pytest.raises(TrialError, match="no-such-setting"):
        cluster.start()
    assert processes_in(tmp_path) == []


def test_sentinels_name_another_primary_when_it_is_killed(tmp_path: Path, certificates: Certificates) -> None:
    with RedisSentinels(tmp_path, certificates=certificates, password="secret", sentinel_password="s2") as servers:
        assert servers.url.startswith("rediss+sentinel://")
        client = sentinel_client(servers, "s2", "secret")
        first = servers.primary
        assert client.discover_master("sendgate") == ("127.0.0.1", first.port)
        client.master_for("sendgate").set("before", "1")
        second = servers.fail_over()
        assert client.discover_master("sendgate") == ("127.0.0.1", second.port) != ("127.0.0.1", first.port)
        assert client.master_for("sendgate").get("before") == b"1"
    assert processes_in(tmp_path) == []


def test_a_failover_can_lose_the_last_writes_and_those_only(tmp_path: Path) -> None:
    with RedisSentinels(tmp_path) as servers:
        first = servers.primary
        first.client.set("before", "1")
        second = servers.fail_over_losing_writes(lambda: first.client.set("last", "1"))
        assert second.client.keys() == [b"before"]
        first.start()
        servers.wait_until_settled()
        assert first.follows(second)
        assert first.client.keys() == [b"before"]
