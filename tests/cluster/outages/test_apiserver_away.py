"""The API server is away: nodes go on with what they know, and tell it when it is back."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.cluster import daemons, deployment, holdings, sandboxes, storm
from tests.cluster.pods import pod, wait_gone, wait_running
from tests.cluster.storm import ASKING
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.cluster.cluster import Cluster
    from tests.cluster.node import Node

ALONE = {"eth0"}
ALL = {"eth0", "net1", "net2"}
LONG = 180.0
"""Seconds after which all that waits and tries again has done so at its slowest."""


def test_containers_and_sandboxes_start_again_without_the_api_server(stormy: Cluster) -> None:
    node = stormy.nodes[0]
    with holdings.passing(node):
        stormy.kubectl.apply(pod("lasting", node=node.name, annotations=ASKING))
        wait_running(stormy.kubectl, ["lasting"])
        with api_away(stormy):
            sandbox = sandboxes.of(node, "lasting")
            sandboxes.replace(node, "lasting", sandboxes.containers)
            assert sandboxes.of(node, "lasting") == sandbox
            sandboxes.replace(node, "lasting")
            has = until(lambda: having(node, ALL), "all networks")
        until(lambda: told(stormy, "lasting") == has, "the status to follow")
        stormy.kubectl("delete", "pod", "lasting")


def test_static_pods_start_while_the_api_server_is_away_for_long(stormy: Cluster) -> None:
    node = stormy.nodes[0]
    asked: dict[str, Mapping[str, str]] = {"plain": {}, "asking": ASKING}
    mirrors = [f"{name}-{node.name}" for name in asked]
    with holdings.passing(node):
        with api_away(stormy, LONG):
            for name, annotations in asked.items():
                put(node, name, annotations)
            until(lambda: having(node, ALONE), "the static pod that asks for nothing to run")
            has = until(lambda: having(node, ALL), "the static pod with networks to run")
        wait_running(stormy.kubectl, mirrors)
        until(lambda: told(stormy, mirrors[1]) == has, "the status to follow")
        for name in asked:
            take_away(node, name)
        wait_gone(stormy.kubectl, mirrors)


def test_a_daemon_that_starts_without_the_api_server_catches_up(stormy: Cluster) -> None:
    """It knows no network yet: who asks for one waits, who asks for none starts."""
    node = stormy.nodes[0]
    [daemon] = daemons.of(stormy)
    with holdings.passing(node):
        stormy.kubectl.apply(pod("lasting", node=node.name, annotations=ASKING))
        wait_running(stormy.kubectl, ["lasting"])
        with api_away(stormy):
            sandboxes.replace(node, daemon.pod, sandboxes.containers)
            [sandbox] = sandboxes.of(node, "lasting")
            sandboxes.kill(node, sandbox)
            put(node, "plain", {})
            until(lambda: having(node, ALONE), "the static pod to run")
            assert not sandboxes.of(node, "lasting")
        has = until(lambda: having(node, ALL), "the waiting pod to run again")
        until(lambda: told(stormy, "lasting") == has, "the status to follow")
        deployment.wait(stormy)
        take_away(node, "plain")
        wait_gone(stormy.kubectl, [f"plain-{node.name}"])
        stormy.kubectl("delete", "pod", "lasting")


@contextmanager
def api_away(cluster: Cluster, seconds: float = 0.0) -> Iterator[None]:
    """Stop the API server meanwhile, for so long at least."""
    cluster.api.stop()
    end = time.monotonic() + seconds
    try:
        yield
        time.sleep(max(0.0, end - time.monotonic()))
    finally:
        cluster.api.start()
        cluster.wait()


def put(node: Node, name: str, annotations: Mapping[str, str]) -> None:
    """Give the kubelet a static pod."""
    manifest = json.dumps(pod(name, annotations=annotations))
    (node.static_pods / f"{name}.json").write_text(manifest)


def take_away(node: Node, name: str) -> None:
    """Take a static pod from the kubelet."""
    (node.static_pods / f"{name}.json").unlink()


def having(node: Node, interfaces: set[str]) -> dict[str, str]:
    """Return the addresses of the pod that has these interfaces; nothing if there is none."""
    found = storm.addresses(node).values()
    return next((has for has in found if has.keys() == interfaces), {})


def told(cluster: Cluster, name: str) -> dict[str, str]:
    """Return the addresses of a pod by its network-status."""
    status = storm.status(cluster.kubectl_json("get", "pod", name))
    return {entry["interface"]: entry["ips"][0] for entry in status}
