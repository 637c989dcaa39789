"""Whose networks are attached when nobody but the runtime can be asked."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.core import add
from multus_py.models.requests import POD_ANNOTATIONS
from tests.fakes import FakeCluster, FakeHost, Node, answering, single

if TYPE_CHECKING:
    from multus_py.models.objects import ObjectRef, Pod

AWAY = CniError(Code.TRY_AGAIN_LATER, "the API server cannot be reached")
REFUSED = CniError(Code.API_REFUSED, "Unauthorized")
NETWORKS = "k8s.v1.cni.cncf.io/networks"


@dataclass
class DeafCluster(FakeCluster):
    """A cluster whose definitions are known here, but whose pods have to be asked for."""

    deafness: CniError = AWAY

    def get_pod(self, ref: ObjectRef, *, uid: str = "") -> Pod:
        raise self.deafness

    def publish_status(self, pod: Pod, annotation: str) -> None:
        raise self.deafness


def a_node(deafness: CniError = AWAY) -> Node:
    plugins = {kind: answering() for kind in ("main", "one")}
    node = Node(host=FakeHost(plugins=plugins), cluster=DeafCluster(deafness=deafness))
    node.config = {"delegates": [single("main", "primary")]}
    node.network("default/one", single("one"))
    return node


def told(**annotations: str) -> dict[str, Any]:
    return {"runtimeConfig": {POD_ANNOTATIONS: annotations}}


def ran(node: Node) -> list[str]:
    return [call.plugin for call in node.host.calls]


@pytest.mark.parametrize("deafness", [AWAY, REFUSED], ids=["away", "refused"])
def test_a_pod_of_which_the_runtime_says_that_it_asks_for_nothing_starts(
    deafness: CniError,
) -> None:
    node = a_node(deafness)
    add.add(node.session(**told(unrelated="yes")))
    assert ran(node) == ["main"]


def test_networks_that_the_runtime_tells_of_are_attached_if_they_are_known() -> None:
    node = a_node()
    add.add(node.session(**told(**{NETWORKS: "one"})))
    assert ran(node) == ["main", "one"]


def test_networks_that_are_not_known_keep_the_pod_from_starting() -> None:
    node = a_node()
    with pytest.raises(CniError, match="two"):
        add.add(node.session(**told(**{NETWORKS: "two"})))
    assert ran(node) == []


def test_a_runtime_that_says_nothing_is_told_why_the_cluster_could_not_be_asked() -> None:
    node = a_node()
    with pytest.raises(CniError, match="cannot be reached"):
        add.add(node.session())
    assert ran(node) == []


def test_what_the_cluster_says_counts_more_than_what_the_runtime_says() -> None:
    node = a_node()
    node.cluster = FakeCluster(networks=node.cluster.networks if node.cluster else {})
    node.pod(networks="one")
    add.add(node.session(**told()))
    assert ran(node) == ["main", "one"]


def test_a_pod_that_the_cluster_does_not_have_is_not_believed_in() -> None:
    node = a_node()
    node.cluster = FakeCluster()
    with pytest.raises(CniError, match="not known to the API server"):
        add.add(node.session(**told()))


def test_a_status_that_cannot_be_written_undoes_a_pod_that_the_cluster_vouches_for() -> None:
    node = a_node()
    node.cluster = FakeCluster(status_error=AWAY)
    node.pod()
    with pytest.raises(CniError, match="cannot be reached"):
        add.add(node.session())


def test_on_an_abandoned_node_a_pod_of_which_nobody_can_say_anything_starts() -> None:
    node = a_node(REFUSED)
    add.add(replace(node.session(), abandoned=True))
    assert ran(node) == ["main"]


def test_an_api_server_that_is_away_is_waited_for_on_an_abandoned_node_too() -> None:
    node = a_node(AWAY)
    with pytest.raises(CniError, match="cannot be reached"):
        add.add(replace(node.session(), abandoned=True))
    assert ran(node) == []


def test_on_an_abandoned_node_the_runtime_is_believed_first() -> None:
    node = a_node(REFUSED)
    with pytest.raises(CniError, match="two"):
        add.add(replace(node.session(**told(**{NETWORKS: "two"})), abandoned=True))


def test_annotations_are_passed_to_plugins_that_declare_them_and_to_no_others() -> None:
    node = a_node()
    node.network("default/one", single("one", capabilities={POD_ANNOTATIONS: True}))
    add.add(node.session(**told(**{NETWORKS: "one"})))
    main, one = (call.stdin for call in node.host.calls)
    assert POD_ANNOTATIONS.encode() not in main
    assert json.loads(one)["runtimeConfig"] == {POD_ANNOTATIONS: {NETWORKS: "one"}}
    recorded = [
        delegate.capability_args or {}
        for record in node.store.records()
        for delegate in record.delegates
    ]
    assert [POD_ANNOTATIONS in arguments for arguments in recorded] == [False, True]


def test_annotations_that_are_no_texts_are_refused() -> None:
    node = a_node()
    with pytest.raises(CniError, match="runtimeConfig"):
        node.session(runtimeConfig={POD_ANNOTATIONS: {"a": 1}})
