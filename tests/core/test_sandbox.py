"""Whose sandbox a hot attachment is for, and what is done where its pod has no record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from multus_py.cni.errors import Code
from multus_py.core import add, collect, release
from multus_py.models import record as record_model
from tests.core.test_add import a_node
from tests.core.test_hotplug import HOT, a_pod, attach, detach, failure, recorded
from tests.fakes import NETNS, answering, single

if TYPE_CHECKING:
    from multus_py.models.delegate import Record


def test_a_caller_may_name_one_of_the_pods_containers() -> None:
    node = a_pod()
    attach(node, container_id="app", netns="/proc/77/ns/net")

    environment = node.host.calls[0].environment
    assert (environment["CNI_CONTAINERID"], environment["CNI_NETNS"]) == ("ctr", NETNS)
    assert list(node.store.records_) == [("ctr", "eth0")]
    detach(node, container_id="restarted", netns="")
    assert node.host.calls[1].environment["CNI_CONTAINERID"] == "ctr"
    assert recorded(node) == [("primary", "eth0"), ("default/one", "net1")]


def test_of_two_sandboxes_of_a_pod_the_one_whose_namespace_is_there_counts() -> None:
    node = a_pod()
    node.host.links.clear()
    add.add(node.session(container_id="older", netns="/run/netns/older"))
    attach(node, container_id="app", netns="/proc/77/ns/net")
    assert node.host.calls[-1].environment["CNI_CONTAINERID"] == "ctr"


def test_of_two_sandboxes_of_a_pod_the_one_in_the_namespace_of_the_request_counts() -> None:
    node = a_pod()
    node.host.links.clear()
    add.add(node.session(container_id="newer", netns="/run/netns/newer"))
    node.host.files.add("/run/netns/newer")
    attach(node, container_id="app", netns="/run/netns/newer")
    assert node.host.calls[-1].environment["CNI_CONTAINERID"] == "newer"


def test_without_a_uid_the_pods_own_is_passed_on() -> None:
    node = a_node()
    node.host.plugins["hot"] = answering()
    node.pod()
    attach(node, args="K8S_POD_NAMESPACE=default;K8S_POD_NAME=web")
    assert node.host.args(0)["K8S_POD_UID"] == "uid-web"


def test_a_pod_that_was_started_before_us_gets_a_record_of_its_own() -> None:
    node = a_node()
    node.host.plugins["hot"] = answering()
    node.pod(networks="one")
    attach(node)
    (record,) = node.store.records()
    assert (record.partial, record.netns, recorded(node)) == (True, NETNS, [("hot-net", "net5")])


def test_with_such_a_record_the_pods_del_releases_what_was_there_before_too() -> None:
    node = a_node()
    node.host.plugins["hot"] = answering()
    node.pod(networks='[{"name": "one"}, {"name": "two", "interface": "net5"}]')
    attach(node)
    node.host.calls.clear()

    release.delete(node.session("DEL"))

    assert node.host.talk == ["DEL hot net5", "DEL one net1", "DEL main eth0"]
    assert (node.store.records_, node.store.results_) == ({}, {})


def test_gc_leaves_such_a_record_alone_while_its_namespace_is_there() -> None:
    """Its caller may have named the pod by a container that the runtime does not list."""
    node = a_node()
    node.host.plugins["hot"] = answering()
    node.pod()
    node.host.files.add(NETNS)
    attach(node, container_id="app")
    node.host.calls.clear()

    gc: dict[str, Any] = {"cni.dev/valid-attachments": []}
    session = node.session("GC", container_id="", ifname="", netns="", args="", **gc)
    collect.collect(session)
    assert "DEL hot net5" not in node.host.talk

    node.host.files.clear()
    collect.collect(session)
    assert "DEL hot net5" in node.host.talk
    assert node.store.records_ == {}


def test_with_such_a_record_gc_does_not_claim_to_know_the_pods_networks() -> None:
    """A plugin would release what is in use: the pod's other attachments to the same network."""
    node = a_node()
    current = {"cniVersion": "1.1.0"}
    node.host.plugins["hot"] = answering()
    node.pod()
    attach(node, HOT | current)
    node.host.calls.clear()

    gc: dict[str, Any] = {"cni.dev/valid-attachments": [{"containerID": "ctr", "ifname": "eth0"}]}
    collect.collect(node.session("GC", container_id="", ifname="", netns="", args="", **gc))

    assert "GC hot" not in node.host.talk


def test_a_record_that_cannot_be_read_is_not_written_over() -> None:
    node = a_pod()
    node.store.records_["ctr", "eth0"] = b"{"
    assert failure(node).code == Code.DECODING_FAILURE
    assert node.store.records_ == {("ctr", "eth0"): b"{"}


def of_multus(record: Record) -> bytes:
    """Return a record as Multus would have written it."""
    entries = json.loads(record_model.encode(record))
    for entry in entries:
        del entry["multusPy"]
    return json.dumps(entries).encode()


def test_a_record_of_multus_gets_the_network_and_loses_nothing() -> None:
    node = a_pod()
    (record,) = node.store.records()
    node.store.records_ = {("ctr", ""): of_multus(record)}

    attach(node)
    assert recorded(node)[1:] == [("default/one", "net1"), ("hot-net", "net5")]
    node.host.calls.clear()
    release.delete(node.session("DEL"))

    assert node.host.talk == ["DEL hot net5", "DEL one net1", "DEL main eth0"]
    assert node.host.args(2)["K8S_POD_NAME"] == "web"
    assert (node.store.records_, node.store.results_) == ({}, {})


def test_multus_finds_the_names_of_interfaces_after_one_was_detached() -> None:
    node = a_pod()
    attach(node)
    attach(node, single("three", "third"), ifname="store0")
    detach(node)

    (record,) = node.store.records()
    entries = json.loads(of_multus(record))
    assert [entry.get("ifnameRequest") for entry in entries] == [None, "net1", "store0"]
