"""Pods end while something is away that has to do with their networks: all is released."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.cluster import daemons, deployment, guests, holdings, images, sandboxes
from tests.cluster.nads import ASKED
from tests.cluster.pods import pod, wait_gone, wait_running
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.cluster import Cluster
    from tests.cluster.node import Node

SYSTEM = ("--namespace=kube-system",)
RUNTIME = ("/var/lib/containerd", "/var/lib/cni/results")
"""What a container runtime remembers."""
PODS = [f"pod-{number}" for number in range(10)]


@pytest.fixture
def free(stormy: Cluster) -> Iterator[frozenset[str]]:
    """What the node holds without pods, and holds at the end again."""
    guests.define(stormy)
    before = holdings.of(stormy.nodes[0])
    yield before
    deployment.wait(stormy)
    guests.run(stormy, asking=["afterwards"])
    guests.delete(stormy, "afterwards")
    holdings.wait_for(stormy.nodes[0], before)


@pytest.fixture
def impatient(stormy: Cluster) -> Iterator[None]:
    """A daemon that leaves what is dead to its runtime for a moment only; usual is a minute."""
    configure(stormy, repairInterval=5, repairGrace=1)
    yield
    configure(stormy, repairInterval=180, repairGrace=60)


def test_ten_pods_are_released_while_there_is_no_daemon(
    stormy: Cluster, free: frozenset[str]
) -> None:
    """Multus 4.3.0 left 20 addresses and 10 records of such pods, also once it was back."""
    guests.run(stormy, asking=PODS)
    select(stormy, {"nowhere": "found"})
    until(lambda: not daemons.of(stormy), "the daemon to be gone")
    guests.delete(stormy, *PODS)
    holdings.wait_for(stormy.nodes[0], free)
    select(stormy, {"nowhere": None})


def test_pods_are_released_while_there_is_no_api_server(
    stormy: Cluster, free: frozenset[str]
) -> None:
    """Those whose deletion came in its last moment, and static ones without it."""
    node = stormy.nodes[0]
    guests.run(stormy, asking=["last-moment"])
    held = holdings.of(node)
    static = pod("static", annotations={ASKED: "red,blue"})
    static["metadata"]["namespace"] = "default"
    (node.static_pods / "static.json").write_text(json.dumps(static))
    wait_running(stormy.kubectl, ["static-node1"])
    guests.check(stormy, "static-node1")

    stormy.kubectl("delete", "pod", "last-moment", "--wait=false")
    stormy.api.stop()
    (node.static_pods / "static.json").unlink()
    holdings.wait_for(node, held)
    stormy.api.start()
    wait_gone(stormy.kubectl, ["last-moment", "static-node1"])
    holdings.wait_for(node, free)


def test_pods_are_released_that_a_node_lost_with_its_power(
    stormy: Cluster, free: frozenset[str]
) -> None:
    with without_power(stormy, free) as node:
        node.start()


@pytest.mark.usefixtures("impatient")
def test_pods_are_released_that_the_runtime_has_forgotten(
    stormy: Cluster, free: frozenset[str]
) -> None:
    """With its power the node has lost what containerd knew: nobody asks for their release."""
    with without_power(stormy, free) as node:
        for place in RUNTIME:
            shutil.rmtree(node.own(place))
            node.own(place).mkdir()
        node.start([*images.write_all(stormy.directory), deployment.IMAGE])


@contextmanager
def without_power(cluster: Cluster, free: frozenset[str]) -> Iterator[Node]:
    """Have a node that is off, to be switched on again, with two pods and what they hold.

    One is deleted meanwhile, the other one runs again with networks of its own.
    """
    node = cluster.nodes[0]
    guests.run(cluster, asking=["deleted", "lasting"])
    lost = holdings.of(node) - free
    node.stop()
    cluster.kubectl("delete", "pod", "deleted", "--force", "--grace-period=0")
    yield node
    node.wait()
    wait_for_another(cluster, "lasting", lost)
    guests.delete(cluster, "lasting")


def wait_for_another(cluster: Cluster, name: str, lost: frozenset[str]) -> None:
    """Wait until a pod runs in another sandbox, and what the one before held is released."""
    node = cluster.nodes[0]
    until(lambda: sandboxes.containers(node, name), f"{name} to start again", node.kubelet.said)
    until(lambda: answers(cluster, name), f"the kubelet to know of {name}", node.kubelet.said)
    deployment.wait(cluster)
    guests.check(cluster, name)
    until(
        lambda: not lost & holdings.of(node),
        "what was lost to be released",
        lambda: "\n".join(sorted(lost & holdings.of(node))),
    )


def answers(cluster: Cluster, name: str) -> bool:
    return cluster.kubectl.attempt("exec", name, "--", "true").returncode == 0


def select(cluster: Cluster, nodes: dict[str, str | None]) -> None:
    """Have daemons only on nodes with such labels."""
    patch = {"spec": {"template": {"spec": {"nodeSelector": nodes}}}}
    cluster.kubectl(*SYSTEM, "patch", "daemonset/multus-py", f"--patch={json.dumps(patch)}")


def configure(cluster: Cluster, **changes: int) -> None:
    """Change the daemon's configuration, and restart it."""
    found = cluster.kubectl_json(*SYSTEM, "get", "configmap/multus-py")["data"]
    settings = json.loads(found["daemon-config.json"]) | changes
    patch = {"data": {"daemon-config.json": json.dumps(settings)}}
    cluster.kubectl(*SYSTEM, "patch", "configmap/multus-py", f"--patch={json.dumps(patch)}")
    cluster.kubectl(*SYSTEM, "rollout", "restart", "daemonset/multus-py")
    deployment.wait(cluster)
