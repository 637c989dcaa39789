from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.core.mishaps import KeptOffError
from multus_py.core.ports import Cluster, Event, PluginCall
from multus_py.daemon import stages
from multus_py.daemon.metrics import Metrics
from multus_py.daemon.stages import StagedCluster, StagedHost, Stages
from multus_py.models.objects import ObjectRef
from tests.fakes import NETNS, FakeCluster, FakeHost, Node, answering, failing


@pytest.fixture
def node() -> Node:
    node = Node()
    node.network("default/one", {"type": "one"})
    return node


def counted(metrics: Metrics, verb: str, stage: str) -> float:
    name = "multus_py_stage_seconds_count"
    return metrics.registry.get_sample_value(name, {"verb": verb, "stage": stage}) or 0.0


def test_each_stage_has_its_time() -> None:
    timed = Stages()
    timed.add(stages.QUEUE, 0.5)
    timed.add(stages.QUEUE, 0.25)
    timed.add(stages.PUBLISH, 0.001)
    assert timed.seconds == {stages.QUEUE: 0.75, stages.PUBLISH: 0.001}
    assert str(timed) == "queue=750 publish=1"


def test_time_is_counted_over_an_error_too() -> None:
    timed = Stages()
    with pytest.raises(RuntimeError), timed.of(stages.RESOLVE):
        raise RuntimeError
    assert list(timed.seconds) == [stages.RESOLVE]
    assert 0 <= timed.seconds[stages.RESOLVE] <= timed.total


def test_stages_that_did_not_happen_are_not_measured() -> None:
    metrics, timed = Metrics(), Stages()
    timed.add(stages.QUEUE, 0.5)
    timed.observe(metrics, "ADD")
    assert counted(metrics, "ADD", stages.QUEUE) == 1
    assert counted(metrics, "ADD", stages.PUBLISH) == 0


def test_a_cluster_answers_through_it_as_by_itself(node: Node) -> None:
    cluster = node.cluster
    assert isinstance(cluster, FakeCluster)
    pod = node.pod("web")
    timed = Stages()
    staged = StagedCluster(cluster, timed)
    place = ObjectRef("default", "one")
    cluster.old_networks[place] = cluster.networks[place]
    assert staged.get_pod(pod.ref, uid="uid") is pod
    assert cluster.uids == ["uid"]
    assert staged.get_network(place) is cluster.networks[place]
    assert staged.get_first_generation_network(place) is cluster.networks[place]
    assert staged.devices(pod) == {}
    assert list(timed.seconds) == [stages.RESOLVE]
    staged.publish_status(pod, "[]")
    staged.edit_status(pod, lambda text: text)
    assert cluster.statuses == [(pod.ref, []), (pod.ref, [])]
    staged.emit(pod, Event("Normal", "Reason", "message"))
    assert len(cluster.events) == 1
    assert list(timed.seconds) == [stages.RESOLVE, stages.PUBLISH]


def test_an_error_of_the_cluster_passes_and_its_time_counts(node: Node) -> None:
    assert node.cluster
    node.cluster.error = CniError(Code.API_FAILURE, "away")
    timed = Stages()
    with pytest.raises(CniError, match="away"):
        StagedCluster(node.cluster, timed).get_pod(ObjectRef("default", "web"))
    assert list(timed.seconds) == [stages.RESOLVE]


def test_it_is_a_whole_cluster() -> None:
    def members(kind: Any) -> dict[str, inspect.Signature]:
        listed = inspect.getmembers(kind, inspect.isfunction)
        return {name: inspect.signature(member) for name, member in listed if name[0] != "_"}

    assert members(StagedCluster) == members(Cluster)


def test_plugins_are_timed_and_counted_by_type_and_verb(node: Node) -> None:
    metrics, timed = Metrics(), Stages()
    node.host.plugins |= {"one": answering(), "bad": failing("ADD")}
    host = StagedHost(node.host, timed, metrics)

    for plugin in ("one", "one", "bad"):
        host.run(a_call(plugin))

    labels = [("one", "ok", 2.0), ("bad", "error", 1.0)]
    for kind, outcome, times in labels:
        where = {"type": kind, "verb": "ADD", "outcome": outcome}
        assert metrics.registry.get_sample_value("multus_py_delegates_total", where) == times
    measured = {"type": "one", "verb": "ADD"}
    assert metrics.registry.get_sample_value("multus_py_delegate_seconds_count", measured) == 2
    assert list(timed.seconds) == [stages.DELEGATES]


def test_types_that_users_invent_are_counted_as_one() -> None:
    metrics = Metrics()
    host = StagedHost(FakeHost(), Stages(), metrics)
    for plugin in ("invented", "made-up"):
        with pytest.raises(CniError):
            host.run(a_call(plugin))
    where = {"type": stages.NOT_EXECUTED, "verb": "ADD", "outcome": "error"}
    assert metrics.registry.get_sample_value("multus_py_delegates_total", where) == 2


def test_a_plugin_that_is_kept_off_is_not_counted() -> None:
    metrics, timed = Metrics(), Stages()
    host = StagedHost(FakeHost(links={"net1"}), timed, metrics)
    with pytest.raises(KeptOffError):
        host.run(replace(a_call("one"), new_link="net1"))
    (counted,) = metrics.delegates.collect()
    assert counted.samples == []
    assert list(timed.seconds) == [stages.DELEGATES]


def a_call(plugin: str) -> PluginCall:
    environment = {"CNI_COMMAND": "ADD", "CNI_IFNAME": "net1", "CNI_NETNS": NETNS}
    return PluginCall(
        plugin=plugin, path=("/bin",), environment=environment, stdin=b"{}", seconds=1.0
    )
