"""Pods of the same names, again and again: each has what is its own, nothing of those before it."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster import holdings
from tests.cluster.nads import ASKED, macvlan
from tests.cluster.pods import is_ready, pod
from tests.cluster.storm import addresses, refusals, status
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.cluster import Cluster
    from tests.cluster.node import Node

NAME = "churn"
SELECTION = f"--selector=app={NAME}"
REPLICAS = 20
ROUNDS = 10
"""Times that every pod is recreated: 200 in all."""
WAYS = ("--grace-period=1", "--force")
"""How pods are deleted. A forced deletion does not wait for the sandbox before."""
POOL = {"rangeStart": "10.74.0.10", "rangeEnd": "10.74.0.57"}
"""Addresses for the pods, those before them, and eight more: what is not released is missed."""


@pytest.fixture
def churned(deployed: Cluster) -> Iterator[Cluster]:
    """The cluster with a StatefulSet on one node, whose pods run."""
    node = deployed.nodes[0]
    before = holdings.of(node)
    definition = macvlan(NAME, "10.74.0.0/24")
    config = json.loads(definition["spec"]["config"])
    config["ipam"] |= POOL
    definition["spec"]["config"] = json.dumps(config)
    deployed.kubectl.apply(definition, stateful(node))
    yield deployed
    deployed.kubectl("delete", "statefulset", NAME, "--cascade=foreground")
    deployed.kubectl("delete", "network-attachment-definition", NAME)
    holdings.wait_for(node, before)


def test_pods_recreated_200_times_have_no_address_and_no_uid_of_those_before(
    churned: Cluster,
) -> None:
    node = churned.nodes[0]
    pods = settled(churned, {})
    for _, way in zip(range(ROUNDS), itertools.cycle(WAYS), strict=False):
        churned.kubectl("delete", "pod", SELECTION, "--wait=false", way)
        pods = settled(churned, pods)
        check(node, pods)
    assert not refusals(churned, f"{NAME}-")


def check(node: Node, pods: dict[str, dict[str, Any]]) -> None:
    """Check that pods have what their status says, and the node knows of these pods alone."""
    has = addresses(node)
    for one in pods.values():
        told = {entry["interface"]: entry["ips"][0] for entry in status(one)}
        assert told == has[one["status"]["podIP"]]
        assert told.keys() == {"eth0", "net1"}
    leased = {status(one)[1]["ips"][0] for one in pods.values()}
    assert len(leased) == REPLICAS
    directory = node.own("/var/lib/cni/networks") / NAME
    until(
        lambda: {path.name for path in directory.glob("10.*")} == leased,
        "addresses of pods before to be released",
        lambda: str(sorted(path.name for path in directory.glob("10.*"))),
    )
    live = {one["metadata"]["uid"] for one in pods.values()}
    until(lambda: recorded(node) == live, "records of pods before to be gone")


def recorded(node: Node) -> set[str]:
    """Return the pods that cached results of the network are of, by uid."""
    results = node.own("/var/lib/cni/multus/results").glob(f"{NAME}-*")
    found = [dict(json.loads(path.read_text())["cniArgs"]) for path in results]
    return {one["K8S_POD_UID"] for one in found}


def settled(cluster: Cluster, before: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Wait until all pods run and none is one of those before; return them by name."""
    past = {one["metadata"]["uid"] for one in before.values()}

    def running() -> dict[str, dict[str, Any]] | None:
        pods = {one["metadata"]["name"]: one for one in cluster.pods(SELECTION)}
        new = [one for one in pods.values() if one["metadata"]["uid"] not in past]
        return pods if len(new) == REPLICAS and all(map(is_ready, new)) else None

    return until(running, "pods to run again", lambda: "\n".join(refusals(cluster, f"{NAME}-")))


def stateful(node: Node) -> dict[str, Any]:
    """Return a StatefulSet that starts all its pods at once."""
    labels = {"app": NAME}
    template = pod(NAME, node=node.name, annotations={ASKED: NAME}, labels=labels)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": NAME},
        "spec": {
            "serviceName": NAME,
            "replicas": REPLICAS,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {"metadata": template["metadata"], "spec": template["spec"]},
        },
    }
