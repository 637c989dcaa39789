"""GC: exactly what the runtime no longer has is released, and plugins hear what is in use."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.core import add, collect, mishaps
from multus_py.core.ports import PluginCall, PluginExit
from tests.core.test_add import a_node
from tests.core.test_recall import cached, encoded, written_by_multus
from tests.fakes import NETNS, FakeStore, Node, chain, failing, single

if TYPE_CHECKING:
    from multus_py.cni.request import Attachment
    from multus_py.core.session import Session
    from multus_py.models.cached import CachedResult
    from multus_py.models.delegate import Record

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


def failure(session: Session) -> str:
    with pytest.raises(CniError) as caught:
        collect.collect(session)
    return caught.value.message()


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


def test_what_only_the_cache_knows_is_left_alone_while_its_namespace_is_there() -> None:
    node = attached(a_current_node(), "a")
    node.store.records_.clear()
    node.host.files.add(NETNS)

    collect.collect(gc(node))

    assert said(node) == {"main": [("a", "eth0")], "one": [("a", "net1")]}
    assert len(node.store.results_) == 2


# -- records that cannot be read


def a_node_with_a_broken_record(*others: str) -> Node:
    """Return a node with containers at work; the record of the first, ``a``, is broken."""
    node = attached(a_current_node(), "a", *others, networks="one,two")
    node.host.files.add(NETNS)
    node.store.records_["a", ""] = b"{broken"
    del node.store.records_["a", "eth0"]
    return node


def test_what_may_be_in_use_is_not_released_for_want_of_its_record() -> None:
    node = a_node_with_a_broken_record("b")
    before = {key: raw for key, raw in node.store.results_.items() if key[1] == "a"}

    assert "record of container a cannot be read" in failure(gc(node))

    assert node.host.talk[:3] == ["DEL two net2", "DEL one net1", "DEL main eth0"]
    assert {call.environment["CNI_CONTAINERID"] for call in node.host.calls[:3]} == {"b"}
    assert said(node) == {"main": [("a", "eth0")]}
    assert list(node.store.records_) == [("a", "")]
    assert node.store.results_ == before


def test_a_valid_container_is_not_known_by_its_cached_results_if_its_record_is_broken() -> None:
    node = a_node_with_a_broken_record("b")
    del node.store.results_["two", "a", "net2"]

    assert "record of container a cannot be read" in failure(gc(node, "a", "b"))

    assert said(node) == {"main": [("a", "eth0"), ("b", "eth0")]}
    assert set(node.store.records_) == {("a", ""), ("b", "eth0")}


def test_if_even_its_primary_attachment_may_be_unknown_no_plugin_is_asked() -> None:
    node = a_node_with_a_broken_record("b")
    del node.store.results_["primary", "a", "eth0"]

    failure(gc(node, "b"))

    assert said(node) == {}
    assert len([key for key in node.store.results_ if key[1] == "a"]) == 2


def test_a_record_that_breaks_before_it_is_released_is_not_released() -> None:
    node = attached(a_current_node(), "a")
    locks = node.store.lock

    def lock(container_id: str, seconds: float) -> Any:
        node.store.records_["a", "eth0"] = b"{broken"
        return locks(container_id, seconds)

    node.store.lock = lock  # type: ignore[method-assign]  # a disk that fails just then
    failure(gc(node))

    assert "DEL" not in {call.environment["CNI_COMMAND"] for call in node.host.calls}
    assert said(node) == {"main": [("a", "eth0")]}


def test_a_broken_record_whose_namespace_is_gone_is_released_from_the_cache() -> None:
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


@pytest.mark.parametrize(
    "broken",
    [
        "ctr",
        {"a": 1},
        7,
        False,
        [1],
        [None],
        [{"containerID": "a"}],
        [{"ifname": "eth0"}],
        [{"containerID": 5, "ifname": "eth0"}],
        [{"containerID": "", "ifname": "eth0"}],
        [{"containerID": "../a", "ifname": "eth0"}],
        [{"containerID": "a", "ifname": 7}],
        [{"containerID": "a", "ifname": ""}],
        [{"containerID": "a", "ifname": "a/b"}],
        [{"containerID": ["a"], "ifname": "eth0"}],
        [{"containerID": "a", "ifname": "eth0"}, {"containerID": None, "ifname": "eth0"}],
    ],
    ids=str,
)
def test_a_list_of_what_is_valid_that_is_none_is_refused(broken: Any) -> None:
    node = attached(a_current_node(), "a")
    keys = {"cni.dev/valid-attachments": broken, "cni.dev/attachments": broken}

    with pytest.raises(CniError) as caught:
        collect.collect(gc(node, **keys))

    assert caught.value.code == Code.INVALID_CONFIGURATION
    assert "cni.dev/valid-attachments" in caught.value.message()
    assert node.host.calls == []
    assert list(node.store.records_) == [("a", "eth0")]


NO_LIST = {"cni.dev/valid-attachments": None, "cni.dev/attachments": None}
"""What libcni makes of an empty list, and what is left of a list that nobody has filled in."""


def test_without_a_list_of_what_is_valid_nothing_is_stale_whose_namespace_is_there() -> None:
    node = attached(a_current_node(), "a", "b")
    node.host.files.add("/run/netns/pod")
    del node.store.records_["b", "eth0"]

    collect.collect(gc(node, **NO_LIST))

    assert said(node) == {
        "main": [("a", "eth0"), ("b", "eth0")],
        "one": [("a", "net1"), ("b", "net1")],
    }
    assert {call.environment["CNI_COMMAND"] for call in node.host.calls} == {"GC"}


def test_without_a_list_everything_is_stale_whose_namespace_is_gone() -> None:
    node = attached(a_current_node(), "a", "b")
    del node.store.records_["b", "eth0"]

    collect.collect(gc(node, **NO_LIST))

    assert (node.store.records_, node.store.results_) == ({}, {})


def test_without_a_list_and_a_namespace_nothing_is_called_stale() -> None:
    node = a_current_node()
    primary = single("main", "primary") | CURRENT
    node.store.records_["old", ""] = written_by_multus({"Bytes": encoded(primary)})

    collect.collect(gc(node, **NO_LIST))

    assert node.host.talk == ["GC main"]
    assert said(node) == {"main": [("old", "eth0")]}


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


# -- one thing that is broken does not keep the others


def with_config(node: Node, container: str, **changes: Any) -> None:
    """Change the configuration of the second network in a container's record."""
    entries = json.loads(node.store.records_[container, "eth0"])
    entries[1]["Bytes"] = encoded(single("one") | changes)
    node.store.records_[container, "eth0"] = json.dumps(entries).encode()


@pytest.mark.parametrize("valid", [["bad"], []], ids=["valid", "stale"])
def test_a_record_of_what_cannot_be_run_keeps_no_other_from_its_release(valid: list[str]) -> None:
    node = attached(a_current_node(), "bad", "stale")
    with_config(node, "bad", name="../../x")

    with contextlib.suppress(CniError):  # of the plugins' GC for such a network
        collect.collect(gc(node, *valid))

    assert ("DEL", "stale") in {
        (call.environment["CNI_COMMAND"], call.environment["CNI_CONTAINERID"])
        for call in node.host.calls
    }
    assert list(node.store.records_) == [(name, "eth0") for name in valid]


def test_a_disk_that_fails_for_one_container_keeps_no_other_from_its_release() -> None:
    node = attached(a_current_node(), "bad", "stale")
    working = node.store.read_result

    def read(attachment: Attachment, network: str) -> CachedResult | None:
        if attachment.container_id == "bad":
            raise CniError(Code.IO_FAILURE, "input/output error")
        return working(attachment, network)

    node.store.read_result = read  # type: ignore[method-assign]  # one failure of a real disk
    with pytest.raises(CniError, match="input/output error"):
        collect.collect(gc(node, "bad"))

    assert list(node.store.records_) == [("bad", "eth0")]
    assert said(node) == {"main": [("bad", "eth0")]}


def test_a_cluster_network_that_is_gone_loses_no_other_error() -> None:
    node = attached(a_current_node(), "a")
    node.host.plugins["one"] = failing("DEL", msg="cannot release")

    with pytest.raises(CniError) as caught:
        collect.collect(gc(node, delegates=None, clusterNetwork="ghost"))

    assert "cannot release" in caught.value.message()
    assert "ghost" in caught.value.message()


def test_every_failure_has_its_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    node = attached(a_current_node(), *(f"c{number}" for number in range(7)))
    node.host.plugins["one"] = failing("DEL", msg="cannot release")

    with pytest.raises(CniError, match="and 2 more"):
        collect.collect(gc(node))

    assert sum("cannot release" in line for line in caplog.messages) == 7


# -- what is not ours


@pytest.mark.parametrize("content", [b"mine", b"", b"[]", b"{}"])
def test_a_file_that_is_nobodys_record_is_left_alone_and_named(content: bytes) -> None:
    node = attached(a_current_node(), "a")
    node.store.records_["notes.txt", ""] = content

    assert "container notes.txt cannot be read" in failure(gc(node))

    assert node.store.records_ == {("notes.txt", ""): content}
    assert said(node) == {}


def test_what_the_runtime_has_released_meanwhile_is_not_released_again() -> None:
    node = attached(a_current_node(), "a", "b")
    locks = node.store.lock

    def lock(container_id: str, seconds: float) -> Any:
        if container_id == "b":
            node.store.records_.pop(("b", "eth0"), None)
            gone = [key for key in node.store.results_ if key[1] == "b"]
            for key in gone:
                del node.store.results_[key]
        return locks(container_id, seconds)

    node.store.lock = lock  # type: ignore[method-assign]  # a DEL that comes first
    collect.collect(gc(node))

    released = {call.environment["CNI_CONTAINERID"] for call in node.host.calls}
    assert "b" not in released
    assert node.store.records_ == {}


def test_a_record_that_nobody_can_read_does_not_keep_what_the_cache_knows() -> None:
    node = attached(a_current_node(), "a")
    node.store.records_.clear()

    def refuse(attachment: Attachment) -> Record | None:
        raise CniError(Code.IO_FAILURE, f"{attachment.container_id} is a directory")

    node.store.read_record = refuse  # type: ignore[method-assign]  # a disk that is in a mess
    collect.collect(gc(node))

    assert node.store.results_ == {}


def test_what_only_the_cache_knows_is_released_under_its_lock() -> None:
    node = attached(a_current_node(), "a")
    node.store.records_.clear()
    node.store.locked.add("a")

    collect.collect(gc(node))

    assert said(node) == {"main": [("a", "eth0")], "one": [("a", "net1")]}


# -- how much of it


class Counting(FakeStore):
    """A disk that counts how often all of it is read."""

    def __init__(self, store: FakeStore) -> None:
        super().__init__(**vars(store))
        self.looks: list[str] = []

    def records(self) -> list[Record]:
        self.looks.append("records")
        return super().records()

    def results(self) -> list[CachedResult]:
        self.looks.append("results")
        return super().results()


def test_the_disk_is_read_once_however_many_containers_there_are() -> None:
    node = attached(a_current_node(), *(f"c{number}" for number in range(6)))
    primary = single("main", "primary") | CURRENT
    for number in range(6):
        node.store.records_[f"multus{number}", ""] = written_by_multus({"Bytes": encoded(primary)})
    node.store.records_["c4", "eth0"] = b"{broken"
    del node.store.records_["c5", "eth0"]
    store = node.store = Counting(node.store)

    collect.collect(gc(node, "c0", "c1", "multus0"))

    assert sorted(store.looks) == ["records", "results"]
    assert sorted(key[0] for key in store.records_) == ["c0", "c1", "multus0"]


def test_a_plugin_that_hangs_leaves_the_others_their_time() -> None:
    node = attached(a_current_node(), "a", "b")

    def hang(call: PluginCall) -> PluginExit:
        node.now += call.seconds
        return PluginExit(status=1)

    node.host.plugins["one"] = hang
    with pytest.raises(CniError):
        collect.collect(gc(node))

    assert len(node.host.calls) == 5
    assert min(call.seconds for call in node.host.calls) >= 15
    assert node.now <= 100


def test_so_does_one_that_hangs_while_it_collects() -> None:
    node = attached(a_current_node(), "a")

    def hang(call: PluginCall) -> PluginExit:
        node.now += call.seconds
        raise mishaps.late(call)

    node.host.plugins["main"] = hang
    with pytest.raises(CniError, match="no answer within 38 s"):
        collect.collect(gc(node, "a"))

    assert [round(call.seconds) for call in node.host.calls] == [38, 38]
