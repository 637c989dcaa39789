"""What is dead is released, and nothing that may be in use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from multus_py.cni import arguments
from multus_py.cni.errors import CniError, Code
from multus_py.core import add, inventory, recall, repair
from multus_py.core.inventory import Pods
from multus_py.core.repair import Dead
from multus_py.models.objects import CONFIG_HASH
from multus_py.wire import LostError
from tests.core.test_add import a_node
from tests.core.test_inventory import left_by_multus
from tests.core.test_pending import a_pending_node, lost
from tests.fakes import NETNS, Node, answering, failing

if TYPE_CHECKING:
    from multus_py.core.release import Settled
    from multus_py.core.session import Session


def attached(*names: str, networks: str = "one") -> Node:
    """Return a node with pods, each in a namespace that is there."""
    node = a_node()
    for name in names:
        node.pod(name, uid=f"uid-{name}", networks=networks)
        node.host.files.add(netns_of(name))
        add.add(node.session(container_id=name, pod=name, uid=f"uid-{name}", netns=netns_of(name)))
    node.host.calls.clear()
    return node


def netns_of(name: str) -> str:
    return f"/run/netns/{name}"


def pods(node: Node, *but: str) -> Pods:
    """Return the cluster's pods, but for some."""
    assert node.cluster is not None
    return Pods(pod for pod in node.cluster.pods.values() if pod.ref.name not in but)


def without_namespaces(*names: str) -> Node:
    """Return a node with pods of whose namespaces nothing is written down."""
    node = attached(*names)
    for record in node.store.records():
        node.store.write_record(replace(record, netns=""))
    node.store.results_.clear()
    return node


def unconfirmed(node: Node, known: Pods) -> set[str]:
    """Return what is called dead for want of its pod in a list alone."""
    found = repair.found(inventory.entries(node.store), known, node.host)
    return {dead.entry.attachment.container_id for dead in found if dead.unconfirmed}


def causes(node: Node, known: Pods | None) -> dict[str, str]:
    entries = inventory.entries(node.store)
    return {
        dead.entry.attachment.container_id: dead.cause
        for dead in repair.found(entries, known, node.host)
    }


def session_for(node: Node, entry: inventory.Entry) -> Session:
    asked = repair.request(entry, path=("/opt/cni/bin",), config={"name": "multus-net"})
    return replace(
        node.session(),
        request=asked,
        arguments=arguments.parse(asked.args),
        keeps_pending=True,
    )


def perform(node: Node, number: int = 0, *, unconfirmed: bool = False) -> Settled | None:
    entry = inventory.entries(node.store)[number]
    dead = Dead(entry, repair.POD_GONE, unconfirmed=unconfirmed)
    return repair.perform(session_for(node, entry), dead)


# -- what is dead


def test_a_pod_that_lives_in_its_namespace_is_not_dead() -> None:
    node = attached("a", "b")

    assert causes(node, pods(node)) == {}


def test_what_has_neither_pod_nor_namespace_is_dead() -> None:
    node = attached("a", "b")
    node.host.files.remove(netns_of("b"))

    assert causes(node, pods(node, "b")) == {"b": repair.POD_GONE}


def test_while_the_namespace_is_there_the_container_may_run_without_its_pod() -> None:
    node = attached("a", "b")

    assert causes(node, pods(node, "a", "b")) == {}


def test_a_live_pod_without_its_namespace_has_or_will_get_another() -> None:
    node = attached("a", "b")
    node.host.files.remove(netns_of("b"))

    assert causes(node, pods(node)) == {"b": repair.SANDBOX_GONE}


def test_if_not_one_live_pod_has_its_namespace_the_view_is_not_trusted() -> None:
    node = attached("a", "b")
    node.host.files.clear()

    assert causes(node, pods(node, "b")) == {}
    assert set(causes(node, pods(node, "a", "b"))) == {"a", "b"}


def test_as_long_as_the_pods_are_not_known_nothing_is_dead() -> None:
    node = attached("a", "b")
    node.host.files.clear()

    assert causes(node, None) == {}


def test_what_is_pending_is_released_whether_or_not_the_pods_are_known() -> None:
    node = a_pending_node()
    node.host.files.add(NETNS)

    assert causes(node, None) == {"ctr": repair.PENDING}
    assert causes(node, pods(node)) == {"ctr": repair.PENDING}


def test_a_pending_release_is_no_reason_to_distrust_the_view() -> None:
    node = attached("a")
    node.host.files.remove(netns_of("a"))
    (record,) = node.store.records()
    node.store.write_record(replace(record, pending=True))

    assert causes(node, pods(node)) == {"a": repair.PENDING}


def test_where_nobody_wrote_the_namespace_down_the_pod_decides() -> None:
    node = without_namespaces("a", "b")

    assert causes(node, pods(node)) == {}
    assert causes(node, pods(node, "b")) == {"b": repair.POD_GONE}
    assert unconfirmed(node, pods(node, "b")) == {"b"}


def test_a_namespace_that_is_gone_is_proof_if_others_are_there() -> None:
    node = attached("a", "b")
    node.host.files.remove(netns_of("b"))
    assert unconfirmed(node, pods(node, "b")) == set()

    node.host.files.clear()
    assert unconfirmed(node, pods(node, "a", "b")) == {"a", "b"}


def test_what_nothing_is_known_of_is_left_to_the_runtime() -> None:
    node = left_by_multus()
    node.store.results_.clear()

    assert causes(node, Pods([])) == {}


def test_what_multus_left_is_treated_the_same() -> None:
    node = left_by_multus()
    assert causes(node, Pods([])) == {"ctr": repair.POD_GONE}

    node.store.records_.clear()
    assert causes(node, Pods([])) == {"ctr": repair.POD_GONE}

    node.host.files.add(NETNS)
    assert causes(node, Pods([])) == {}


# -- what only a list says


def test_a_pod_that_only_a_list_lacks_is_left_alone() -> None:
    node = without_namespaces("a")
    before = dict(node.store.records_)

    assert perform(node, unconfirmed=True) is None
    assert (node.host.calls, node.store.records_) == ([], before)


def test_a_static_pod_is_known_by_the_hash_of_its_file() -> None:
    node = without_namespaces("a")
    assert node.cluster is not None
    (pod,) = node.cluster.pods.values()
    mirror = replace(pod, uid="uid-mirror", annotations={CONFIG_HASH: "uid-a"})
    node.cluster.pods[pod.ref] = mirror

    assert perform(node, unconfirmed=True) is None


@pytest.mark.parametrize("replaced", [True, False])
def test_a_pod_that_the_api_server_does_not_have_is_released(*, replaced: bool) -> None:
    node = without_namespaces("a")
    assert node.cluster is not None
    node.cluster.pods.clear()
    if replaced:
        node.pod("a", uid="uid-another")

    settled = perform(node, unconfirmed=True)

    assert settled is not None
    assert (settled.errors, node.store.records_) == ([], {})
    assert node.host.talk == ["DEL one net1", "DEL main eth0"]


def test_without_an_answer_nothing_is_released() -> None:
    node = without_namespaces("a")
    assert node.cluster is not None
    node.cluster.error = CniError(Code.TRY_AGAIN_LATER, "the API server cannot be reached")

    with pytest.raises(CniError, match="cannot be reached"):
        perform(node, unconfirmed=True)
    node.cluster = None
    assert perform(node, unconfirmed=True) is None
    assert node.host.calls == []


# -- releasing it


def test_what_is_dead_is_released_in_reverse_without_a_namespace_and_forgotten() -> None:
    node = attached("a")
    node.host.files.clear()

    settled = perform(node)

    assert settled is not None
    assert (settled.errors, settled.pending) == ([], False)
    assert node.host.talk == ["DEL one net1", "DEL main eth0"]
    assert [call.environment["CNI_NETNS"] for call in node.host.calls] == ["", ""]
    assert [call.environment["CNI_CONTAINERID"] for call in node.host.calls] == ["a", "a"]
    assert node.host.args(0)["K8S_POD_UID"] == "uid-a"
    assert (node.store.records_, node.store.results_) == ({}, {})


def test_what_multus_left_is_released_with_what_it_told_its_plugins() -> None:
    node = left_by_multus()

    perform(node)

    assert node.host.talk == ["DEL one net1", "DEL main eth0"]
    assert node.host.args(0)["K8S_POD_UID"] == "uid-web"
    assert "MAC" not in node.host.args(0)
    assert (node.store.records_, node.store.results_) == ({}, {})


def test_the_namespace_that_only_the_cache_knew_is_recorded_from_then_on() -> None:
    node = left_by_multus()
    node.host.plugins["main"] = failing("DEL")
    del node.store.results_["primary", "ctr", "eth0"]

    perform(node)

    (record,) = node.store.records()
    assert (record.netns, node.store.results_) == (NETNS, {})


def test_what_only_the_cache_knows_is_released() -> None:
    node = attached("a")
    node.store.records_.clear()
    node.host.files.clear()

    perform(node)

    assert node.host.talk == ["DEL one net1", "DEL main eth0"]
    assert node.store.results_ == {}


def test_what_only_the_cache_knows_and_fails_has_a_record_from_then_on() -> None:
    node = attached("a")
    node.store.records_.clear()
    node.host.files.clear()
    node.host.plugins["one"] = failing("DEL", msg="switch away")

    settled = perform(node)

    assert settled is not None
    assert "switch away" in str(settled.errors[0])
    (record,) = node.store.records()
    assert (record.attempts, record.owner, record.netns) == (1, "multus-net", netns_of("a"))
    (entry,) = inventory.entries(node.store)
    assert (entry.uid, len(entry.results)) == ("uid-a", 1)


def test_a_broken_record_is_released_from_the_cache() -> None:
    node = attached("a")
    node.store.records_["a", "eth0"] = b"{broken"
    node.host.files.clear()

    perform(node)

    assert node.host.talk == ["DEL one net1", "DEL main eth0"]
    assert (node.store.records_, node.store.results_) == ({}, {})


def test_a_failure_keeps_the_record_and_becomes_pending_like_that_of_a_del() -> None:
    node = attached("a")
    node.host.files.clear()
    node.host.plugins["one"] = failing("DEL", msg="switch away")

    outcomes = [perform(node) for _ in range(5)]

    assert [settled.pending for settled in outcomes if settled] == [False] * 4 + [True]
    (record,) = node.store.records()
    assert (record.pending, len(record.delegates)) == (True, 1)


def test_what_is_pending_is_released_in_its_namespace_while_that_is_there() -> None:
    node = a_pending_node()
    node.host.plugins["two"] = answering()
    node.host.files.add(NETNS)

    settled = perform(node)

    assert settled is not None
    assert settled.errors == []
    assert node.host.calls[0].environment["CNI_NETNS"] == NETNS
    assert node.store.records_ == {}


def test_a_container_at_work_is_left_alone() -> None:
    node = attached("a")
    node.host.files.clear()
    node.store.locked.add("a")

    assert perform(node) is None
    assert node.host.calls == []


def test_a_disk_that_cannot_be_locked_is_an_error() -> None:
    node = attached("a")

    def refuse(container_id: str, seconds: float) -> None:
        raise CniError(Code.IO_FAILURE, "read-only file system")

    node.store.lock = refuse  # type: ignore[assignment,method-assign]  # one failure of a real disk
    with pytest.raises(CniError, match="read-only"):
        perform(node)


def test_a_namespace_that_came_back_is_left_alone() -> None:
    node = attached("a")
    before = dict(node.store.records_)

    assert perform(node) is None
    assert (node.host.calls, node.store.records_) == ([], before)


def test_what_was_released_or_attached_meanwhile_is_left_alone() -> None:
    node = attached("a")
    node.host.files.clear()
    (entry,) = inventory.entries(node.store)
    assert entry.record is not None

    node.store.write_record(replace(entry.record, netns="/run/netns/new"))
    assert repair.perform(session_for(node, entry), Dead(entry, repair.POD_GONE)) is None
    node.store.records_.clear()
    assert repair.perform(session_for(node, entry), Dead(entry, repair.POD_GONE)) is None
    assert node.host.calls == []


def test_what_only_the_cache_knew_and_is_recorded_by_now_is_left_alone() -> None:
    node = attached("a")
    records = dict(node.store.records_)
    node.store.records_.clear()
    node.host.files.clear()
    (entry,) = inventory.entries(node.store)
    node.store.records_.update(records)

    assert repair.perform(session_for(node, entry), Dead(entry, repair.POD_GONE)) is None
    assert node.host.calls == []


def test_if_the_host_is_lost_nothing_has_changed() -> None:
    node = attached("a")
    node.host.files.clear()
    node.host.plugins["one"] = lost
    before = (dict(node.store.records_), dict(node.store.results_))

    with pytest.raises(LostError):
        perform(node)

    assert (node.store.records_, node.store.results_) == before
    assert node.store.locked == set()


def test_a_result_without_its_configuration_is_no_network() -> None:
    node = attached("a")
    (cached, *_) = node.store.results()

    assert recall.from_result(replace(cached, config=None)) is None
