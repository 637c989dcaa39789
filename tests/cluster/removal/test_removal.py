"""Leaving: in every way in which people do it nodes stay usable, and in the end they are clean."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.cluster import daemons, departure, deployment, guests, helm, holdings, traces
from tests.cluster.deployment import MANIFEST
from tests.cluster.pods import wait_running
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.cluster import Cluster

USABLE_SECONDS = 60.0
"""A node starts plain pods by then, whatever has become of its daemon."""

RUNTIMES_NOTE = "file results/multus-cni-network-"
"""What the runtime keeps of a pod by the name of a network, and forgets when that is gone."""


def by_kubectl(cluster: Cluster) -> None:
    cluster.kubectl("delete", f"--filename={MANIFEST}")


def by_force(cluster: Cluster) -> None:
    cluster.kubectl("delete", f"--filename={MANIFEST}", "--force", "--grace-period=0")


def after_a_kill(cluster: Cluster) -> None:
    assert daemons.kill(cluster)
    cluster.kubectl("delete", f"--filename={MANIFEST}")


@pytest.mark.parametrize(
    ("arrive", "leave"),
    [
        (deployment.deploy, by_kubectl),
        (deployment.deploy, by_force),
        (deployment.deploy, after_a_kill),
        (helm.install, helm.uninstall),
    ],
    ids=["deleted", "deleted by force", "killed and deleted", "uninstalled by helm"],
)
def test_a_node_stays_usable_whatever_takes_its_daemon_away(
    lone: Cluster, arrive: Callable[[Cluster], None], leave: Callable[[Cluster], None]
) -> None:
    """Plain pods start; those that ask for networks wait, and those that have them are released.

    Multus 4.3.0, killed and deleted, left its configuration and its shim: no pod started any more.
    """
    node = lone.nodes[0]
    clean, free = traces.of(node), holdings.of(node)
    arrive(lone)
    guests.define(lone)
    guests.run(lone, plain=["plain"], asking=["asking"])

    leave(lone)
    start = time.monotonic()
    guests.create(lone, plain=["plain-later"], asking=["asking-later"])
    wait_running(lone.kubectl, ["plain-later"])
    assert time.monotonic() - start < USABLE_SECONDS
    said = guests.refusal(lone, "asking-later")
    assert "ADD, pod default/asking-later: " in said
    assert "Next: " in said
    guests.check(lone, "asking")
    guests.delete(lone, "plain", "asking", "plain-later", "asking-later")
    holdings.wait_for(node, free)

    until(lambda: not daemons.of(lone), "the daemon to be gone")
    node.run("/opt/cni/bin/multus-py", "uninstall", "--wait")
    assert traces.of(node) == clean
    guests.run(lone, plain=["plain"])
    guests.delete(lone, "plain")


def test_a_node_is_left_when_the_last_further_network_is_released(lone: Cluster) -> None:
    """Plain pods from before are released by the primary network, like all from then on."""
    node = lone.nodes[0]
    clean, free = traces.of(node), holdings.of(node)
    deployment.deploy(lone)
    guests.define(lone)
    guests.run(lone, plain=["plain"], asking=["asking"])

    departure.begin(lone)
    guests.run(lone, plain=["plain-later"])
    guests.check(lone, "asking")
    assert traces.of(node) != clean
    guests.delete(lone, "asking")
    until(lambda: traces.of(node) == clean, "the node to be clean")
    guests.delete(lone, "plain", "plain-later")
    until(
        lambda: all(RUNTIMES_NOTE in one for one in holdings.of(node) - free),
        "plain pods to be released",
        lambda: "\n".join(sorted(holdings.of(node) - free)),
    )

    departure.end(lone)
    assert "red" in lone.kubectl("get", "network-attachment-definitions")
