"""GC: exactly what the runtime no longer has is released, and plugins hear what is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.core import add, collect
from tests.core.test_add import a_node
from tests.core.test_recall import cached, encoded, written_by_multus
from tests.fakes import Node, chain, failing, single

if TYPE_CHECKING:
    from multus_py.core.session import Session

CURRENT = {"cniVersion": "1.1.0"}


def a_current_node() -> Node:
    """Return a node whose networks know GC."""
    node = a_node(delegates=[single("main", "primary") | CURRENT])
    for kind in ("one", "two"):
        node.network(f"default/{kind}", single(kind) | CURRENT)
    return node


def attached(node: Node, *containers: str, networks: str = "one") -> Node:
    for container in containers:
        node.pod(container, uid=f"uid-{container}", networks=networks)
        add.add(node.session(container_id=container, pod=container, uid=f"uid-{container}"))
    node.host.calls.clear()
    return node


def gc(node: Node, *valid: str, **changes: Any) -> Session:
    listed = [{"containerID": container, "ifname": "eth0"} for container in valid]
    changes = {"cni.dev/valid-attachments": listed, "cni.dev/attachments": listed, **changes}
    return node.session("GC", container_id="", ifname="", netns="", args="", **changes)


def said(node: Node) -> dict[str, list[tuple[str, str]]]:
    """Return the attachments that GC called valid, by plugin."""
    return {
        call.plugin: [
            (entry["containerID"], entry["ifname"])
            for entry in node.host.stdin(index)["cni.dev/valid-attachments"]
        ]
        for index, call in enumerate(node.host.calls)
        if call.environment["CNI_COMMAND"] == "GC"
    }


def test_what_the_runtime_does_not_have_is_released_and_nothing_else() -> None:
    node = attached(a_current_node(), "a", "b")

    collect.collect(gc(node, "a"))

    released = [
        (call.plugin, call.environment["CNI_CONTAINERID"], call.environment["CNI_NETNS"])
        for call in node.host.calls
        if call.environment["CNI_COMMAND"] == "DEL"
    ]
    assert released == [("one", "b", "/run/netns/pod"), ("main", "b", "/run/netns/pod")]
    assert list(node.store.records_) == [("a", "eth0")]
    assert {key[1] for key in node.store.results_} == {"a"}


def test_plugins_of_every_network_hear_what_is_in_use_of_it() -> None:
    node = attached(a_current_node(), "a", "b", "c")

    collect.collect(gc(node, "a", "b"))

    assert said(node) == {
        "main": [("a", "eth0"), ("b", "eth0")],
        "one": [("a", "net1"), ("b", "net1")],
    }
    last = node.host.calls[-1]
    assert dict(last.environment) == {
        "CNI_COMMAND": "GC",
        "CNI_CONTAINERID": "",
        "CNI_NETNS": "",
        "CNI_IFNAME": "",
        "CNI_ARGS": "",
        "CNI_PATH": "/opt/cni/bin:/usr/lib/cni",
    }


def test_networks_of_one_name_are_in_use_together() -> None:
    node = a_current_node()
    node.network("default/one", single("one", "shared") | CURRENT)
    node.network("default/two", single("two", "shared") | CURRENT)
    attached(node, "a", networks="one")
    attached(node, "b", networks="two")

    collect.collect(gc(node, "a", "b"))

    both = [("a", "net1"), ("b", "net1")]
    assert said(node) == {"main": [("a", "eth0"), ("b", "eth0")], "one": both, "two": both}


def test_a_valid_attachment_that_nothing_is_known_of_keeps_other_networks_untouched() -> None:
    node = attached(a_current_node(), "a")

    collect.collect(gc(node, "a", "unknown"))

    assert said(node) == {"main": [("a", "eth0"), ("unknown", "eth0")]}


def test_before_anything_was_added_only_the_plugins_are_asked() -> None:
    node = a_current_node()

    collect.collect(gc(node))

    assert node.host.talk == ["GC main"]


def test_a_container_at_work_is_not_stale() -> None:
    node = attached(a_current_node(), "a")
    node.store.locked.add("a")

    collect.collect(gc(node))

    assert said(node) == {"main": [("a", "eth0")], "one": [("a", "net1")]}
    assert list(node.store.records_) == [("a", "eth0")]


def test_records_of_another_configuration_are_not_touched() -> None:
    node = attached(a_current_node(), "a")

    collect.collect(gc(node, name="another-net"))

    assert list(node.store.records_) == [("a", "eth0")]
    assert "DEL" not in {call.environment["CNI_COMMAND"] for call in node.host.calls}


def test_what_multus_left_behind_is_released() -> None:
    node = a_current_node()
    primary = single("main", "primary") | CURRENT
    node.store.records_["old", ""] = written_by_multus({"Bytes": encoded(primary)})

    collect.collect(gc(node))

    assert node.host.talk == ["DEL main eth0", "GC main"]
    assert node.store.records_ == {}


def test_the_interface_that_multus_did_not_record_is_in_the_cache() -> None:
    node = a_current_node()
    primary = single("main", "primary") | CURRENT
    node.store.records_["ctr", ""] = written_by_multus({"Bytes": encoded(primary)})
    node.store.results_["primary", "ctr", "cbr0"] = cached(primary, "cbr0")

    collect.collect(gc(node))

    assert node.host.talk[0] == "DEL main cbr0"
    assert node.store.results_ == {}


def test_a_record_of_multus_is_valid_with_its_container() -> None:
    node = a_current_node()
    primary = single("main", "primary") | CURRENT
    node.store.records_["ctr", ""] = written_by_multus({"Bytes": encoded(primary)})

    collect.collect(gc(node, "ctr"))

    assert node.host.talk == ["GC main"]
    assert list(node.store.records_) == [("ctr", "")]


def test_what_only_the_cache_knows_is_released() -> None:
    node = attached(a_current_node(), "a", "b")
    node.store.records_.clear()

    collect.collect(gc(node, "a"))

    released = [
        call.environment["CNI_CONTAINERID"]
        for call in node.host.calls
        if call.environment["CNI_COMMAND"] == "DEL"
    ]
    assert released == ["b", "b"]
    assert {key[1] for key in node.store.results_} == {"a"}


def test_a_broken_record_of_a_stale_container_is_released_from_the_cache() -> None:
    node = attached(a_current_node(), "a")
    node.store.records_["a", "eth0"] = b"{broken"

    collect.collect(gc(node))

    assert node.host.talk[:2] == ["DEL one net1", "DEL main eth0"]
    assert (node.store.records_, node.store.results_) == ({}, {})


def test_failures_are_reported_together_after_everything_was_tried() -> None:
    node = attached(a_current_node(), "a", "b")
    node.host.plugins["one"] = failing("DEL", msg="cannot release")
    node.host.plugins["main"] = failing("GC", msg="cannot collect")

    with pytest.raises(CniError) as caught:
        collect.collect(gc(node, "a"))

    assert "cannot release" in caught.value.message()
    assert "cannot collect" in caught.value.message()
    assert list(node.store.records_) == [("a", "eth0"), ("b", "eth0")]


def test_every_plugin_of_a_chain_is_asked_even_if_one_fails() -> None:
    node = a_node(delegates=[chain("primary", "main", "one") | CURRENT])
    node.host.plugins["main"] = failing("GC")

    with pytest.raises(CniError, match="plugin main"):
        collect.collect(gc(node))

    assert node.host.talk == ["GC main", "GC one"]


@pytest.mark.parametrize(
    "network",
    [chain("primary", "main", disableGC=True) | CURRENT, single("main", "primary")],
    ids=["switched off", "before 1.1.0"],
)
def test_networks_without_gc_are_not_asked(network: dict[str, Any]) -> None:
    node = a_node(delegates=[network])

    collect.collect(gc(node))

    assert node.host.calls == []


@pytest.mark.parametrize("broken", ["ctr", [1], [{"containerID": "a"}], [None], 7])
def test_a_list_of_what_is_valid_that_is_none_is_refused(broken: Any) -> None:
    node = attached(a_current_node(), "a")
    keys = {"cni.dev/valid-attachments": broken, "cni.dev/attachments": broken}

    with pytest.raises(CniError) as caught:
        collect.collect(gc(node, **keys))

    assert caught.value.code == Code.INVALID_CONFIGURATION
    assert node.host.calls == []


def test_without_a_list_of_what_is_valid_nothing_is_called_stale() -> None:
    node = attached(a_current_node(), "a", "b")
    del node.store.records_["b", "eth0"]

    collect.collect(gc(node, **{"cni.dev/valid-attachments": None, "cni.dev/attachments": None}))

    assert said(node) == {
        "main": [("a", "eth0"), ("b", "eth0")],
        "one": [("a", "net1"), ("b", "net1")],
    }
    assert {call.environment["CNI_COMMAND"] for call in node.host.calls} == {"GC"}


def test_the_older_key_alone_is_understood() -> None:
    node = attached(a_current_node(), "a")
    listed = [{"containerID": "a", "ifname": "eth0"}]

    collect.collect(gc(node, **{"cni.dev/valid-attachments": None, "cni.dev/attachments": listed}))

    assert said(node)["main"] == [("a", "eth0")]


def test_a_lock_that_cannot_be_made_is_an_error_not_a_container_at_work() -> None:
    node = attached(a_current_node(), "a")

    def refuse(container_id: str, seconds: float) -> Any:
        raise CniError(Code.IO_FAILURE, "read-only file system")

    node.store.lock = refuse  # type: ignore[method-assign]  # one failure of a real disk
    with pytest.raises(CniError, match="read-only"):
        collect.collect(gc(node))

    assert list(node.store.records_) == [("a", "eth0")]
