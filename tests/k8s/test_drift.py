"""The manifests against the program, Postfix, the images and the documents: what they name exists there."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from docs.pages import code, rows, section
from k8s.rendering import (
    COMPONENTS,
    MANIFESTS,
    OVERLAYS,
    ROOT,
    SENDERS,
    Object,
    environment,
    named,
    of_kind,
    overlay,
    with_components,
)
from k8s.workloads import container, containers, pods
from sendgate.settings import Settings, load
from trial.mta import command_path

FILTERS = ("opendkim", "dmarc-check", "spamassassin")
FOLDERS = [*SENDERS, "filters"]
SCRIPTS = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "postfix/container").iterdir()))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
STAGES = {
    part.split()[0]: part for part in re.findall(r"^FROM \S+ AS (\w+\n(?:(?!^FROM ).*\n)*)", DOCKERFILE, re.MULTILINE)
}


def objects_of(folder: str) -> list[Object]:
    return with_components("shared-lists", *FILTERS) if folder == "filters" else overlay(folder)


def settings_of(folder: str, tmp_path: Path, **more: str) -> Settings:
    path = tmp_path / "sendgate.yaml"
    path.write_text(named(objects_of(folder), "ConfigMap", "sendgate")["data"]["sendgate.yaml"], encoding="utf-8")
    return load(path, {**environment(objects_of(folder)), **more})


def mounts_of(folder: str, name: str) -> dict[str, str]:
    return {mount["name"]: mount["mountPath"] for mount in container(objects_of(folder), name)["volumeMounts"]}


def ports_of(folder: str, name: str) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container(objects_of(folder), name)["ports"]}


def version() -> str:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup["metadata"]["version"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_gate_takes_its_settings_as_they_are(folder: str, tmp_path: Path) -> None:
    settings = settings_of(folder, tmp_path)
    assert settings.campaign_id == environment(objects_of(folder))["CAMPAIGN_ID"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_variable_of_the_gate_is_a_setting(folder: str) -> None:
    documented = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    for variables in every_environment(folder):
        assert [name for name in variables if name.startswith("SENDGATE_") and f"`{name}`" not in documented] == []


def every_environment(folder: str) -> list[dict[str, str]]:
    own = [{one["name"]: one["value"] for one in item.spec.get("env", [])} for item in containers(objects_of(folder))]
    return [environment(objects_of(folder)), *own]


def test_variables_of_single_containers_are_taken_too(tmp_path: Path) -> None:
    for name in ("production", "demo"):
        lists = container(overlay(name), "Deployment/lists/lists")
        own = {one["name"]: one["value"] for one in lists["env"]}
        settings = settings_of(name, tmp_path, **own)
        assert settings.store.url.partition("://")[2].startswith("sendgate-write@redis")
        assert settings.store.password_file == "/run/secrets/sendgate-redis/write-password"


@pytest.mark.parametrize("folder", FOLDERS)
def test_files_of_the_gate_are_on_its_volumes(folder: str, tmp_path: Path) -> None:
    settings, mounts = settings_of(folder, tmp_path), mounts_of(folder, "StatefulSet/sender/sendgate")
    assert settings.milter.socket == f"unix:{mounts['run']}/milter.sock"
    assert settings.store.replica.startswith(f"{mounts['state']}/")
    assert settings.feedback.state.startswith(f"{mounts['state']}/")
    assert settings.feedback.log == environment(objects_of(folder))["POSTFIX_MAILLOG_FILE"]
    assert settings.feedback.log is not None
    assert Path(settings.feedback.log).parent == Path(mounts["log"])
    secrets = [settings.store.password_file, settings.store.tls_ca_file]
    assert [file for file in secrets if file and str(Path(file).parent) not in mounts.values()] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_ports_of_the_gate_and_of_postfix_are_those_of_the_containers(folder: str, tmp_path: Path) -> None:
    settings, variables = settings_of(folder, tmp_path), environment(objects_of(folder))
    assert settings.ops.listen == f"0.0.0.0:{ports_of(folder, 'StatefulSet/sender/sendgate')['metrics']}"
    assert int(variables["SMTP_PORT"]) == ports_of(folder, "StatefulSet/sender/postfix")["smtp"]
    assert settings.postfix.showq == f"inet:127.0.0.1:{variables['SHOWQ_PORT']}"


def test_postfix_asks_the_gate_at_its_socket(tmp_path: Path) -> None:
    socket = settings_of("production", tmp_path).milter.socket
    assert f"{{ {socket}," in (ROOT / "postfix/main.cf").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_parameter_of_postfix_exists(folder: str) -> None:
    names = {name for name in environment(objects_of(folder)) if name.startswith("POSTFIX_")}
    known = subprocess.run([command_path("postconf"), "-d"], capture_output=True, text=True, timeout=30, check=True)
    there = {f"POSTFIX_{name.upper()}" for name in re.findall(r"^(\w+) =", known.stdout, re.MULTILINE)}
    assert names
    assert names <= there


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_other_variable_is_read_by_a_script_of_the_image(folder: str) -> None:
    others = {name for name in environment(objects_of(folder)) if not re.match(r"POSTFIX_|SENDGATE_|MILTER_", name)}
    assert [name for name in others - {"CAMPAIGN_ID"} if not re.search(rf"\b{name}\b", SCRIPTS)] == []


@pytest.mark.parametrize("folder", ["filters", "demo"])
def test_every_milter_of_postfix_is_a_socket_that_a_sidecar_opens(folder: str) -> None:
    milters = {value for name, value in environment(objects_of(folder)).items() if name.startswith("MILTER_")}
    files = [item["data"] for item in of_kind(objects_of(folder), "ConfigMap") if "CAMPAIGN_ID" not in item["data"]]
    text = "\n".join(value for data in files for value in data.values())
    probed = {
        one.spec["readinessProbe"]["exec"]["command"][-1]
        for one in containers(objects_of(folder))
        if filters(one.spec) and one.lives
    }
    assert milters
    for milter in milters:
        path = milter.removeprefix("unix:")
        assert re.search(rf"(local:|-p ){path}\b", text), milter
        assert path in probed
        assert str(Path(path).parent) == mounts_of(folder, "StatefulSet/sender/postfix")["filters"]


def filters(spec: Object) -> bool:
    return bool(spec["image"].startswith("sendgate-filters"))


def test_variables_of_the_spam_filter_are_read() -> None:
    milter = container(objects_of("filters"), "StatefulSet/sender/spamass-milter")
    start = (ROOT / "k8s/components/spamassassin/start").read_text(encoding="utf-8")
    assert [one["name"] for one in milter["env"] if f"{{{one['name']}:-{one['value']}}}" not in start] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_image_is_a_target_of_the_dockerfile_in_this_version(folder: str) -> None:
    for one in containers(objects_of(folder)):
        name, _, tag = one.spec["image"].partition(":")
        assert name == "sendgate" or name.removeprefix("sendgate-") in STAGES, one.name
        assert tag == version()


def target(spec: Object) -> str:
    name = spec["image"].partition(":")[0]
    return "sendgate" if name == "sendgate" else name.removeprefix("sendgate-")


@pytest.mark.parametrize("folder", FOLDERS)
def test_users_are_those_of_the_images(folder: str) -> None:
    for one in containers(objects_of(folder)):
        context = one.spec["securityContext"]
        numbers = f"{context['runAsUser']}:{context['runAsGroup']}"
        user = re.search(r"^USER (\S+)$", STAGES[target(one.spec)], re.MULTILINE)
        if user:
            assert numbers == user[1], one.name
        else:
            assert numbers in ("0:0", "2525:2525"), one.name
    for item in pods(objects_of(folder)):
        group = item.spec["securityContext"].get("fsGroup")
        assert group is None or re.search(rf"\b{group}\b", DOCKERFILE), item.name


def test_commands_of_postfix_are_scripts_of_the_image() -> None:
    postfix = container(overlay("production"), "StatefulSet/sender/postfix")
    (command,) = postfix["lifecycle"]["preStop"]["exec"]["command"]
    assert (ROOT / "postfix/container" / command).exists()
    entrypoint = re.search(r'^ENTRYPOINT \["([\w-]+)"\]', STAGES["postfix"], re.MULTILINE)
    assert entrypoint
    assert (ROOT / "postfix/container" / entrypoint[1]).exists()
    assert "command" not in postfix


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_object_has_the_labels_of_the_convention(name: str) -> None:
    for item in overlay(name):
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "sendgate"
        assert labels["app.kubernetes.io/part-of"] == "sendgate"
        assert labels["app.kubernetes.io/managed-by"] == "kustomize"
        assert labels["app.kubernetes.io/version"] == version()
        assert labels["app.kubernetes.io/instance"]
    for one in pods(overlay(name)):
        missing = {f"app.kubernetes.io/{key}" for key in ("name", "component", "part-of", "instance", "version")}
        assert missing <= one.labels.keys(), one.name
        assert one.labels["app.kubernetes.io/version"] == version(), one.name


def test_the_autoscaler_asks_for_the_metric_that_the_adapter_makes_of_one_of_ours() -> None:
    metrics = named(with_components("queue-autoscaling"), "HorizontalPodAutoscaler", "sender")["spec"]["metrics"]
    (asked,) = (one["pods"]["metric"]["name"] for one in metrics if one["type"] == "Pods")
    rules = (ROOT / "k8s/components/queue-autoscaling/adapter-rules.yml").read_text(encoding="utf-8")
    assert f"as: {asked}\n" in rules
    documented = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    ours = set(re.findall(r"\b(sendgate_postfix_\w+)\{", rules))
    assert ours
    assert [name for name in ours if f"`{name}`" not in documented] == []


def test_the_sample_list_of_the_demo_is_that_of_make_run() -> None:
    ours, theirs = (ROOT / "k8s/overlays/demo/list.csv", ROOT / "postfix/trial/sample/list.csv")
    assert ours.read_text(encoding="utf-8") == theirs.read_text(encoding="utf-8")


def test_postfix_has_the_capabilities_that_were_measured() -> None:
    measured = section((ROOT / "docs/postfix-image.md").read_text(encoding="utf-8"), "Privileges")
    given = container(overlay("production"), "StatefulSet/sender/postfix")["securityContext"]["capabilities"]["add"]
    assert [code(row[0])[0] for row in rows(measured)[1:]] == given


def test_ports_of_the_images_are_those_of_the_containers() -> None:
    for name, stage in (("StatefulSet/sender/sendgate", "sendgate"), ("StatefulSet/redis/redis", "redis")):
        exposed = re.findall(r"^EXPOSE (\d+)$", STAGES[stage], re.MULTILINE)
        assert exposed == [str(port) for port in ports_of("production", name).values()]


def test_every_image_can_be_renamed_in_one_place() -> None:
    listed = yaml.safe_load((MANIFESTS / "components/images/kustomization.yaml").read_text(encoding="utf-8"))["images"]
    used = {one.spec["image"].partition(":")[0] for folder in FOLDERS for one in containers(objects_of(folder))}
    assert used <= {one["name"] for one in listed}


def test_the_readme_tells_of_every_overlay_and_component() -> None:
    text = (MANIFESTS / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE))
    assert set(COMPONENTS) <= shown
    assert [name for name in OVERLAYS if f"overlays/{name}" not in text and f"`-{name[-1]}`" not in text] == []
