"""Multus gives its node to us, and takes it back: pods run on, and whoever is there releases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster import departure, deployment, guests, holdings, multus, traces
from tests.cluster.pods import wait_running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.cluster import Cluster


@pytest.fixture
def shared(lone: Cluster) -> Iterator[Cluster]:
    """The cluster with Multus on its node, of which nothing is left at the end."""
    multus.load(lone)
    multus.deploy(lone)
    guests.define(lone)
    yield lone
    multus.remove(lone)


def test_a_node_changes_hands_with_its_pods_running(shared: Cluster) -> None:
    """To us, to Multus and to us again. Pods of the one are released by the other.

    Pods that Multus has attached are never left to it here: it releases no primary network that
    is a list of plugins.
    """
    node = shared.nodes[0]
    free = holdings.of(node)
    guests.run(shared, plain=["plain"], asking=["theirs"])

    deployment.deploy(shared)
    multus.end(shared)
    guests.check(shared, "theirs")
    guests.delete(shared, "theirs", "plain")
    holdings.wait_for(node, free)
    guests.run(shared, plain=["plain"], asking=["ours"])
    held = holdings.of(node)

    multus.deploy(shared)
    guests.create(shared, asking=["meanwhile"])
    departure.begin(shared, "--hand-back")
    assert not [path for path in traces.of(node) if "multus-py" in path]
    guests.run(shared, asking=["theirs"])
    wait_running(shared.kubectl, ["meanwhile"])
    guests.check(shared, "meanwhile")
    theirs = holdings.of(node) - held
    guests.check(shared, "ours")
    guests.delete(shared, "ours", "plain")
    holdings.wait_for(node, free | theirs)
    departure.end(shared)

    deployment.deploy(shared)
    multus.end(shared)
    guests.check(shared, "theirs")
    guests.delete(shared, "theirs", "meanwhile")
    holdings.wait_for(node, free)
    departure.begin(shared)
    departure.end(shared)
