"""What is attached, found out from whatever is left of it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.core import add, release
from multus_py.models.objects import ObjectRef
from tests.core.test_add import a_node
from tests.fakes import NETNS, Node, chain, single

ALL = ["DEL two net2", "DEL one net1", "DEL main eth0"]


def attached() -> Node:
    node = a_node()
    node.pod(networks="one,two")
    add.add(node.session())
    node.host.calls.clear()
    return node


def encoded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def written_by_multus(*entries: dict[str, Any]) -> bytes:
    """Return a record as Multus 4.3 leaves it: without our member."""
    return json.dumps(
        [{"Conf": {}, "ConfList": {}, "Name": "default/x", **entry} for entry in entries]
    ).encode()


def cached(network: Any, ifname: str, **more: Any) -> bytes:
    """Return a file of libcni's cache."""
    return json.dumps(
        {
            "kind": "cniCacheV1",
            "containerId": "ctr",
            "config": encoded(network),
            "ifName": ifname,
            "networkName": network["name"],
            "netns": NETNS,
            "cniArgs": [["IgnoreUnknown", "true"], ["K8S_POD_NAME", "old"]],
            "result": {"cniVersion": "1.0.0", "interfaces": [{"name": ifname, "sandbox": NETNS}]},
            **more,
        }
    ).encode()


@pytest.mark.parametrize("content", [b"{broken", b"[]", b"null", b'[{"Bytes": "e30="}]', b"\xff"])
def test_a_broken_record_is_replaced_by_the_cache(content: bytes) -> None:
    node = attached()
    node.store.records_["ctr", "eth0"] = content

    release.delete(node.session("DEL"))

    assert node.host.talk == ALL
    assert all("prevResult" in node.host.stdin(index) for index in range(3))
    assert (node.store.records_, node.store.results_) == ({}, {})


def test_a_lost_record_is_replaced_by_the_cache_and_the_cluster_is_not_asked() -> None:
    node = attached()
    node.store.records_.clear()
    assert node.cluster is not None
    node.cluster.error = CniError(Code.TRY_AGAIN_LATER, "away")

    release.delete(node.session("DEL"))

    assert node.host.talk == ALL
    assert node.store.results_ == {}


def test_the_cache_of_another_interface_that_has_a_record_is_left_alone() -> None:
    node = attached()
    add.add(node.session(ifname="eth1"))
    del node.store.records_["ctr", "eth0"]
    node.host.calls.clear()

    release.delete(node.session("DEL"))

    assert node.host.talk == ["DEL main eth0"]
    assert ("primary", "ctr", "eth1") in node.store.results_


def test_nothing_known_means_what_would_be_attached_today() -> None:
    node = a_node()
    node.pod(networks="one,two")

    release.delete(node.session("DEL"))

    assert node.host.talk == ALL
    assert "prevResult" not in node.host.stdin(0)


@pytest.mark.parametrize("networks", ["ghost", "a/b/c", '[{"name": "one", "ips": ["x"]}]'])
def test_networks_that_cannot_be_found_out_do_not_keep_the_primary_from_its_del(
    networks: str,
) -> None:
    node = a_node()
    node.pod(networks=networks)

    release.delete(node.session("DEL"))

    assert node.host.talk == ["DEL main eth0"]


def test_without_a_pod_the_delegates_of_the_configuration_are_released() -> None:
    node = a_node()

    release.delete(node.session("DEL"))

    assert node.host.talk == ["DEL main eth0"]


def test_where_nothing_can_be_found_out_del_succeeds() -> None:
    node = a_node(delegates=None, clusterNetwork="ghost")

    release.delete(node.session("DEL"))

    assert node.host.calls == []


def test_a_record_of_multus_names_interfaces_by_its_rules() -> None:
    node = a_node()
    node.store.records_["ctr", ""] = written_by_multus(
        {"Bytes": encoded(single("main", "primary"))},
        {"Bytes": encoded(single("one", "first")), "ifnameRequest": "ext0"},
        {"Bytes": encoded(single("two", "second"))},
    )

    release.delete(node.session("DEL"))

    assert node.host.talk == ["DEL two net2", "DEL one ext0", "DEL main eth0"]
    assert node.store.records_ == {}


def test_a_record_of_multus_is_completed_with_what_its_requests_mean() -> None:
    node = a_node()
    config = single("one", "first", capabilities={"mac": True, "deviceID": True})
    node.store.records_["ctr", ""] = written_by_multus(
        {"Bytes": encoded(single("main", "primary"))},
        {"Bytes": encoded(config), "macRequest": "02:00:00:00:00:07", "deviceID": "dev0"},
    )

    release.delete(node.session("DEL"))

    expected = {"mac": "02:00:00:00:00:07", "deviceID": "dev0"}
    assert node.host.stdin(0)["runtimeConfig"] == expected
    assert node.host.args(0)["K8S_POD_NAME"] == "web"


def test_capabilities_in_the_cache_are_what_the_plugins_got() -> None:
    node = a_node()
    config = single("main", "primary", capabilities={"portMappings": True})
    ports = [{"hostPort": 1, "containerPort": 2}]
    node.store.records_["ctr", ""] = written_by_multus({"Bytes": encoded(config)})
    node.store.results_["primary", "ctr", "eth0"] = cached(
        config, "eth0", capabilityArgs={"portMappings": ports}
    )

    release.delete(node.session("DEL"))

    assert node.host.stdin(0)["runtimeConfig"] == {"portMappings": ports}


def test_a_list_that_multus_shortened_in_its_record_is_whole_in_the_cache() -> None:
    node = a_node()
    whole = chain("primary", {"type": "main", "ipam": {"type": "x", "subnet": "10.0.0.0/8"}}, "one")
    short = chain("primary", {"type": "main", "ipam": {"type": "x"}}, "one")
    node.store.records_["ctr", ""] = written_by_multus({"Bytes": encoded(short)})
    node.store.results_["primary", "ctr", "eth0"] = cached(whole, "eth0")

    release.delete(node.session("DEL"))

    assert node.host.stdin(1)["ipam"] == {"type": "x", "subnet": "10.0.0.0/8"}


def test_a_cache_of_other_plugins_does_not_replace_what_is_recorded() -> None:
    node = a_node()
    node.store.records_["ctr", ""] = written_by_multus({"Bytes": encoded(chain("primary", "main"))})
    node.store.results_["primary", "ctr", "eth0"] = cached(chain("primary", "two"), "eth0")

    release.delete(node.session("DEL"))

    assert node.host.talk == ["DEL main eth0"]


def test_the_pod_of_another_cluster_state_is_still_the_recorded_one() -> None:
    node = attached()
    assert node.cluster is not None
    del node.cluster.pods[ObjectRef("default", "web")]

    release.delete(node.session("DEL"))

    assert node.host.talk == ALL
