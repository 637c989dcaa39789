"""Pods on a cluster of one node: plain ones, and some with two networks of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster import storm
from tests.cluster.nads import ASKED, macvlan
from tests.cluster.pods import pod, wait_running
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.cluster.cluster import Cluster

_NETWORKS = {"red": "10.31.0.0/24", "blue": "10.32.0.0/24"}
_LINKS = {"net1": "10.31.0.", "net2": "10.32.0."}
PRIMARY = "10.244.1."
"""What addresses of the primary network begin with."""


def define(cluster: Cluster) -> None:
    """Define the networks that pods ask for."""
    cluster.kubectl.apply(*(macvlan(name, subnet) for name, subnet in _NETWORKS.items()))


def create(cluster: Cluster, *, plain: Iterable[str] = (), asking: Iterable[str] = ()) -> None:
    """Create pods without waiting for them."""
    networks = {ASKED: ",".join(_NETWORKS)}
    cluster.kubectl.apply(
        *(pod(name, node="node1") for name in plain),
        *(pod(name, node="node1", annotations=networks) for name in asking),
    )


def run(
    cluster: Cluster,
    *,
    plain: Iterable[str] = (),
    asking: Iterable[str] = (),
    primary: str = PRIMARY,
) -> None:
    """Create pods and wait until they run, with all that they asked for."""
    plain, asking = list(plain), list(asking)
    create(cluster, plain=plain, asking=asking)
    given = wait_running(cluster.kubectl, [*plain, *asking])
    assert all(address.startswith(primary) for address in given.values())
    for name in asking:
        check(cluster, name, primary=primary)


def check(cluster: Cluster, name: str, *, primary: str = PRIMARY) -> None:
    """Check that a pod has the networks that it asked for, as its links and its status say."""
    found = addresses(cluster, name)
    wanted = {"eth0": primary, **_LINKS}
    assert found.keys() == wanted.keys()
    assert all(found[link].startswith(begin) for link, begin in wanted.items())
    status = storm.status(cluster.kubectl_json("get", "pod", name))
    assert {one["interface"]: one["ips"][0] for one in status} == found


def addresses(cluster: Cluster, name: str) -> dict[str, str]:
    """Return the addresses in a pod, by link."""
    lines = cluster.kubectl("exec", name, "--", "ip", "-o", "-4", "address").splitlines()
    words = [line.split() for line in lines]
    return {word[1]: word[3].partition("/")[0] for word in words if word[1] != "lo"}


def refusal(cluster: Cluster, name: str) -> str:
    """Wait until the sandbox of a pod is refused; return what is said of it."""
    about = f"--field-selector=involvedObject.name={name},reason=FailedCreatePodSandBox"

    def said() -> str:
        events = cluster.kubectl_json("get", "events", about)["items"]
        return events[-1]["message"] if events else ""

    return until(said, f"{name} to be refused")


def delete(cluster: Cluster, *names: str) -> None:
    """Delete pods, and wait until they are gone."""
    cluster.kubectl("delete", "pod", *names, "--timeout=120s")
