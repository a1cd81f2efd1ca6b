"""Containers by runc: how they end, and that nothing is left of them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from images.store import Images
from pods import cgroups
from pods.container import Container
from pods.network import Network
from trial.waiting import wait_until

pytestmark = pytest.mark.root
FOREVER = "while :; do sleep 0.01; done"
Start = Callable[..., Container]


@pytest.fixture
def start(images: Images, tmp_path: Path) -> Iterator[Start]:
    """Starts containers of the image `sendgate` with a shell's script, each with what the manifest may say besides."""
    network, started = Network(), list[Container]()
    namespace, _ = network.pod("trial")

    def begin(script: str, **manifest: Any) -> Container:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        spec = {"name": "trial", "command": ["sh", "-c", script], "securityContext": {}, **manifest}
        started.append(Container(spec, images["sendgate"], {"HOSTNAME": "pod-0"}, [], [2525], namespace, folder))
        return started[-1]

    yield begin
    for one in started:
        one.kill()
    network.close()


def ended(container: Container) -> int | None:
    wait_until(lambda: container.exit_status is not None, 20, "it has ended")
    return container.exit_status


def groups() -> list[Path]:
    """Control groups of containers of this process."""
    below = f"{cgroups.parent().lstrip('/')}/trial-*"
    return [*cgroups.ROOT.glob(below), *cgroups.ROOT.glob(f"*/{below}")]


def test_its_exit_status_is_that_of_its_process_1(start: Start) -> None:
    assert ended(start("exit 7")) == 7


def test_a_signal_is_told_by_its_number(start: Start) -> None:
    container = start(FOREVER)
    container.signal(signal.SIGKILL)
    assert ended(container) == 128 + signal.SIGKILL


def test_stop_is_sigterm_first(start: Start) -> None:
    container = start(f"trap 'echo ends; exit 3' TERM; echo ready; {FOREVER}")
    wait_until(lambda: "ready" in container.text(), 20, "it is ready")
    assert container.stop(20) < 10
    assert (container.exit_status, container.text()) == (3, "ready\nends\n")


def test_stop_is_sigkill_when_the_grace_period_is_over(start: Start) -> None:
    container = start(f"trap '' TERM; echo ready; {FOREVER}")
    wait_until(lambda: "ready" in container.text(), 20, "it is ready")
    assert container.stop(0.1) < 10
    assert container.exit_status == 128 + signal.SIGKILL


MOMENTS: dict[str, Callable[[Container], object]] = {
    "at once": lambda _: True,
    "its root is there": lambda container: any(container.log.with_name("work").iterdir()),
    "it has a control group": lambda _: groups(),
    "it has a state": lambda container: any(container.log.parent.glob("runc/*/state.json")),
    "it runs": lambda container: container.pid,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_one_that_is_killed_while_it_starts_leaves_nothing_behind(start: Start, moment: str) -> None:
    container = start(FOREVER)
    wait_until(lambda: MOMENTS[moment](container), 20, moment)
    container.kill()
    assert container.exit_status == 128 + signal.SIGKILL
    assert groups() == []


def test_a_command_inside_has_the_privileges_of_the_container_and_no_others(start: Start) -> None:
    context = {"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}, "runAsUser": 0, "runAsGroup": 7}
    context |= {"allowPrivilegeEscalation": False, "seccompProfile": {"type": "RuntimeDefault"}}
    status = "grep -E '^(Uid|Gid|Groups|Cap.*|NoNewPrivs|Seccomp):' /proc/self/status"
    container = start(f"{status}; {FOREVER}", securityContext=context)
    wait_until(lambda: "Seccomp:\t2" in container.text(), 20, "it has told")
    assert container.run("sh", "-c", status).stdout == container.text()
    assert "CapEff:\t0000000000000001\n" in container.text()
    assert "Gid:\t7\t7\t7\t7\nGroups:\t2525 \n" in container.text()


def test_another_user_than_root_has_no_capability_but_may_have_them(start: Start) -> None:
    container = start("grep Cap /proc/self/status", securityContext={"runAsUser": 10001})
    assert ended(container) == 0
    told = dict(line.split(":\t") for line in container.text().splitlines())
    assert (told["CapPrm"], told["CapEff"]) == ("0" * 16, "0" * 16)
    assert int(told["CapBnd"], 16) == 0xA80425FB  # the default of all engines


def test_without_a_profile_there_is_no_filter(start: Start) -> None:
    container = start("grep Seccomp: /proc/self/status")
    assert ended(container) == 0
    assert container.text() == "Seccomp:\t0\n"


def test_it_reads_what_it_is_given_and_has_the_name_of_its_pod(start: Start) -> None:
    container = start(FOREVER)
    assert container.run("sh", "-c", "cat; hostname", stdin="given\n").stdout == "given\npod-0\n"


def test_more_memory_than_the_limit_ends_the_process_that_takes_it(start: Start) -> None:
    container = start("exec python3 -c 'b\"x\" * 2**28'", resources={"limits": {"memory": "64Mi"}})
    assert ended(container) == 128 + signal.SIGKILL


def test_one_that_is_not_there_yet_tells_why(start: Start) -> None:
    container = start("exit 7")
    assert ended(container) == 7
    with pytest.raises(ProcessLookupError, match="ended with 7"):
        container.inside("true")
