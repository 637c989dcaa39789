"""DEL and CHECK as conversations: what a record says is what plugins are told."""

from __future__ import annotations

import json

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.core import add, mishaps, release
from multus_py.core.ports import PluginCall, PluginExit
from multus_py.models.objects import ObjectRef
from tests.core.test_add import a_node
from tests.fakes import NETNS, Node, chain, failing, single


def attached(networks: str = "one,two", **config: object) -> Node:
    """Return a node on which a pod was attached, with the books of that ADD closed."""
    node = a_node(**config)
    node.pod(networks=networks)
    add.add(node.session())
    node.host.calls.clear()
    return node


def test_everything_is_released_in_reverse_order_and_forgotten() -> None:
    node = attached()

    release.delete(node.session("DEL"))

    assert node.host.talk == ["DEL two net2", "DEL one net1", "DEL main eth0"]
    assert (node.store.records_, node.store.results_) == ({}, {})


def test_plugins_get_the_configuration_arguments_and_result_of_their_add() -> None:
    ports = [{"hostPort": 80, "containerPort": 8080}]
    node = a_node()
    node.network("default/one", single("one", capabilities={"portMappings": True}, mtu=9000))
    asked = {"name": "one", "portMappings": ports, "mac": "02:00:00:00:00:05"}
    node.pod(networks=json.dumps([asked]))
    add.add(node.session())
    node.host.calls.clear()
    node.network("default/one", single("three", "changed"))

    release.delete(node.session("DEL", runtimeConfig={"portMappings": []}))

    assert node.host.stdin(0) == {
        "cniVersion": "1.0.0",
        "name": "one",
        "type": "one",
        "mtu": 9000,
        "capabilities": {"portMappings": True},
        "runtimeConfig": {"portMappings": ports},
        "prevResult": {
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "net1", "sandbox": NETNS}],
        },
    }
    assert node.host.args(0)["K8S_POD_UID"] == "uid-web"
    assert "MAC" not in node.host.args(0)  # a request, and DEL asks for nothing


def test_the_cluster_is_not_asked() -> None:
    node = attached()
    assert node.cluster is not None
    node.cluster.error = CniError(Code.TRY_AGAIN_LATER, "the API server is away")

    release.delete(node.session("DEL"))

    assert len(node.host.calls) == 3


def test_a_network_before_cni_040_gets_no_previous_result() -> None:
    node = a_node(delegates=[{**single("main", "primary"), "cniVersion": "0.3.1"}])
    node.pod()
    add.add(node.session())
    node.host.calls.clear()

    release.delete(node.session("DEL"))

    assert "prevResult" not in node.host.stdin(0)


def test_the_cached_result_is_converted_to_the_networks_version() -> None:
    node = a_node(delegates=[{**single("main", "primary"), "cniVersion": "0.4.0"}])
    node.pod()
    add.add(node.session())
    node.host.calls.clear()

    release.delete(node.session("DEL"))

    assert node.host.stdin(0)["prevResult"]["cniVersion"] == "0.4.0"


def test_a_plugin_that_fails_keeps_the_record_and_nobody_else() -> None:
    node = attached()
    node.host.plugins["two"] = failing("DEL", msg="device busy")

    with pytest.raises(CniError, match="device busy"):
        release.delete(node.session("DEL"))

    assert node.host.talk == ["DEL two net2", "DEL one net1", "DEL main eth0"]
    assert list(node.store.records_) == [("ctr", "eth0")]
    assert list(node.store.results_) == [("two", "ctr", "net2")]


def test_the_next_del_tries_everything_again() -> None:
    node = attached()
    working = node.host.plugins["two"]
    node.host.plugins["two"] = failing("DEL")
    with pytest.raises(CniError):
        release.delete(node.session("DEL"))
    node.host.calls.clear()
    node.host.plugins["two"] = working

    release.delete(node.session("DEL"))

    assert node.host.talk == ["DEL two net2", "DEL one net1", "DEL main eth0"]
    assert "prevResult" in node.host.stdin(0)
    assert (node.store.records_, node.store.results_) == ({}, {})


def test_all_failures_are_reported_together() -> None:
    node = attached()
    node.host.plugins["one"] = failing("DEL", code=100, msg="first trouble")
    node.host.plugins["two"] = failing("DEL", code=7, msg="second trouble")

    with pytest.raises(CniError) as caught:
        release.delete(node.session("DEL"))

    message = caught.value.message()
    assert "first trouble" in message
    assert "second trouble" in message
    assert len(message) <= 300


def test_a_failing_plugin_of_a_chain_does_not_keep_the_others_of_the_chain_from_theirs() -> None:
    node = a_node()
    node.network("default/pair", chain("pair", "one", "two"))
    node.pod(networks="pair")
    add.add(node.session())
    node.host.calls.clear()
    node.host.plugins["two"] = failing("DEL")

    with pytest.raises(CniError):
        release.delete(node.session("DEL"))

    assert node.host.talk == ["DEL two net1", "DEL one net1", "DEL main eth0"]


def test_a_plugin_that_is_not_installed_keeps_no_pod_that_it_was_never_run_for() -> None:
    node = a_node()
    node.network("default/pair", chain("pair", "one", "missing"))
    node.pod(networks="pair")
    with pytest.raises(CniError, match="missing"):
        add.add(node.session())
    node.host.calls.clear()

    release.delete(node.session("DEL"))

    assert node.host.talk == ["DEL missing net1", "DEL one net1", "DEL main eth0"]
    assert node.store.records_ == {}


def refusing(*commands: str) -> Node:
    """Return a node whose network one was never attached, as its plugin refuses these commands."""
    node = a_node()
    node.host.plugins["one"] = failing(*commands, msg="Link not found")
    node.pod(networks="one")
    with pytest.raises(CniError):
        add.add(node.session())
    node.host.calls.clear()
    return node


def test_a_network_that_was_never_attached_does_not_hold_up_its_pod_for_ever() -> None:
    node = refusing("ADD", "DEL")

    for _ in range(4):
        with pytest.raises(CniError, match="Link not found"):
            release.delete(node.session("DEL"))
    release.delete(node.session("DEL"))

    assert node.host.talk == ["DEL one net1", "DEL main eth0"] * 5
    assert node.store.records_ == {}


def test_how_often_it_is_tried_can_be_configured() -> None:
    node = refusing("ADD", "DEL")

    release.delete(node.session("DEL", releaseAttempts=1))

    assert node.store.records_ == {}


def test_a_network_that_was_attached_is_never_given_up() -> None:
    node = attached("one")
    node.host.plugins["one"] = failing("DEL")

    for _ in range(10):
        with pytest.raises(CniError):
            release.delete(node.session("DEL"))

    assert list(node.store.records_) == [("ctr", "eth0")]


def test_tries_are_counted_for_what_has_no_record_too() -> None:
    node = a_node()
    node.host.plugins["main"] = failing("DEL")
    node.pod()

    for _ in range(4):
        with pytest.raises(CniError):
            release.delete(node.session("DEL"))
    release.delete(node.session("DEL"))

    assert len(node.host.calls) == 5


def test_a_plugin_that_was_uninstalled_after_it_was_run_keeps_the_record() -> None:
    node = attached()
    del node.host.plugins["one"]

    with pytest.raises(CniError, match="failed to find plugin one") as caught:
        release.delete(node.session("DEL"))

    assert caught.value.code == Code.DELEGATE_MISSING
    assert list(node.store.records_) == [("ctr", "eth0")]


def test_a_namespace_that_is_gone_is_passed_on_as_nothing() -> None:
    node = attached()

    release.delete(node.session("DEL", netns=""))

    assert node.host.calls[0].environment["CNI_NETNS"] == ""


def test_the_nodes_own_namespace_is_refused() -> None:
    node = attached()

    with pytest.raises(CniError) as caught:
        release.delete(node.session("DEL", netns=node.host.own))

    assert caught.value.code == Code.INVALID_NETNS
    assert node.host.calls == []


def test_device_information_goes_with_its_network() -> None:
    node = a_node()
    assert node.cluster is not None
    node.cluster.allocated = {"vendor.com/nic": ["dev0"]}
    path = "/var/run/k8s.cni.cncf.io/devinfo/cni/default-one-ctr_net1"
    node.store.device_infos[path] = {"type": "pci"}
    node.network("default/one", single("one"), resource="vendor.com/nic")
    node.pod(networks="one")
    add.add(node.session())

    release.delete(node.session("DEL"))

    assert node.store.device_infos == {}


def test_a_second_interface_of_the_container_has_a_record_of_its_own() -> None:
    node = attached("one")
    add.add(node.session(ifname="eth1"))
    node.host.calls.clear()

    release.delete(node.session("DEL", ifname="eth1"))

    assert node.host.talk == ["DEL one net1", "DEL main eth1"]
    assert list(node.store.records_) == [("ctr", "eth0")]


def test_after_the_time_is_used_up_every_network_still_gets_its_del() -> None:
    node = attached()

    def slow(call: PluginCall) -> PluginExit:
        node.now += 1000
        return PluginExit(status=0)

    node.host.plugins["two"] = slow
    release.delete(node.session("DEL"))

    assert node.host.talk == ["DEL two net2", "DEL one net1", "DEL main eth0"]
    assert node.host.calls[-1].seconds == 1.0


def test_a_plugin_that_hangs_leaves_the_others_their_time() -> None:
    node = attached()

    def hang(call: PluginCall) -> PluginExit:
        node.now += call.seconds
        raise mishaps.late(call)

    node.host.plugins["two"] = hang
    with pytest.raises(CniError, match="no answer within 33 s"):
        release.delete(node.session("DEL"))

    assert [round(call.seconds) for call in node.host.calls] == [33, 33, 67]


def test_so_does_one_that_hangs_while_an_add_is_undone() -> None:
    node = a_node()
    node.pod(networks="one,two")

    def hang(call: PluginCall) -> PluginExit:
        node.now += call.seconds
        raise mishaps.late(call)

    node.host.plugins["two"] = hang
    with pytest.raises(CniError, match="no answer within 75 s"):
        add.add(node.session())

    assert [round(call.seconds) for call in node.host.calls[-3:]] == [8, 8, 17]


def test_a_failure_is_answered_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    node = attached()
    node.host.plugins["two"] = failing("DEL", msg="device busy")

    with pytest.raises(CniError, match="device busy"):
        release.delete(node.session("DEL"))

    assert "device busy" not in caplog.text


def test_several_have_no_room_in_the_answer_and_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    node = attached()
    node.host.plugins |= {"one": failing("DEL", msg="x" * 200), "two": failing("DEL", msg="no")}

    with pytest.raises(CniError) as caught:
        release.delete(node.session("DEL"))

    assert "x" * 90 in caplog.text
    assert "x" * 90 not in caught.value.message()


def test_the_same_goes_for_what_cannot_be_undone(caplog: pytest.LogCaptureFixture) -> None:
    node = a_node()
    node.host.plugins |= {kind: failing("DEL", msg=f"{kind} away") for kind in ("main", "one")}
    node.host.plugins["two"] = failing("ADD")
    node.pod(networks="one,two")

    with pytest.raises(CniError, match="not undone"):
        add.add(node.session())

    assert "main away" in caplog.text
    assert "one away" in caplog.text


# -- CHECK


def test_check_asks_every_network_with_its_result() -> None:
    node = attached()

    release.check(node.session("CHECK"))

    assert node.host.talk == ["CHECK main eth0", "CHECK one net1", "CHECK two net2"]
    for index, ifname in enumerate(("eth0", "net1", "net2")):
        links = node.host.stdin(index)["prevResult"]["interfaces"]
        assert links == [{"name": ifname, "sandbox": NETNS}]


def test_check_passes_what_was_asked_for() -> None:
    node = attached('[{"name": "one", "ips": ["10.0.0.9/24"]}]')

    release.check(node.session("CHECK"))

    assert node.host.args(1)["IP"] == "10.0.0.9/24"


def test_a_failing_check_names_the_network() -> None:
    node = attached()
    node.host.plugins["one"] = failing("CHECK", msg="vlan vanished")

    with pytest.raises(CniError, match=r"default/one.*vlan vanished"):
        release.check(node.session("CHECK"))


def test_a_network_can_switch_check_off() -> None:
    node = a_node(delegates=[chain("primary", "main", disableCheck=True)])
    node.pod()
    add.add(node.session())
    node.host.calls.clear()

    release.check(node.session("CHECK"))

    assert node.host.calls == []


def test_a_network_before_cni_040_cannot_be_checked() -> None:
    node = a_node(delegates=[{**single("main", "primary"), "cniVersion": "0.3.1"}])
    node.pod()
    add.add(node.session())

    with pytest.raises(CniError, match=r"0\.3\.1") as caught:
        release.check(node.session("CHECK"))

    assert caught.value.code == Code.INCOMPATIBLE_VERSION


def test_a_container_that_was_never_added_is_checked_without_results() -> None:
    node = a_node()
    node.pod()

    release.check(node.session("CHECK"))

    assert node.host.talk == ["CHECK main eth0"]
    assert "prevResult" not in node.host.stdin(0)


def test_the_pod_in_another_cluster_state_plays_no_part() -> None:
    node = attached("one")
    assert node.cluster is not None
    del node.cluster.pods[ObjectRef("default", "web")]

    release.check(node.session("CHECK"))

    assert node.host.talk == ["CHECK main eth0", "CHECK one net1"]
