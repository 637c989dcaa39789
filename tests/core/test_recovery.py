"""The network-status of a pod out of what the disk says of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from multus_py.core import add, inventory, recovery
from tests.core.test_add import a_node
from tests.fakes import FakeCluster, Node

if TYPE_CHECKING:
    from multus_py.core.inventory import Entry


def attached(node: Node) -> Entry:
    node.pod(networks="one,two")
    add.add(node.session())
    [entry] = inventory.entries(node.store)
    return entry


def test_it_is_what_add_wrote() -> None:
    node = a_node()
    entry = attached(node)
    assert isinstance(node.cluster, FakeCluster)
    [(_, written)] = node.cluster.statuses
    assert json.loads(recovery.annotation(entry, node.store)) == written


def test_unless_all_networks_are_known_to_be_attached_there_is_none() -> None:
    node = a_node()
    entry = attached(node)
    assert entry.record
    undone = tuple(replace(delegate, begun=1) for delegate in entry.record.delegates)
    for changed in (
        replace(entry, record=replace(entry.record, delegates=undone)),
        replace(entry, record=None),
        replace(entry, results=entry.results[:-1]),
        replace(entry, record=replace(entry.record, pending=True)),
        replace(entry, record=replace(entry.record, partial=True)),
        replace(entry, record=replace(entry.record, delegates=())),
    ):
        assert recovery.annotation(changed, node.store) == ""
