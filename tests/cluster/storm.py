"""Many pods at once, each with two networks besides the primary one, and what they got."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.cluster.nads import ASKED, STATUS, macvlan
from tests.cluster.pods import pod
from tests.cluster.waiting import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.cluster.cluster import Cluster
    from tests.cluster.node import Node

NETWORKS = {"left": "10.1.0.0/16", "right": "10.2.0.0/16"}
ASKING = {ASKED: ",".join(NETWORKS)}
_LOOK = """
for namespace in $(ls /run/netns); do
    ip -netns "$namespace" -json address || true  # it may be gone by now
done
"""


@dataclass(frozen=True, slots=True)
class Storm:
    """Pods with a name in common, on one node."""

    cluster: Cluster
    node: Node
    name: str
    pods: int
    plain: bool = False
    """Whether they ask for no networks."""

    @property
    def selection(self) -> str:
        """What kubectl selects them by."""
        return f"--selector=storm={self.name}"

    def break_out(self) -> None:
        """Create the pods, all at once."""
        made = [
            pod(
                f"{self.name}-{number}",
                node=self.node.name,
                annotations={} if self.plain else ASKING,
                labels={"storm": self.name},
            )
            for number in range(self.pods)
        ]
        self.cluster.kubectl.apply(*made)

    def wait(self, patience: int = 300) -> None:
        """Wait until all run."""
        waiting = ("wait", "pod", self.selection, "--for=condition=Ready", f"--timeout={patience}s")
        done = self.cluster.kubectl.attempt(*waiting)
        if done.returncode:
            events = self.cluster.kubectl("get", "events", "--sort-by=.lastTimestamp")
            raise ClusterError(f"{done.stderr[-2000:]}\n{events[-6000:]}")

    def measured(self) -> float:
        """Break out, and return after how many seconds all run."""
        start = time.monotonic()
        self.break_out()
        self.wait()
        return time.monotonic() - start

    def calm(self) -> None:
        """Delete the pods, and wait until they are gone."""
        deletion = ("delete", "pod", self.selection, "--grace-period=1", "--timeout=300s")
        self.cluster.kubectl(*deletion)

    def check(self) -> None:
        """Check that each pod has what it asked for, by its status and in its namespace."""
        pods = self.cluster.pods(self.selection)
        assert len(pods) == self.pods
        check(self.node, pods)

    def failures(self) -> list[str]:
        """Return why sandboxes of the pods were refused."""
        return refusals(self.cluster, f"{self.name}-")


def define(cluster: Cluster) -> None:
    """Define the networks; addresses are those of one node."""
    cluster.kubectl.apply(*(macvlan(name, subnet) for name, subnet in NETWORKS.items()))


def check(node: Node, pods: Iterable[Mapping[str, Any]]) -> None:
    """Check that pods have what they asked for, by their status and in their namespaces."""
    lacking = missing(node, pods)
    assert not lacking, "\n".join(lacking)


def missing(node: Node, pods: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what pods do not have that they asked for, in words."""
    found = addresses(node)
    lacking = []
    for one in pods:
        name, annotations = one["metadata"]["name"], one["metadata"]["annotations"]
        asked = [f"default/{ref}" for ref in annotations.get(ASKED, "").split(",") if ref]
        told = status(one)
        if [entry["name"] for entry in told[1:]] != asked:
            lacking.append(f"{name} asks for {asked}, and its status is {told}")
        has = found.get(one["status"].get("podIP", ""))
        if has != {entry["interface"]: entry["ips"][0] for entry in told}:
            lacking.append(f"{name} has {has}, and its status is {told}")
    return lacking


def refusals(cluster: Cluster, begin: str) -> list[str]:
    """Return why sandboxes were refused of pods whose names begin like this."""
    about = "--field-selector=reason=FailedCreatePodSandBox"
    events = cluster.kubectl_json("get", "events", about)["items"]
    named = [one for one in events if one["involvedObject"]["name"].startswith(begin)]
    return [one["message"] for one in named]


def status(one: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the network-status of a pod."""
    told: list[dict[str, Any]] = json.loads(one["metadata"]["annotations"].get(STATUS, "[]"))
    return told


def addresses(node: Node) -> dict[str, dict[str, str]]:
    """Return the addresses in the network namespaces of a node, by interface, by that of eth0."""
    said = node.run("sh", "-c", _LOOK)
    namespaces = [_of_interfaces(json.loads(line)) for line in _documents(said)]
    return {has["eth0"]: has for has in namespaces if "eth0" in has}


def _documents(said: str) -> Iterable[str]:
    return (line for line in said.splitlines() if line.startswith("["))


def _of_interfaces(links: list[dict[str, Any]]) -> dict[str, str]:
    return {
        link["ifname"]: one["local"]
        for link in links
        for one in link.get("addr_info", [])
        if one["family"] == "inet" and link["ifname"] != "lo"
    }
