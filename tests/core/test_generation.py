"""Configurations and pods of the first generation, as their documentation has them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.core import add, release
from multus_py.core.ports import PluginExit
from multus_py.models import objects
from tests.core.test_add import a_node, failure
from tests.fakes import Node, single

FLANNEL = {"type": "flannel", "delegate": {"isDefaultGateway": True}}
SRIOV = {"type": "sriov", "if0": "enp12s0f0"}
PTP = {"type": "ptp"}


def an_old_node(**config: Any) -> Node:
    """Return a node with a configuration of that time; plugins of that time had no names."""
    old = {"delegates": None, "kubeconfig": "/etc/kubernetes/node.yaml", **config}
    node = a_node(**old)
    node.host.plugins |= dict.fromkeys(("flannel", "sriov", "ptp"), node.host.plugins["main"])
    assert node.cluster is not None
    for name, plugin, args in (
        ("flannel-conf", "flannel", '[{"delegate": {"isDefaultGateway": true}}]'),
        ("sriov-conf", "sriov", '[{"if0": "enp12s0f1"}, {"ipam": {"type": "host-local"}}]'),
        ("vlan-conf", "sriov", '[{"if0": "enp2s0", "vlan": 210, "if0name": "north"}]'),
    ):
        metadata = {"name": name, "namespace": "default"}
        definition = objects.first_generation_network(
            {"metadata": metadata, "plugin": plugin, "args": args}
        )
        node.cluster.old_networks[definition.ref] = definition
    return node


def talk(node: Node, **changes: Any) -> list[str]:
    add.add(node.session(**changes))
    return node.host.talk


def named(*names: str) -> str:
    return json.dumps([{"name": name} for name in names])


def test_the_first_network_named_is_the_master() -> None:
    node = an_old_node()
    node.pod(old_networks=named("flannel-conf", "sriov-conf", "vlan-conf"))

    assert talk(node) == ["ADD flannel eth0", "ADD sriov net0", "ADD sriov north"]
    assert node.host.stdin(0)["delegate"] == {"isDefaultGateway": True}
    assert node.host.stdin(1)["if0"] == "enp12s0f1"
    assert node.host.stdin(1)["ipam"] == {"type": "host-local"}
    assert node.host.stdin(2)["vlan"] == 210


def test_its_plugins_speak_the_version_of_the_configuration() -> None:
    node = an_old_node(cniVersion="0.2.0")
    node.host.plugins["flannel"] = lambda _: _answer_of_that_time()
    node.pod(old_networks=named("flannel-conf"))

    add.add(node.session())

    assert node.host.stdin(0)["cniVersion"] == "0.2.0"
    assert node.host.stdin(0)["name"] == "flannel-conf"


def test_the_annotation_replaces_the_delegates() -> None:
    node = an_old_node(delegates=[{**FLANNEL, "masterplugin": True}])
    node.pod(old_networks=named("sriov-conf"))

    assert talk(node) == ["ADD sriov eth0"]


def test_without_annotation_the_delegates_apply() -> None:
    node = an_old_node(delegates=[SRIOV, PTP, {**FLANNEL, "masterplugin": True}])
    node.pod()

    assert talk(node) == ["ADD flannel eth0", "ADD sriov net0", "ADD ptp net1"]


def test_always_use_default_adds_what_is_named_to_the_delegates() -> None:
    node = an_old_node(delegates=[{**FLANNEL, "masterplugin": True}], always_use_default=True)
    node.pod(old_networks=named("sriov-conf", "vlan-conf"))

    assert talk(node) == ["ADD flannel eth0", "ADD sriov net0", "ADD sriov north"]


def test_it_works_without_a_cluster() -> None:
    node = an_old_node(delegates=[SRIOV, {**FLANNEL, "masterplugin": True}], kubeconfig="")
    node.cluster = None

    assert talk(node, args="") == ["ADD flannel eth0", "ADD sriov net0"]


def test_delegates_of_that_time_need_no_name() -> None:
    node = an_old_node(delegates=[SRIOV, {**FLANNEL, "masterplugin": True}])
    node.pod()

    talk(node)

    names = [node.host.stdin(index)["name"] for index in range(2)]
    assert names == ["multus-net-flannel", "multus-net-sriov"]


def test_modern_annotations_keep_their_meaning() -> None:
    node = an_old_node(delegates=[SRIOV, {**FLANNEL, "masterplugin": True}])
    node.pod(networks="one,two@data0")

    assert talk(node) == [
        "ADD flannel eth0",
        "ADD sriov net0",
        "ADD one net2",
        "ADD two data0",
    ]


def test_a_modern_default_network_serves_a_pod_that_names_nothing_else() -> None:
    node = an_old_node()
    node.network("kube-system/one", single("one"))
    node.pod(default_network="one")

    assert talk(node) == ["ADD one eth0"]


def test_the_bare_annotation_means_nothing_to_a_modern_configuration() -> None:
    node = a_node()
    node.pod(old_networks=named("flannel-conf"))

    assert talk(node) == ["ADD main eth0"]


@pytest.mark.parametrize(
    ("switch", "calls"), [(True, "ADD flannel eth0"), (False, "ADD main eth0")]
)
def test_the_generation_can_be_forced(*, switch: bool, calls: str) -> None:
    node = an_old_node(
        delegates=[{**single("main", "primary"), "masterplugin": True}], legacyNetworks=switch
    )
    node.pod(old_networks=named("flannel-conf"))

    assert talk(node) == [calls]


def test_a_pod_that_names_nothing_needs_delegates() -> None:
    node = an_old_node()
    node.pod()

    error = failure(node.session())

    assert error.code == Code.INVALID_CONFIGURATION
    assert "nothing to attach" in error.message()
    assert node.host.calls == []


def test_where_pods_name_everything_del_without_pod_and_record_has_nothing_to_do() -> None:
    node = an_old_node()

    release.delete(node.session("DEL"))

    assert node.host.calls == []


def test_a_network_that_does_not_exist_is_named() -> None:
    node = an_old_node()
    node.pod(old_networks=named("ghost"))

    assert "ghost" in failure(node.session()).message()


def test_del_releases_by_the_names_of_that_time() -> None:
    node = an_old_node()
    node.pod(old_networks=named("flannel-conf", "sriov-conf", "vlan-conf"))
    add.add(node.session())
    node.host.calls.clear()

    release.delete(node.session("DEL"))

    assert node.host.talk == ["DEL sriov north", "DEL sriov net0", "DEL flannel eth0"]


def test_the_record_lets_multus_release_by_those_names() -> None:
    node = an_old_node()
    node.pod(old_networks=named("flannel-conf", "sriov-conf", "vlan-conf"))

    add.add(node.session())

    entries = json.loads(node.store.records_["ctr", "eth0"])
    assert [entry.get("ifnameRequest") for entry in entries] == [None, "net0", "north"]


@pytest.mark.parametrize(
    "config",
    [
        {"delegates": [{**SRIOV, "masterplugin": True}, {**FLANNEL, "masterplugin": True}]},
        {"delegates": [{**SRIOV, "masterplugin": "yes"}], "always_use_default": True},
        {"delegates": [SRIOV], "always_use_default": True, "kubeconfig": ""},
        {"always_use_default": True},
    ],
    ids=["two masters", "not a switch", "no cluster", "no delegates"],
)
def test_contradictions_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(CniError) as caught:
        an_old_node(**config).session()

    assert caught.value.code == Code.INVALID_CONFIGURATION


def _answer_of_that_time() -> PluginExit:
    return PluginExit(status=0, stdout=b'{"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.2/24"}}')
