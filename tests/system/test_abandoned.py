"""A node that lost its daemon for good: deleted by force, its account gone, perhaps rebooted since.

The launcher and the configuration are still there, and the runtime goes on calling.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.adapters import presence
from tests.system.daemon import Daemon, a_pod, daemon_on
from tests.system.runtime import Runtime, network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kubeapi import KubeApi
    from tests.nodes import Netns

NETWORKS = "k8s.v1.cni.cncf.io/networks"
SILENT: dict[str, Any] = {}
PLAIN: dict[str, Any] = {
    "runtimeConfig": {"io.kubernetes.cri.pod-annotations": {"kubernetes.io/config.seen": "x"}}
}
ASKING: dict[str, Any] = {"runtimeConfig": {"io.kubernetes.cri.pod-annotations": {NETWORKS: "one"}}}


@pytest.fixture
def runtime(tmp_path: Path, netns: Netns, kubeapi: KubeApi) -> Runtime:
    """Return a node whose pod ``web`` asks for a network and ``plain`` for none."""
    runtime = Runtime(tmp_path, netns.path, {"delegates": [network("main", "primary")]})
    runtime.install("main", "one")
    kubeapi.add("NetworkAttachmentDefinition", "one", spec={"config": json.dumps(network("one"))})
    a_pod(kubeapi, "web", networks="one")
    a_pod(kubeapi, "plain")
    return runtime


@pytest.fixture
def daemon(runtime: Runtime, tmp_path: Path, kubeapi: KubeApi) -> Iterator[Daemon]:
    with daemon_on(tmp_path, kubeconfig=kubeapi.kubeconfig(tmp_path)) as daemon:
        runtime.program = daemon.program()
        yield daemon


@pytest.fixture(params=["killed", "rebooted"])
def abandoned(request: pytest.FixtureRequest, daemon: Daemon, kubeapi: KubeApi) -> Daemon:
    """Take the daemon away, and its account; in one case all that was in memory too."""
    daemon.kill()
    kubeapi.token = "of-another-account"
    if request.param == "rebooted":
        for file in daemon.sockets.iterdir():
            file.unlink()
    return daemon


def wait_long(daemon: Daemon) -> None:
    """Let the first request that missed the daemon have come long ago."""
    moment = time.monotonic() - presence.GONE_SECONDS - 1
    os.utime(daemon.sockets / "missed", (moment, moment))


def test_plain_pods_start_at_once_where_the_runtime_passes_annotations(
    runtime: Runtime, abandoned: Daemon
) -> None:
    answer = runtime.request("ADD", pod="plain", **PLAIN)
    assert answer.status == 0, answer.stdout
    assert runtime.talk() == ["ADD main eth0"]
    assert runtime.request("DEL", pod="plain", **PLAIN).status == 0
    assert runtime.state() == ([], {})


def test_pods_that_ask_for_networks_never_start_without_them(
    runtime: Runtime, abandoned: Daemon
) -> None:
    for _ in range(2):
        answer = runtime.request("ADD", **ASKING)
        assert (answer.status, answer.document["code"]) == (1, 121)
        assert "(one)" in answer.document["msg"]
        assert "Next: " in answer.document["msg"]
        wait_long(abandoned)
    assert runtime.entries() == []


def test_where_the_runtime_passes_none_plain_pods_start_soon(
    runtime: Runtime, abandoned: Daemon
) -> None:
    answer = runtime.request("ADD", pod="plain", **SILENT)
    assert (answer.status, answer.document["code"]) == (1, 121)
    wait_long(abandoned)
    answer = runtime.request("ADD", pod="plain", logLevel="error")
    assert answer.status == 0, answer.stdout
    assert "taken for one that asks for no networks" in answer.stderr
    assert runtime.talk() == ["ADD main eth0"]


def test_nobody_waits_for_a_daemon_that_is_gone(runtime: Runtime, abandoned: Daemon) -> None:
    runtime.request("ADD", pod="plain", **PLAIN)
    wait_long(abandoned)
    runtime.request("ADD", pod="plain", container_id="second", **PLAIN)
    assert not abandoned.socket.exists()
    abandoned.begin()  # but one that comes back is found
    assert runtime.request("STATUS").status == 0


def test_what_was_attached_is_released(runtime: Runtime, daemon: Daemon, kubeapi: KubeApi) -> None:
    assert runtime.request("ADD").status == 0
    assert len(runtime.entries()) == 2
    daemon.kill()
    kubeapi.token = "of-another-account"
    for file in daemon.sockets.iterdir():
        file.unlink()
    with kubeapi.away():
        answer = runtime.request("DEL")
    assert answer.status == 0, answer.stdout
    assert runtime.state() == ([], {})
    assert runtime.request("DEL").status == 0


def test_who_names_no_pod_needs_no_daemon(runtime: Runtime, daemon: Daemon) -> None:
    daemon.kill()
    for file in daemon.sockets.iterdir():
        file.unlink()
    runtime.environment["CNI_ARGS"] = ""
    answer = runtime.request("ADD")
    assert answer.status == 0, answer.stdout
    assert runtime.talk() == ["ADD main eth0"]
