"""One device for each attachment that needs one."""

from __future__ import annotations

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.core import add
from tests.core.test_add import a_node, failure
from tests.fakes import Node, chain, single


def a_device_node(*devices: str) -> Node:
    node = a_node()
    assert node.cluster is not None
    node.cluster.allocated = {"vendor.com/nic": list(devices)} if devices else {}
    for kind in ("one", "two"):
        node.network(f"default/{kind}", single(kind), resource="vendor.com/nic")
    return node


def test_each_network_gets_the_next_device() -> None:
    node = a_device_node("dev0", "dev1", "dev2")
    node.pod(networks="one,two,one")

    add.add(node.session())

    assert [node.host.stdin(index)["deviceID"] for index in (1, 2, 3)] == ["dev0", "dev1", "dev2"]
    assert node.host.stdin(1)["pciBusID"] == "dev0"
    assert node.cluster is not None
    assert node.cluster.device_queries == 1


def test_the_default_network_and_default_networks_share_the_devices() -> None:
    node = a_device_node("dev0", "dev1", "dev2", "dev3")
    node.network("kube-system/cluster", single("main"), resource="vendor.com/nic")
    node.network("kube-system/side", single("three"), resource="vendor.com/nic")
    node.pod(default_network="default/two", networks="one")

    add.add(node.session(clusterNetwork="cluster", defaultNetworks=["side"]))

    assert node.host.talk == ["ADD two eth0", "ADD three net1", "ADD one net2"]
    devices = [node.host.stdin(index)["deviceID"] for index in range(3)]
    assert len(set(devices)) == 3


def test_every_plugin_of_a_chain_gets_the_device() -> None:
    node = a_device_node("dev0")
    node.network("default/pair", chain("pair", "one", "two"), resource="vendor.com/nic")
    node.pod(networks="pair")

    add.add(node.session())

    assert [node.host.stdin(index)["deviceID"] for index in (1, 2)] == ["dev0", "dev0"]


def test_a_pod_without_any_device_of_the_resource_is_left_to_the_plugin() -> None:
    node = a_device_node()
    node.pod(networks="one")

    add.add(node.session())

    assert "deviceID" not in node.host.stdin(1)


def test_more_networks_than_devices_are_an_error_before_anything_runs() -> None:
    node = a_device_node("dev0")
    node.pod(networks="one,two")

    error = failure(node.session())

    assert error.code == Code.DEVICE
    assert "vendor.com/nic" in error.message()
    assert "default/two" in error.message()
    assert node.host.calls == []


def test_a_pod_that_needs_no_device_does_not_ask_the_kubelet() -> None:
    node = a_device_node("dev0")
    node.network("default/plain", single("three"))
    node.pod(networks="plain")

    add.add(node.session())

    assert node.cluster is not None
    assert node.cluster.device_queries == 0


def test_a_device_of_the_element_itself_is_a_capability_only() -> None:
    node = a_node()
    node.network("default/one", single("one", capabilities={"deviceID": True}))
    node.pod(networks='[{"name": "one", "deviceID": "dev7"}]')

    add.add(node.session())

    assert "deviceID" not in node.host.stdin(1)
    assert node.host.stdin(1)["runtimeConfig"] == {"deviceID": "dev7"}


def test_a_kubelet_that_does_not_answer_fails_the_pod_that_needs_it() -> None:
    node = a_device_node("dev0")
    node.pod(networks="one")
    assert node.cluster is not None

    def unreachable(pod: object) -> dict[str, list[str]]:
        raise CniError(Code.DEVICE, "the kubelet does not answer")

    node.cluster.devices = unreachable  # type: ignore[method-assign]  # one failure
    error = failure(node.session())

    assert error.code == Code.DEVICE
    with pytest.raises(CniError, match="default/one"):
        add.add(node.session())
