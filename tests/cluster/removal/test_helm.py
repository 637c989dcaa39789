"""The chart: a release is installed, upgraded, and leaves nodes as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster import daemons, departure, guests, helm, traces
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster


def test_a_release_is_installed_upgraded_and_removed(lone: Cluster) -> None:
    node = lone.nodes[0]
    clean = traces.of(node)
    helm.install(lone)
    guests.define(lone)
    guests.run(lone, asking=["first"])

    before = daemons.of(lone)
    helm.upgrade(lone, "log.level=debug", "metrics.port=9393")
    assert daemons.of(lone) != before
    guests.run(lone, asking=["second"])
    metrics = node.run("busybox", "wget", "-qO-", "http://127.0.0.1:9393/metrics")
    assert "multus_py_" in metrics

    helm.upgrade(lone, "remove=true")
    guests.check(lone, "first")
    guests.run(lone, plain=["plain"])
    guests.delete(lone, "first", "second", "plain")
    until(lambda: traces.of(node) == clean, "the node to be clean")
    helm.uninstall(lone)
    departure.wait(lone)
    assert "red" in lone.kubectl("get", "network-attachment-definitions")
