"""Pods that run without what they ask for are recognised, and no others."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from multus_py.cni.errors import CniError
from multus_py.core import add, inventory, missing
from multus_py.models.objects import CONFIG_SOURCE, DEFAULT_NETWORK, NETWORKS, LivePod, Pod
from tests.core.test_add import a_node
from tests.core.test_inventory import WEB, left_by_multus
from tests.fakes import Node, failing, single

SHOULD = LivePod(
    pod=Pod(WEB, "uid-web", {NETWORKS: "one"}),
    phase="Running",
    host_network=False,
    deleting=False,
)


def attached(networks: str = "one", **config: object) -> Node:
    node = a_node(**config)
    node.pod(networks=networks)
    add.add(node.session())
    return node


def lack(node: Node, networks: str = "one", **annotations: str) -> str:
    """Return what the pod lacks that asks for these networks by now."""
    pod = Pod(WEB, "uid-web", {NETWORKS: networks, **annotations})
    return missing.lack(pod, inventory.entries(node.store), "kube-system")


# -- whom it concerns


@pytest.mark.parametrize(
    ("live", "concerned"),
    [
        (SHOULD, True),
        (replace(SHOULD, pod=Pod(WEB, "u", {DEFAULT_NETWORK: "main"})), True),
        (replace(SHOULD, pod=Pod(WEB, "u", {})), False),
        (replace(SHOULD, pod=Pod(WEB, "u", {NETWORKS: ""})), False),
        (replace(SHOULD, host_network=True), False),
        (replace(SHOULD, deleting=True), False),
        (replace(SHOULD, phase="Pending"), False),
        (replace(SHOULD, phase="Succeeded"), False),
        (replace(SHOULD, phase="Unknown"), False),
    ],
)
def test_it_concerns_running_pods_that_ask_for_networks(live: LivePod, *, concerned: bool) -> None:
    assert missing.concerns(live) is concerned


# -- what is there


@pytest.mark.parametrize(
    "networks",
    ["one", "one,two", "one,one", "default/one@data0", '[{"name": "two", "namespace": "default"}]'],
)
def test_a_pod_that_was_attached_to_all_it_asks_for_lacks_nothing(networks: str) -> None:
    assert lack(attached(networks), networks) == ""


def test_more_networks_than_asked_for_are_no_lack() -> None:
    assert lack(attached("one,two"), "two") == ""


def test_a_default_network_of_its_own_is_there_with_the_others() -> None:
    node = a_node()
    node.network("kube-system/special", single("three", "special"))
    node.pod(default_network="special", networks="one")
    add.add(node.session())

    assert lack(node, "one", **{DEFAULT_NETWORK: "special"}) == ""
    assert "kube-system/other" in lack(node, "one", **{DEFAULT_NETWORK: "other"})


def test_what_multus_attached_is_there() -> None:
    assert lack(left_by_multus()) == ""


def test_a_network_that_was_attached_later_may_have_its_own_name_only() -> None:
    node = attached("one")
    (record,) = node.store.records()
    first, second = record.delegates
    node.store.write_record(replace(record, delegates=(first, replace(second, name="one"))))

    assert lack(node) == ""


@pytest.mark.parametrize(
    ("cached", "asked", "lacks"),
    [(("one",), "one", False), (("one",), "one,two", True), (("one", "two"), "one,two", False)],
)
def test_what_only_the_cache_knows_counts_without_a_name(
    cached: tuple[str, ...], asked: str, *, lacks: bool
) -> None:
    node = attached(",".join(cached))
    node.store.records_.clear()

    assert bool(lack(node, asked)) is lacks


def test_what_the_cache_knows_counts_as_well_if_the_record_cannot_be_read() -> None:
    node = attached("one,two")
    node.store.records_ = dict.fromkeys(node.store.records_, b"{broken")

    assert lack(node, "one,two") == ""
    assert "runs without" in lack(node, "one,two,three")


def test_of_what_only_the_cache_knows_one_is_the_default_network() -> None:
    node = attached("one")
    node.store.records_.clear()
    pod = Pod(WEB, "uid-web", {DEFAULT_NETWORK: "special", NETWORKS: "one"})

    assert missing.lack(pod, inventory.entries(node.store), "kube-system") == ""


def test_a_second_sandbox_that_has_all_is_enough() -> None:
    node = a_node()
    node.pod(networks="one,two")
    node.host.plugins["two"] = failing("ADD")
    with pytest.raises(CniError):
        add.add(node.session(container_id="first"))
    assert "default/two" in lack(node, "one,two")

    node.host.plugins["two"] = node.host.plugins["one"]
    add.add(node.session(container_id="second"))

    assert lack(node, "one,two") == ""


# -- what is not


def test_a_pod_that_never_came_by_lacks_everything() -> None:
    told = lack(a_node(), "one,other/two")

    assert told.startswith("it runs without default/one, other/two: ")
    assert "another CNI configuration" in told
    assert "delete the pod" in told


def test_a_static_pod_has_no_controller() -> None:
    told = lack(a_node(), **{CONFIG_SOURCE: "file"})

    assert "delete the pod" not in told
    assert "file" in told


def test_what_was_asked_for_later_is_missing() -> None:
    told = lack(attached("one"), "one,two,two")

    assert told.startswith("it runs without default/two: ")
    assert "started" in told


def test_the_same_network_twice_is_twice() -> None:
    assert lack(attached("one"), "one,one").startswith("it runs without default/one: ")


def test_a_network_whose_add_failed_is_missing() -> None:
    node = a_node()
    node.pod(networks="one")
    node.host.plugins["one"] = failing("ADD", "DEL")
    with pytest.raises(CniError):
        add.add(node.session())

    assert "default/one" in lack(node)


def test_what_is_released_for_the_runtime_does_not_count() -> None:
    node = attached("one")
    (record,) = node.store.records()
    node.store.write_record(replace(record, pending=True))

    assert "default/one" in lack(node)


def test_an_annotation_that_cannot_be_read_is_a_reason() -> None:
    told = lack(a_node(), "UPPER")

    assert "'UPPER'" in told


def test_an_annotation_that_was_spoiled_later_is_none() -> None:
    assert lack(attached("one"), "UPPER") == ""


def test_what_is_told_stays_short_however_much_is_missing() -> None:
    asked = json.dumps([{"name": f"network-with-a-long-name-{number}"} for number in range(50)])

    assert len(lack(a_node(), asked)) <= 300
