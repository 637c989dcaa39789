"""Others have their own idea of the node's configuration: pods get their networks all the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cluster import departure, deployment, guests, holdings
from tests.cluster.node import primary_network
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.cluster import Cluster
    from tests.cluster.node import Node

DIRECTORY = "/etc/cni/net.d"
OURS = "00-multus.conflist"
PRIMARY = "10-primary.conflist"
RIVAL = "10.240.1."
"""What addresses of the other primary network begin with."""


@pytest.fixture(scope="module")
def contested(lone: Cluster) -> Iterator[Cluster]:
    """The cluster with multus-py, to whose node others come."""
    deployment.deploy(lone)
    guests.define(lone)
    yield lone
    departure.complete(lone)


@pytest.fixture
def node(contested: Cluster) -> Iterator[Node]:
    """The node, with a pod from before; afterwards it is as it was."""
    node = contested.nodes[0]
    free = holdings.of(node)
    guests.run(contested, asking=["before"])
    yield node
    guests.check(contested, "before")
    guests.run(contested, asking=["after"])
    guests.delete(contested, "before", "during", "after")
    holdings.wait_for(node, free)
    assert files(node) == {OURS, PRIMARY}


def test_what_somebody_renames_is_there_again(contested: Cluster, node: Node) -> None:
    """Installers do that who want to be the only ones."""
    rename(node, OURS, f"{OURS}.cilium_bak")
    wait_for(node, OURS, embedding="primary")
    guests.run(contested, asking=["during"])
    remove(node, f"{OURS}.cilium_bak")


def test_another_network_takes_the_place_of_all(contested: Cluster, node: Node) -> None:
    """Pods from before are released by what they were started with."""
    write_rival(node, "05-rival.conflist")
    for name in (OURS, PRIMARY):
        rename(node, name, f"{name}.cilium_bak")
    wait_for(node, OURS, embedding="rival")
    guests.run(contested, asking=["during"], primary=RIVAL)
    rename(node, f"{PRIMARY}.cilium_bak", PRIMARY)
    remove(node, "05-rival.conflist", f"{OURS}.cilium_bak")
    wait_for(node, OURS, embedding="primary")


def test_the_primary_network_is_replaced_under_its_name(contested: Cluster, node: Node) -> None:
    rename(node, PRIMARY, "kept")
    write_rival(node, PRIMARY)
    wait_for(node, OURS, embedding="rival")
    guests.run(contested, asking=["during"], primary=RIVAL)
    rename(node, "kept", PRIMARY)
    wait_for(node, OURS, embedding="primary")


def test_ours_is_before_what_would_be_before_it(contested: Cluster, node: Node) -> None:
    write_rival(node, "00-first.conflist")
    wait_for(node, "0-multus.conflist", embedding="rival")
    guests.run(contested, asking=["during"], primary=RIVAL)
    remove(node, "00-first.conflist")
    wait_for(node, OURS, embedding="primary")


def write_rival(node: Node, name: str) -> None:
    """Write the configuration of another primary network, as its installer would."""
    network = primary_network(node.number)
    network["name"] = "rival"
    bridge = network["plugins"][0]
    bridge["bridge"] = "rival0"
    bridge["ipam"]["ranges"] = [[{"subnet": f"{RIVAL}0/24"}]]
    node.run("tee", f"{DIRECTORY}/.{name}", stdin=json.dumps(network))
    rename(node, f".{name}", name)


def rename(node: Node, name: str, new: str) -> None:
    node.run("mv", f"{DIRECTORY}/{name}", f"{DIRECTORY}/{new}")


def remove(node: Node, *names: str) -> None:
    node.run("rm", *(f"{DIRECTORY}/{name}" for name in names))


def files(node: Node) -> set[str]:
    """Return the files in the directory of configurations."""
    return {path.name for path in (node.root / DIRECTORY.lstrip("/")).iterdir()}


def wait_for(node: Node, name: str, *, embedding: str) -> None:
    """Wait until runtimes find ours first, under this name and with this primary network."""

    def is_so() -> bool:
        first = min(name for name in files(node) if name.endswith((".conf", ".conflist")))
        if first != name:
            return False
        content = (node.root / DIRECTORY.lstrip("/") / first).read_text()
        return '"multus-py"' in content and f'"name": "{embedding}"' in content

    until(is_so, f"{name} to be first and to have the network {embedding}")
