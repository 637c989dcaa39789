"""A second ADD of an attachment: what an earlier one left is not forgotten."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.core import add, release
from tests.core.test_add import a_node, failure
from tests.fakes import NETNS, Node, answering, failing


def a_pod(networks: str = "one,two") -> Node:
    node = a_node()
    node.pod(networks=networks)
    return node


def half_undone(node: Node) -> Node:
    """Let an ADD fail so that network one stays attached, and ask for other networks then."""
    node.host.plugins |= {"one": failing("DEL", msg="switch away"), "two": failing("ADD")}
    failure(node.session())
    node.host.plugins["two"] = answering()
    node.host.calls.clear()
    node.pod(networks="three")
    return node


def recorded(node: Node) -> list[str]:
    return [delegate.ifname for record in node.store.records() for delegate in record.delegates]


def test_what_could_not_be_undone_is_released_first() -> None:
    node = half_undone(a_pod())
    node.host.plugins["one"] = answering()

    add.add(node.session())

    assert node.host.talk == ["DEL one net1", "ADD main eth0", "ADD three net1"]
    assert node.host.calls[0].environment["CNI_NETNS"] == NETNS
    assert "prevResult" in node.host.stdin(0)
    assert {key[0] for key in node.store.results_} == {"primary", "three"}


def test_what_cannot_be_released_is_not_forgotten_for_a_new_attachment() -> None:
    node = half_undone(a_pod())

    error = failure(node.session())

    assert error.code == Code.TRY_AGAIN_LATER
    assert "earlier attachment" in error.message()
    assert "switch away" in error.message()
    assert node.host.talk == ["DEL one net1"]
    assert recorded(node) == ["net1"]


def test_so_is_everything_if_nothing_could_be_undone() -> None:
    node = a_pod("one")
    assert node.cluster is not None
    node.cluster.status_error = CniError(Code.API_FAILURE, "no status today")
    node.host.plugins |= dict.fromkeys(("main", "one"), failing("DEL"))
    failure(node.session())
    node.cluster.status_error = None
    node.host.plugins |= dict.fromkeys(("main", "one"), answering())
    node.host.calls.clear()

    add.add(node.session())

    released = ["DEL one net1", "DEL main eth0"]
    assert node.host.talk == [*released, "ADD main eth0", "ADD one net1"]


def test_several_that_cannot_be_released_are_told_together() -> None:
    node = a_pod("one,two,three")
    node.host.plugins |= {kind: failing("DEL", msg=f"{kind} away") for kind in ("one", "two")}
    node.host.plugins["three"] = failing("ADD")
    failure(node.session())

    error = failure(node.session())

    assert "one away" in error.message()
    assert "two away" in error.message()


def test_an_add_that_was_killed_is_undone_first() -> None:
    node = a_pod()
    add.add(node.session())
    del node.store.results_["two", "ctr", "net2"]
    node.host.calls.clear()

    add.add(node.session())

    released = ["DEL two net2", "DEL one net1", "DEL main eth0"]
    assert node.host.talk == [*released, "ADD main eth0", "ADD one net1", "ADD two net2"]


def test_a_second_add_that_cannot_look_for_links_releases_nothing() -> None:
    node = a_pod("one")
    add.add(node.session())
    before = dict(node.store.records_)
    node.host.calls.clear()
    node.host.look_error = RuntimeError("can't start new thread")

    assert failure(node.session()).code == Code.TRY_AGAIN_LATER

    assert node.host.talk == []
    assert node.store.records_ == before


def test_a_release_that_was_begun_is_finished_first() -> None:
    node = a_pod("one")
    add.add(node.session())
    node.host.plugins["one"] = failing("DEL")
    with pytest.raises(CniError):
        release.delete(node.session("DEL"))
    node.host.plugins["one"] = answering()
    node.host.calls.clear()

    add.add(node.session())

    assert node.host.talk == ["DEL one net1", "ADD main eth0", "ADD one net1"]


def test_a_network_that_has_done_nothing_is_in_nobodys_way() -> None:
    node = a_pod("one")
    node.host.plugins["one"] = failing("ADD", "DEL")
    failure(node.session())
    node.host.plugins["one"] = answering()
    node.host.calls.clear()

    add.add(node.session())

    assert node.host.talk == ["ADD main eth0", "ADD one net1"]


def test_a_namespace_of_then_that_is_gone_is_not_named() -> None:
    node = half_undone(a_pod())
    node.host.plugins["one"] = answering()

    add.add(node.session(netns="/run/netns/other"))

    assert node.host.calls[0].environment["CNI_NETNS"] == ""


# -- after an ADD that succeeded


def test_after_one_that_succeeded_everything_is_attached_anew_as_with_multus() -> None:
    node = a_pod("one")
    add.add(node.session())
    node.pod(networks="two")
    node.host.calls.clear()

    add.add(node.session())

    assert node.host.talk == ["ADD main eth0", "ADD two net1"]
    assert recorded(node) == ["eth0", "net1"]
    assert ("one", "ctr", "net1") in node.store.results_  # for GC and the daemon


def test_one_that_fails_then_leaves_the_record_of_what_is_attached() -> None:
    node = a_pod("one")
    add.add(node.session())
    before = dict(node.store.records_)
    node.host.links |= {"eth0", "net1"}
    node.pod(networks="two")

    assert failure(node.session()).code == Code.INTERFACE_TAKEN

    assert node.store.records_ == before
    node.host.calls.clear()
    release.delete(node.session("DEL"))
    assert node.host.talk == ["DEL one net1", "DEL main eth0"]
    assert (node.store.records_, node.store.results_) == ({}, {})


def test_and_adds_to_it_what_could_not_be_undone() -> None:
    node = a_pod("one")
    add.add(node.session())
    node.host.plugins |= {"two": failing("DEL", msg="switch away"), "three": failing("ADD")}
    node.pod(networks="one@other0,two,three")

    failure(node.session())

    (record,) = node.store.records()
    assert [(one.network.name, one.ifname) for one in record.delegates] == [
        ("primary", "eth0"),
        ("one", "net1"),
        ("two", "net2"),
    ]
    ((_, raw),) = node.store.records_.items()
    assert json.loads(raw)[2]["ifnameRequest"] == "net2"  # Multus would count


def test_the_new_failure_is_what_is_told() -> None:
    node = a_pod("one")
    add.add(node.session())
    node.host.plugins["one"] = failing("ADD", "DEL", msg="no parent")

    assert "no parent" in failure(node.session()).message()
    changes: dict[str, Any] = {"releaseAttempts": 1}
    with pytest.raises(CniError):
        release.delete(node.session("DEL", **changes))  # it was attached once
