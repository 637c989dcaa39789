"""Hundreds of pods at once: the daemon bears them in the memory and in the time it has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.processes import eventually
from tests.system.cgroup import memory_cgroup
from tests.system.daemon import Daemon, daemon_on
from tests.system.ledger import Ledger
from tests.system.runtime import Runtime, network

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.kubeapi import KubeApi
    from tests.nodes import Netns

PODS = 300
AT_ONCE = 8
NETWORKS = ("one", "two")
LONG = 1800
"""Seconds: here nothing waits too long, however slow the machine is."""


@pytest.fixture
def runtime(tmp_path: Path, netns: Netns) -> Runtime:
    """Return a node for pods on three networks. They share a namespace; no links are made."""
    runtime = Runtime(tmp_path, netns.path, {"delegates": [network("main", "primary")]})
    Ledger(runtime.books).install(runtime.bin_dir, "main", *NETWORKS)
    return runtime


def some_pods(kubeapi: KubeApi, count: int) -> list[str]:
    """Add pods that ask for both networks, and the networks."""
    for name in NETWORKS:
        config = json.dumps(network(name))
        kubeapi.add("NetworkAttachmentDefinition", name, spec={"config": config})
    names = [f"p{number}" for number in range(count)]
    for name in names:
        annotations = {"k8s.v1.cni.cncf.io/networks": ",".join(NETWORKS)}
        spec = {"nodeName": "node"}
        kubeapi.add("Pod", name, uid=f"uid-{name}", annotations=annotations, spec=spec)
    return names


def ended(child: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Wait for an answer; return exit code and output."""
    stdout, _ = child.communicate(timeout=LONG)
    return child.returncode, stdout.decode()


def at_once(runtime: Runtime, command: str, pods: list[str]) -> list[tuple[int, str]]:
    """Make a request for each pod, all of them at once."""
    children = [runtime.begin(command, container_id=pod, pod=pod) for pod in pods]
    return [ended(child) for child in children]


def test_a_burst_of_pods_takes_no_memory_of_the_daemon(
    runtime: Runtime, tmp_path: Path, kubeapi: KubeApi
) -> None:
    pods = some_pods(kubeapi, PODS)
    ledger = Ledger(runtime.books)
    with (
        memory_cgroup(120) as cgroup,
        daemon_on(
            tmp_path,
            kubeconfig=kubeapi.kubeconfig(tmp_path),
            prefix=cgroup.prefix if cgroup else (),
            maxInFlight=AT_ONCE,
            requestTimeout=LONG,
            logLevel="error",
        ) as daemon,
    ):
        runtime.program = daemon.program(patience=60.0)
        for command in ("ADD", "DEL"):  # what is imported and cached with the first ones
            assert [status for status, _ in at_once(runtime, command, pods[:5])] == [0] * 5
        kubeapi.requests.clear()
        before = daemon.kilobytes("VmRSS")
        daemon.forget_peak()

        added = at_once(runtime, "ADD", pods)

        grown = daemon.kilobytes("VmHWM") - before
        assert [answer for answer in added if answer[0]] == []
        assert len(ledger.entries()) == PODS * 3
        assert sorted(kubeapi.asked("^PATCH")) == sorted(
            f"PATCH /api/v1/namespaces/default/pods/{pod}/status" for pod in pods
        )
        assert daemon.metric("multus_py_requests_total", verb="ADD", outcome="ok") == PODS + 5
        assert 1 < ledger.largest_crowd() <= AT_ONCE
        assert_nothing_left(runtime, daemon, pods)
        assert grown < 10_000, f"the daemon has grown by {grown} kB from {before} kB"
        assert cgroup is None or cgroup.kills == 0
    if cgroup is None:
        pytest.skip(f"no memory cgroup can be made here; it was measured: {grown} kB more")


def test_no_more_plugins_run_at_once_than_are_allowed(
    runtime: Runtime, tmp_path: Path, kubeapi: KubeApi
) -> None:
    pods = some_pods(kubeapi, 10)
    ledger = Ledger(runtime.books)
    ledger.behave("main", "ADD", "wait")
    with daemon_on(
        tmp_path, kubeconfig=kubeapi.kubeconfig(tmp_path), maxInFlight=3, requestTimeout=LONG
    ) as daemon:
        runtime.program = daemon.program(patience=60.0)
        children = [runtime.begin("ADD", container_id=pod, pod=pod) for pod in pods]
        eventually(lambda: daemon.metric("multus_py_requests_waiting") == 7)
        eventually(lambda: len(ledger.calls()) == 3)

        ledger.behave("main", "ADD")

        assert [ended(child)[0] for child in children] == [0] * 10
        assert ledger.largest_crowd() == 3
        assert daemon.metric("multus_py_requests_in_flight") == 0


def test_who_waits_too_long_is_told_so_while_there_is_time_to_try_again(
    runtime: Runtime, tmp_path: Path, kubeapi: KubeApi
) -> None:
    """The first pod's plugin hangs until its request's time is over; the others wait half of it."""
    first, *others = some_pods(kubeapi, 6)
    ledger = Ledger(runtime.books)
    ledger.behave("main", "ADD", "wait")
    with daemon_on(
        tmp_path, kubeconfig=kubeapi.kubeconfig(tmp_path), maxInFlight=1, requestTimeout=8
    ) as daemon:
        runtime.program = daemon.program(patience=60.0)
        hanging = runtime.begin("ADD", container_id=first, pod=first)
        eventually(ledger.calls)

        waited = at_once(runtime, "ADD", others)

        assert hanging.poll() is None
        assert {(status, json.loads(out)["code"]) for status, out in waited} == {(1, 11)}
        assert ledger.calls() == [f"ADD main {first} eth0"]
        assert [name for name in runtime.files() if not name.endswith(".lock")] == [first]
        assert daemon.metric("multus_py_requests_waiting") == 0
        assert ended(hanging)[0] == 1
        ledger.behave("main", "ADD")
        assert [status for status, _ in at_once(runtime, "ADD", others[:2])] == [0, 0]
        assert [status for status, _ in at_once(runtime, "DEL", [first, *others])] == [0] * 6
    assert runtime.state() == ([], {})


def assert_nothing_left(runtime: Runtime, daemon: Daemon, pods: list[str]) -> None:
    """Release all pods at once, by the same daemon."""
    released = at_once(runtime, "DEL", pods)
    assert [answer for answer in released if answer[0]] == []
    assert runtime.state() == ([], {})
    assert daemon.running
