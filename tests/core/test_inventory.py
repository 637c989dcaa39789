"""What the disk says of attachments, whoever wrote it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from multus_py.cni import arguments
from multus_py.cni.errors import CniError, Code
from multus_py.cni.request import Attachment
from multus_py.core import add, inventory
from multus_py.models.objects import CONFIG_HASH, CONFIG_SOURCE, ObjectRef, Pod
from tests.core.test_add import a_node
from tests.core.test_recall import cached, encoded, written_by_multus
from tests.fakes import NETNS, Node, failing, single

WEB = ObjectRef("default", "web")


def attached(*containers: str) -> Node:
    """Return a node on which pods were attached to their networks."""
    node = a_node()
    for container in containers:
        node.pod(container, uid=f"uid-{container}", networks="one")
        add.add(node.session(container_id=container, pod=container, uid=f"uid-{container}"))
    return node


def left_by_multus() -> Node:
    """Return a node with what Multus leaves of a pod: a record without our member, the cache."""
    node = a_node()
    primary, one = single("main", "primary"), single("one", "one")
    entries = ({"Bytes": encoded(primary)}, {"Bytes": encoded(one), "Name": "default/one"})
    node.store.records_["ctr", ""] = written_by_multus(*entries)
    told = ["K8S_POD_NAMESPACE=default", "K8S_POD_NAME=web", "K8S_POD_UID=uid-web", "MAC=02:00"]
    pairs = [pair.split("=") for pair in ("IgnoreUnknown=true", *told)]
    node.store.results_["primary", "ctr", "eth0"] = cached(primary, "eth0", cniArgs=pairs)
    node.store.results_["one", "ctr", "net1"] = cached(one, "net1", cniArgs=pairs)
    return node


def only(node: Node) -> inventory.Entry:
    (entry,) = inventory.entries(node.store)
    return entry


def test_a_record_has_its_pod_its_namespace_and_its_results() -> None:
    entry = only(attached("web"))

    assert entry.attachment == Attachment("web", "eth0")
    assert (entry.netns, entry.uid, entry.pod) == (NETNS, "uid-web", WEB)
    assert [result.ifname for result in entry.results] == ["eth0", "net1"]
    assert not entry.pending


def test_what_multus_did_not_record_is_in_the_cache() -> None:
    entry = only(left_by_multus())

    assert entry.attachment == Attachment("ctr", "")
    assert (entry.netns, entry.uid, entry.pod) == (NETNS, "uid-web", WEB)
    assert [result.ifname for result in entry.results] == ["eth0", "net1"]
    assert [delegate.name for delegate in entry.attached] == ["default/x", "default/one"]


def test_arguments_are_those_of_the_runtime_and_can_be_parsed() -> None:
    entry = only(left_by_multus())

    assert arguments.parse(entry.arguments).pairs == (
        ("IgnoreUnknown", "true"),
        ("K8S_POD_NAMESPACE", "default"),
        ("K8S_POD_NAME", "web"),
        ("K8S_POD_UID", "uid-web"),
    )


@pytest.mark.parametrize("pair", [["A", "b=c"], ["A", "b;c"], ["A=", "b"], ["A;", "b"]])
def test_an_argument_that_could_not_be_passed_is_left_out(pair: list[str]) -> None:
    node = a_node()
    one = single("one", "one")
    pairs = [["IgnoreUnknown", "1"], pair]
    node.store.results_["one", "ctr", "net1"] = cached(one, "net1", cniArgs=pairs)

    assert only(node).arguments == "IgnoreUnknown=1"


def test_what_only_the_cache_knows_is_one_entry_of_its_container() -> None:
    node = attached("a", "b")
    node.store.records_.pop(("b", "eth0"))

    first, second = inventory.entries(node.store)

    assert (first.attachment.container_id, second.attachment) == ("a", Attachment("b", "eth0"))
    assert (second.record, len(second.results), second.attached) == (None, 2, ())
    assert (second.netns, second.uid) == (NETNS, "uid-b")


def test_results_go_to_the_record_of_their_interface() -> None:
    node = attached("web")
    add.add(node.session(container_id="web", pod="web", uid="uid-web", ifname="eth1"))

    found = {
        entry.attachment.ifname: [result.ifname for result in entry.results]
        for entry in inventory.entries(node.store)
    }

    assert found == {"eth0": ["eth0", "net1"], "eth1": ["eth1"]}


def test_a_broken_record_has_the_results_that_nobody_else_has() -> None:
    node = attached("web")
    node.store.records_["web", "eth0"] = b"{broken"

    entry = only(node)

    assert entry.record is not None
    assert entry.record.delegates == ()
    assert (entry.netns, entry.uid, len(entry.results)) == (NETNS, "uid-web", 2)


def test_a_broken_record_has_no_results_of_another_one() -> None:
    node = attached("web")
    add.add(node.session(container_id="web", pod="web", uid="uid-web", ifname="eth1"))
    node.store.records_["web", "eth0"] = b"{broken"

    found = {
        entry.attachment.ifname: {result.ifname for result in entry.results}
        for entry in inventory.entries(node.store)
    }

    assert found == {"eth0": {"eth0"}, "eth1": {"eth1", "net1"}}


def test_a_result_that_does_not_say_how_it_was_made_is_of_no_use() -> None:
    node = a_node()
    node.store.results_["one", "ctr", "net1"] = b'{"cniVersion": "0.4.0"}'
    one = single("one", "one")
    node.store.results_["one", "old", "net1"] = cached(one, "net1", config="###")

    assert inventory.entries(node.store) == []


def test_a_network_whose_plugins_have_not_succeeded_is_not_attached() -> None:
    node = a_node()
    node.pod(networks="one,two")
    node.host.plugins["two"] = failing("ADD", "DEL")
    with pytest.raises(CniError):
        add.add(node.session())

    assert only(node).attached == ()


def test_nothing_is_known_of_a_record_of_multus_without_a_cache() -> None:
    node = left_by_multus()
    node.store.results_.clear()

    entry = only(node)

    assert (entry.netns, entry.uid, entry.pod) == ("", "", ObjectRef("", ""))
    assert entry.arguments == ""


# -- has it changed


def test_what_has_not_changed_is_current() -> None:
    node = attached("a", "b")
    node.store.records_.pop(("b", "eth0"))
    left = left_by_multus()

    for store in (node.store, left.store):
        for entry in inventory.entries(store):
            assert inventory.current(store, entry) == entry


def test_whatever_has_changed_is_not() -> None:
    node = attached("web")
    entry = only(node)
    assert entry.record is not None

    node.store.write_record(replace(entry.record, attempts=1))
    assert inventory.current(node.store, entry) != entry
    node.store.records_.clear()
    assert inventory.current(node.store, entry).record is None
    node.store.write_record(entry.record)
    node.store.delete_result(Attachment("web", "net1"), "one")
    assert inventory.current(node.store, entry) != entry


def test_a_record_that_broke_meanwhile_is_broken() -> None:
    node = attached("web")
    entry = only(node)
    node.store.records_["web", "eth0"] = b"{broken"

    record = inventory.current(node.store, entry).record

    assert record is not None
    assert record.delegates == ()


def test_a_disk_that_cannot_be_read_is_no_broken_record() -> None:
    node = attached("web")
    entry = only(node)

    def refuse(attachment: Attachment) -> None:
        raise CniError(Code.IO_FAILURE, "cannot read")

    node.store.read_record = refuse  # type: ignore[method-assign]  # a real disk's fault
    with pytest.raises(CniError, match="cannot read"):
        inventory.current(node.store, entry)


# -- whose is it


def test_a_pod_is_found_by_the_uid_of_the_runtime() -> None:
    entry = only(attached("web"))
    pod = Pod(WEB, "uid-web", {})

    assert inventory.Pods([pod]).of(entry) is pod
    assert inventory.Pods([replace(pod, uid="another")]).of(entry) is None


def test_a_static_pod_is_found_by_the_hash_of_its_file() -> None:
    entry = only(attached("web"))
    static = {CONFIG_SOURCE: "file", CONFIG_HASH: "uid-web"}

    mirror = Pod(WEB, "uid-mirror", static)
    assert inventory.Pods([mirror]).of(entry) is mirror
    assert inventory.Pods([Pod(WEB, "u", static | {CONFIG_HASH: "x"})]).of(entry) is None
    assert inventory.Pods([Pod(WEB, "u", {CONFIG_HASH: "uid-web"})]).of(entry) is None


def test_without_a_uid_the_name_has_to_do() -> None:
    node = a_node()
    node.pod()
    add.add(node.session(args="K8S_POD_NAMESPACE=default;K8S_POD_NAME=web"))
    pod = Pod(WEB, "whatever", {})

    assert inventory.Pods([pod]).of(only(node)) is pod
    assert inventory.Pods([]).of(only(node)) is None
