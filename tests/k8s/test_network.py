"""Who may talk to whom: the rendered policies, and what the load balancer adds."""

from __future__ import annotations

import ipaddress

import pytest

from k8s.rendering import SENDERS, Object, base, environment, named, of_kind, overlay, with_components
from k8s.workloads import containers, pods, selects

FOLDERS = [*SENDERS, "components"]
INSIDE = (
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "224.0.0.1",
)
INSIDE_6 = ("::1", "fe80::1", "fc00::1", "fd00::1", "ff02::1")
DNS = {("UDP", 53), ("TCP", 53)}


def objects_of(folder: str) -> list[Object]:
    if folder == "components":
        return with_components("redis", "shared-lists", "ingress-smtp", "opendkim", "dmarc-check", "spamassassin")
    return overlay(folder)


def policies(folder: str) -> dict[str, Object]:
    return {item["metadata"]["name"]: item["spec"] for item in of_kind(objects_of(folder), "NetworkPolicy")}


def ports_of(rule: Object) -> set[tuple[str, int]]:
    return {(port["protocol"], port["port"]) for port in rule.get("ports", [])}


def reaches(block: Object, address: str) -> bool:
    one = ipaddress.ip_address(address)
    networks = [ipaddress.ip_network(text) for text in [block["cidr"], *block.get("except", [])]]
    return one in networks[0] and not any(one in network for network in networks[1:])


def test_the_base_allows_these_and_nothing_else() -> None:
    names = {item["metadata"]["name"] for item in of_kind(base(), "NetworkPolicy")}
    assert names == {"default-deny", "dns", "scrape", "smtp-in", "smtp-out"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_is_allowed_by_default(folder: str) -> None:
    deny = policies(folder)["default-deny"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_policy_is_of_use_to_some_pod(folder: str) -> None:
    for name, spec in policies(folder).items():
        assert any(selects(spec["podSelector"], one.labels) for one in pods(objects_of(folder))), name


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_rule_names_ports_and_peers(folder: str) -> None:
    for name, spec in policies(folder).items():
        for rule in spec.get("ingress", []) + spec.get("egress", []):
            assert rule.get("from") or rule.get("to"), name
            assert ports_of(rule), name


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_comes_in_comes_to_ports_that_the_pod_has(folder: str) -> None:
    for name, spec in policies(folder).items():
        there = {
            (port["protocol"], port["containerPort"])
            for one in containers(objects_of(folder))
            if selects(spec["podSelector"], one.pod.labels)
            for port in one.spec.get("ports", [])
        }
        for rule in spec.get("ingress", []):
            assert ports_of(rule) <= there, name


@pytest.mark.parametrize("folder", FOLDERS)
def test_pods_that_a_policy_of_this_namespace_speaks_of_are_there(folder: str) -> None:
    for name, spec in policies(folder).items():
        for rule in spec.get("ingress", []) + spec.get("egress", []):
            for peer in rule.get("from", []) + rule.get("to", []):
                if set(peer) == {"podSelector"} and name != "scrape":
                    assert any(selects(peer["podSelector"], one.labels) for one in pods(objects_of(folder))), name


@pytest.mark.parametrize("folder", FOLDERS)
def test_mail_comes_from_namespaces_with_the_label_of_injectors(folder: str) -> None:
    (rule,) = policies(folder)["smtp-in"]["ingress"]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"sendgate.io/injector": "true"}}}]
    assert ports_of(rule) == {("TCP", 2525)}


@pytest.mark.parametrize("folder", [name for name in FOLDERS if name != "demo"])
def test_mail_goes_to_port_25_of_the_internet_and_to_no_address_inside(folder: str) -> None:
    (rule,) = policies(folder)["smtp-out"]["egress"]
    assert ports_of(rule) == {("TCP", 25)}
    blocks = [peer["ipBlock"] for peer in rule["to"]]
    four, six = ([one for one in blocks if (":" in one["cidr"]) is kind] for kind in (False, True))
    assert any(reaches(one, "198.51.100.25") for one in four)
    assert any(reaches(one, "2001:db8::25") for one in six)
    assert [address for address in INSIDE if any(reaches(one, address) for one in four)] == []
    assert [address for address in INSIDE_6 if any(reaches(one, address) for one in six)] == []


def test_no_mail_leaves_the_demo() -> None:
    assert "smtp-out" not in policies("demo")
    blocks = [peer for spec in policies("demo").values() for rule in spec.get("egress", []) for peer in rule["to"]]
    assert [peer for peer in blocks if "ipBlock" in peer] == []
    assert environment(overlay("demo"))["POSTFIX_RELAYHOST"] == "[smtp-sink]:25"
    assert named(overlay("demo"), "Service", "smtp-sink")["spec"]["ports"][0]["port"] == 25


def test_the_client_of_the_demo_is_let_in_and_out() -> None:
    (namespace,) = of_kind(overlay("demo"), "Namespace")
    assert namespace["metadata"]["labels"]["sendgate.io/injector"] == "true"
    (rule,) = policies("demo")["client-out"]["egress"]
    sender = next(one for one in pods(overlay("demo")) if one.name == "StatefulSet/sender")
    assert selects(rule["to"][0]["podSelector"], sender.labels)


@pytest.mark.parametrize("folder", FOLDERS)
def test_names_are_asked_of_the_dns_of_the_cluster_alone(folder: str) -> None:
    (rule,) = policies(folder)["dns"]["egress"]
    assert ports_of(rule) == DNS
    (peer,) = rule["to"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "kube-system"}


@pytest.mark.parametrize("folder", [name for name in FOLDERS if name != "demo"])
def test_prometheus_of_the_monitoring_namespace_reads_metrics(folder: str) -> None:
    (rule,) = policies(folder)["scrape"]["ingress"]
    (monitoring,) = {item["metadata"]["namespace"] for item in overlay("monitoring")}
    (peer,) = rule["from"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": monitoring}
    assert ports_of(rule) == {("TCP", 9102)}


@pytest.mark.parametrize("folder", ["campaign-x", "campaign-y", "production"])
def test_senders_of_every_namespace_of_ours_reach_the_one_redis(folder: str) -> None:
    (out,) = policies(folder)["redis-out"]["egress"]
    (peer,) = out["to"]
    (home,) = of_kind(overlay("production"), "Namespace")
    assert peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == home["metadata"]["name"]
    redis = next(one for one in pods(overlay("production")) if one.name == "StatefulSet/redis")
    assert selects(peer["podSelector"], redis.labels)
    (into,) = policies("production")["redis-in"]["ingress"]
    (source,) = into["from"]
    (namespace,) = of_kind(overlay(folder), "Namespace")
    sender = next(one for one in pods(overlay(folder)) if one.name == "StatefulSet/sender")
    assert selects(source["namespaceSelector"], namespace["metadata"]["labels"])
    assert selects(source["podSelector"], sender.labels)
    assert ports_of(out) == ports_of(into) == {("TCP", 6379)}


def test_redis_lets_in_only_what_the_manifests_have() -> None:
    (rule,) = policies("production")["redis-in"]["ingress"]
    expressions = rule["from"][0]["podSelector"]["matchExpressions"]
    (named_there,) = (set(one["values"]) for one in expressions if one["key"] == "app.kubernetes.io/component")
    assert named_there <= {one.labels["app.kubernetes.io/component"] for one in pods(overlay("production"))}


@pytest.mark.parametrize("folder", ["campaign-x", "campaign-y", "components"])
def test_the_load_balancer_the_policy_and_postfix_agree_on_who_may_send(folder: str) -> None:
    service = named(objects_of(folder), "Service", "smtp-ingress")["spec"]
    assert service["externalTrafficPolicy"] == "Local"
    (rule,) = policies(folder)["smtp-in-ingress"]["ingress"]
    ranges = service["loadBalancerSourceRanges"]
    assert [peer["ipBlock"]["cidr"] for peer in rule["from"]] == ranges
    networks = environment(objects_of(folder))["POSTFIX_MYNETWORKS"].split()
    assert set(ranges) <= set(networks)


@pytest.mark.parametrize("folder", FOLDERS)
def test_postfix_trusts_no_public_network_but_that_of_the_load_balancer(folder: str) -> None:
    services = [
        item["spec"] for item in of_kind(objects_of(folder), "Service") if item["spec"].get("type") == "LoadBalancer"
    ]
    allowed = {one for service in services for one in service["loadBalancerSourceRanges"]}
    networks = {text for text in environment(objects_of(folder))["POSTFIX_MYNETWORKS"].split() if "[" not in text}
    shared = ipaddress.ip_network("100.64.0.0/10")
    foreign = [text for text in networks - allowed if not ipaddress.ip_network(text).is_private]
    assert [text for text in foreign if ipaddress.ip_network(text) != shared] == []
