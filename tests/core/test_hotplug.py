"""Hot attach as conversations: a pod is started with its networks, then gets one more."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.cni import network
from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.core import add, collect, hotplug, inventory, recall, release
from multus_py.core.ports import Event, PluginCall, PluginExit
from multus_py.models.requests import Requests
from tests.core.test_add import a_node
from tests.fakes import NETNS, Node, answering, chain, failing, single

if TYPE_CHECKING:
    from multus_py.core.session import Session

HOT = single("hot", "hot-net")
NET5 = ("ctr", "net5")


def a_pod(**annotations: str) -> Node:
    """Return a node on which a pod runs, with its primary network and network one."""
    node = a_node()
    node.host.plugins["hot"] = answering()
    node.pod(networks="one", **annotations)
    node.host.files.add(NETNS)
    add.add(node.session())
    node.host.links |= {"eth0", "net1"}
    node.host.calls.clear()
    assert node.cluster is not None
    node.cluster.events.clear()
    return node


def hot(node: Node, command: str = "ADD", **changes: Any) -> Session:
    return node.session(command, **{"ifname": "net5"} | changes)


def attach(node: Node, config: Any = HOT, requests: Requests | None = None, **changes: Any) -> None:
    session = hot(node, **changes)
    hotplug.attach(session, network.parse(config), requests or Requests())
    node.host.links.add(session.request.ifname)


def detach(node: Node, config: Any = HOT, **changes: Any) -> None:
    session = hot(node, "DEL", **changes)
    hotplug.detach(session, network.parse(config))
    node.host.links.discard(session.request.ifname)


def failure(node: Node, config: Any = HOT, **changes: Any) -> CniError:
    with pytest.raises(CniError) as caught:
        attach(node, config, **changes)
    return caught.value


def recorded(node: Node) -> list[tuple[str, str]]:
    """Return names and interfaces in all records."""
    delegates = [one for record in node.store.records() for one in record.delegates]
    return [(one.name, one.ifname) for one in delegates]


def shown(node: Node) -> list[str]:
    """Return the interfaces in the pod's network-status."""
    assert node.cluster is not None
    _, status = node.cluster.statuses[-1]
    return [entry["interface"] for entry in status]


# -- attaching


def test_one_more_network_is_attached_under_the_name_that_is_asked_for() -> None:
    node = a_pod()
    attach(node)
    assert node.host.talk == ["ADD hot net5"]


def test_it_answers_what_the_plugins_answered() -> None:
    node = a_pod()
    node.host.plugins["hot"] = answering(ips=[{"address": "10.5.0.7/24"}])
    result = hotplug.attach(hot(node), network.parse(HOT))
    assert result.document["ips"] == [{"address": "10.5.0.7/24"}]


def test_plugins_get_the_arguments_of_the_pods_own_add() -> None:
    node = a_pod()
    attach(node, args="K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_UID=uid-web")
    assert node.host.args(0) == {
        "IgnoreUnknown": "true",
        "K8S_POD_NAMESPACE": "default",
        "K8S_POD_NAME": "web",
        "K8S_POD_UID": "uid-web",
    }


def test_it_is_in_the_pods_record_before_its_plugin_runs() -> None:
    node = a_pod()
    seen = []

    def look(call: PluginCall) -> PluginExit:
        seen.append(recorded(node))
        return answering()(call)

    node.host.plugins["hot"] = look
    attach(node)

    assert seen == [[("primary", "eth0"), ("default/one", "net1"), ("hot-net", "net5")]]
    assert list(node.store.records_) == [("ctr", "eth0")]


def test_it_is_released_with_the_pod_and_its_own_configuration() -> None:
    node = a_pod()
    attach(node, single("hot", "hot-net", colour="blue"))
    node.host.calls.clear()

    release.delete(node.session("DEL"))

    assert node.host.talk == ["DEL hot net5", "DEL one net1", "DEL main eth0"]
    assert node.host.stdin(0)["colour"] == "blue"
    assert node.host.stdin(0)["prevResult"]["interfaces"][0]["name"] == "net5"
    assert (node.store.records_, node.store.results_) == ({}, {})


def test_gc_releases_it_with_the_pod() -> None:
    node = a_pod()
    attach(node)
    node.host.calls.clear()

    gc: dict[str, Any] = {"cni.dev/valid-attachments": []}
    collect.collect(node.session("GC", container_id="", ifname="", netns="", args="", **gc))

    assert node.host.talk[:3] == ["DEL hot net5", "DEL one net1", "DEL main eth0"]
    assert node.store.records_ == {}


def test_requests_of_the_caller_reach_the_plugins() -> None:
    node = a_pod()
    asked = Requests(ips=("10.5.0.7/24",), mac="02:00:00:00:00:05", cni_args={"vlan": 7})
    attach(node, single("hot", "hot-net", capabilities={"ips": True, "mac": True}), asked)

    assert node.host.stdin(0)["runtimeConfig"] == {
        "ips": ["10.5.0.7/24"],
        "mac": "02:00:00:00:00:05",
    }
    assert node.host.stdin(0)["args"] == {"cni": {"vlan": 7}}
    assert (node.host.args(0)["MAC"], node.host.args(0)["IP"]) == (
        "02:00:00:00:00:05",
        "10.5.0.7/24",
    )


def test_the_annotation_says_what_the_caller_does_not() -> None:
    node = a_pod()
    element = {"name": "two", "interface": "net5", "mac": "02:00:00:00:00:07", "ips": ["10.5.0.9"]}
    node.pod(networks=json.dumps([{"name": "one"}, element]))

    attach(node, requests=Requests(ips=("10.5.0.7",)))

    assert node.host.args(0)["MAC"] == "02:00:00:00:00:07"
    assert node.host.args(0)["IP"] == "10.5.0.7"
    assert recorded(node)[-1] == ("default/two", "net5")


def test_an_annotation_that_cannot_be_read_by_now_is_no_obstacle() -> None:
    node = a_pod()
    node.pod(networks="[{")
    attach(node)
    assert recorded(node)[-1] == ("hot-net", "net5")


def test_status_and_event_tell_of_it_and_leave_the_rest_alone() -> None:
    node = a_pod()
    node.host.plugins["hot"] = answering(ips=[{"address": "10.5.0.7/24"}])
    assert node.cluster is not None
    foreign = {"name": "somebody's", "interface": "x0", "extra": [1]}
    node.cluster.statuses[-1][1].append(foreign)

    attach(node)

    assert shown(node) == ["eth0", "net1", "x0", "net5"]
    status = node.cluster.statuses[-1][1]
    assert status[2] == foreign
    assert status[3] == {
        "name": "hot-net",
        "interface": "net5",
        "ips": ["10.5.0.7"],
        "dns": {},
    }
    assert node.cluster.events == [
        Event("Normal", "AddedInterface", "Add net5 [10.5.0.7/24] from hot-net")
    ]


def test_a_network_without_interfaces_is_not_in_the_status() -> None:
    node = a_pod()
    node.host.plugins["hot"] = answering(interfaces=[])
    assert node.cluster is not None
    before = list(node.cluster.statuses)
    attach(node)
    assert node.cluster.statuses == before


def test_a_chain_runs_in_order() -> None:
    node = a_pod()
    node.host.plugins["tune"] = answering()
    attach(node, chain("hot-net", "hot", "tune"))
    assert node.host.talk == ["ADD hot net5", "ADD tune net5"]


@pytest.mark.parametrize("kind", ["multus", "multus-shim", "multus-py"])
def test_a_network_that_leads_back_to_us_is_refused(kind: str) -> None:
    node = a_pod()
    assert failure(node, single(kind, "hot-net")).code == Code.RECURSION
    assert node.host.calls == []


@pytest.mark.parametrize("name", ["", "a name", "../x"])
def test_a_network_needs_a_name(name: str) -> None:
    node = a_pod()
    assert failure(node, single("hot", name)).code == Code.INVALID_CONFIGURATION
    assert node.host.calls == []
    assert recorded(node) == [("primary", "eth0"), ("default/one", "net1")]


def test_an_interface_that_is_there_is_not_touched() -> None:
    node = a_pod()
    node.host.links.add("net5")
    error = failure(node)
    assert error.code == Code.INTERFACE_TAKEN
    assert node.host.calls == []
    assert recorded(node) == [("primary", "eth0"), ("default/one", "net1")]


def test_a_second_attach_of_the_same_interface_leaves_the_first_alone() -> None:
    node = a_pod()
    attach(node)
    assert failure(node).code == Code.INTERFACE_TAKEN
    assert node.host.talk == ["ADD hot net5"]
    assert recorded(node)[-1] == ("hot-net", "net5")


@pytest.mark.parametrize(
    "error",
    [
        CniError(Code.INTERNAL, "the helper fails"),
        CniError(Code.TRY_AGAIN_LATER, "ended by SIGTERM"),
        RuntimeError("can't start new thread"),
    ],
)
def test_what_nobody_could_look_for_is_left_alone(error: Exception) -> None:
    node = a_pod()
    attach(node)
    node.host.look_error = error
    with pytest.raises(type(error)):
        attach(node)
    assert node.host.talk == ["ADD hot net5"]
    assert ("hot-net", *NET5) in node.store.results_
    assert recorded(node)[-1] == ("hot-net", "net5")


def test_what_there_was_no_time_to_look_for_is_left_alone() -> None:
    node = a_pod()
    attach(node)
    session = hot(node)
    node.now += 80  # of which a quarter is for undoing
    with pytest.raises(CniError, match="used up"):
        hotplug.attach(session, network.parse(HOT), Requests())
    assert node.host.talk == ["ADD hot net5"]
    assert ("hot-net", *NET5) in node.store.results_


def test_the_description_of_a_device_stays_that_of_the_interface_that_is_there() -> None:
    node = device_pod()
    assert node.cluster is not None
    node.cluster.allocated = {"vendor.com/nic": ["dev0", "dev1"]}
    place = "/var/run/k8s.cni.cncf.io/devinfo"
    dp = [f"{place}/dp/vendor.com-nic-dev{number}-device.json" for number in range(2)]
    node.store.device_infos = {path: {"type": path} for path in dp}
    attach(node)

    assert failure(node).code == Code.INTERFACE_TAKEN

    assert node.store.device_infos[f"{place}/cni/default-two-ctr_net5"] == {"type": dp[0]}
    assert node.host.talk == ["ADD hot net5"]


def test_the_nodes_own_namespace_is_refused() -> None:
    node = a_pod()
    node.store.records_.clear()
    node.store.results_.clear()
    assert failure(node, netns=node.host.own).code == Code.INVALID_NETNS


def test_an_unknown_pod_gets_nothing() -> None:
    node = a_pod()
    assert failure(node, pod="gone").code == Code.TRY_AGAIN_LATER
    assert node.host.calls == []


def test_another_pod_than_that_of_the_container_is_refused() -> None:
    node = a_pod()
    node.pod("other", uid="uid-other")
    error = failure(node, pod="other", uid="uid-other")
    assert "container ctr is of pod default/web" in str(error)


def test_a_sandbox_that_is_being_released_gets_nothing() -> None:
    node = a_pod()
    (record,) = node.store.records()
    node.store.write_record(replace(record, pending=True))
    assert failure(node).code == Code.UNKNOWN_CONTAINER


def test_two_requests_for_one_container_take_turns() -> None:
    node = a_pod()
    node.store.locked.add("ctr")
    assert failure(node).code == Code.TRY_AGAIN_LATER
    assert node.host.calls == []


def test_stand_alone_there_is_nobody_to_tell() -> None:
    node = a_node()
    node.cluster = None
    node.host.plugins["hot"] = answering()
    attach(node, args="")
    assert node.host.talk == ["ADD hot net5"]
    detach(node, args="")
    assert (node.store.records_, node.store.results_) == ({}, {})


def test_a_pod_that_is_deleted_meanwhile_needs_no_status() -> None:
    node = a_pod()
    assert node.cluster is not None
    node.cluster.status_error = NotFoundError(Code.NETWORK_NOT_FOUND, "pods not found")
    attach(node)
    assert recorded(node)[-1] == ("hot-net", "net5")


# -- devices


def device_pod(*, resource: str = "vendor.com/nic") -> Node:
    node = a_pod()
    assert node.cluster is not None
    node.network("default/two", single("hot"), resource=resource)
    node.pod(networks="one, two@net5")
    return node


def test_a_network_with_a_resource_gets_a_device_and_its_description() -> None:
    node = device_pod()
    assert node.cluster is not None
    node.cluster.allocated = {"vendor.com/nic": ["dev0"]}
    dp = "/var/run/k8s.cni.cncf.io/devinfo/dp/vendor.com-nic-dev0-device.json"
    cni = "/var/run/k8s.cni.cncf.io/devinfo/cni/default-two-ctr_net5"
    node.store.device_infos[dp] = {"type": "pci", "version": "1.1.0"}

    attach(node)

    assert node.host.stdin(0)["deviceID"] == "dev0"
    assert node.store.device_infos[cni] == {"type": "pci", "version": "1.1.0"}
    assert node.cluster.statuses[-1][1][-1]["device-info"] == {"type": "pci", "version": "1.1.0"}
    detach(node)
    assert list(node.store.device_infos) == [dp]


def test_a_device_that_another_network_of_the_pod_has_is_not_given_again() -> None:
    node = device_pod()
    assert node.cluster is not None
    node.cluster.allocated = {"vendor.com/nic": ["dev0", "dev1"]}
    attach(node)
    node.pod(networks="one, two@net5, two@net6")
    attach(node, ifname="net6")
    assert [node.host.stdin(index)["deviceID"] for index in (0, 1)] == ["dev0", "dev1"]

    node.pod(networks="one, two@net5, two@net6, two@net7")
    assert failure(node, ifname="net7").code == Code.DEVICE


def test_a_device_in_the_configuration_is_the_callers_choice() -> None:
    node = device_pod()
    assert node.cluster is not None
    attach(node, HOT | {"deviceID": "mine"})
    assert node.cluster.device_queries == 0
    assert node.store.records()[0].delegates[-1].device_id == "mine"


def test_a_definition_that_is_gone_has_no_device() -> None:
    node = device_pod()
    assert node.cluster is not None
    node.cluster.networks.clear()
    attach(node)
    assert "deviceID" not in node.host.stdin(0)


# -- detaching, checking


def test_detaching_takes_it_out_of_record_cache_and_status() -> None:
    node = a_pod()
    before = dict(node.store.records_)
    attach(node)
    detach(node)
    assert node.host.talk == ["ADD hot net5", "DEL hot net5"]
    assert recorded(node) == [("primary", "eth0"), ("default/one", "net1")]
    assert set(node.store.records_) == set(before)
    assert ("hot-net", *NET5) not in node.store.results_
    assert shown(node) == ["eth0", "net1"]


def test_detaching_uses_the_configuration_of_the_add() -> None:
    node = a_pod()
    attach(node, single("hot", "hot-net", colour="blue"))
    detach(node, single("other", "another"))
    assert node.host.talk[-1] == "DEL hot net5"
    assert node.host.stdin(1)["colour"] == "blue"


def test_the_pod_need_not_exist_for_that() -> None:
    node = a_pod()
    attach(node)
    assert node.cluster is not None
    node.cluster.pods.clear()
    statuses = list(node.cluster.statuses)
    detach(node)
    assert recorded(node) == [("primary", "eth0"), ("default/one", "net1")]
    assert node.cluster.statuses == statuses


def test_an_event_tells_of_the_end() -> None:
    node = a_pod()
    attach(node)
    detach(node)
    assert node.cluster is not None
    assert node.cluster.events[-1] == Event("Normal", "RemovedInterface", "Del net5 from hot-net")


def test_a_network_of_the_pods_start_can_be_detached_too() -> None:
    node = a_pod()
    detach(node, ifname="net1")
    assert node.host.talk == ["DEL one net1"]
    assert recorded(node) == [("primary", "eth0")]
    assert shown(node) == ["eth0"]


def test_the_default_network_is_not_detached() -> None:
    node = a_pod()
    with pytest.raises(CniError, match="default network"):
        detach(node, ifname="eth0")
    assert node.host.calls == []


def test_a_detach_that_fails_leaves_everything_for_the_next() -> None:
    node = a_pod()
    attach(node)
    node.host.plugins["hot"] = failing("DEL")
    with pytest.raises(CniError, match="it broke"):
        detach(node)
    assert recorded(node)[-1] == ("hot-net", "net5")
    assert shown(node) == ["eth0", "net1", "net5"]

    node.host.plugins["hot"] = answering()
    detach(node)
    assert recorded(node) == [("primary", "eth0"), ("default/one", "net1")]


def test_what_only_the_cache_knows_is_detached_as_it_was_attached() -> None:
    """Multus's daemon attaches so: without a record."""
    node = a_pod()
    attach(node, single("hot", "hot-net", colour="blue"))
    (record,) = node.store.records()
    node.store.write_record(replace(record, delegates=record.delegates[:-1]))
    detach(node)
    assert node.host.stdin(1)["colour"] == "blue"
    assert ("hot-net", *NET5) not in node.store.results_


def test_what_nobody_knows_is_detached_as_the_caller_says() -> None:
    node = a_pod()
    detach(node, single("hot", "hot-net", colour="red"))
    assert node.host.talk == ["DEL hot net5"]
    assert node.host.stdin(0)["colour"] == "red"


def test_a_status_that_cannot_be_written_is_an_error_that_a_second_detach_ends() -> None:
    node = a_pod()
    attach(node)
    assert node.cluster is not None
    node.cluster.status_error = CniError(Code.API_FAILURE, "no status today")
    with pytest.raises(CniError, match="no status today"):
        detach(node)
    assert recorded(node) == [("primary", "eth0"), ("default/one", "net1")]

    node.cluster.status_error = None
    detach(node)
    assert shown(node) == ["eth0", "net1"]


@pytest.mark.parametrize("code", [Code.POD_REPLACED, Code.NETWORK_NOT_FOUND])
def test_a_pod_that_is_gone_for_the_api_server_has_no_status_to_change(code: Code) -> None:
    node = a_pod()
    attach(node)
    assert node.cluster is not None
    kind = NotFoundError if code == Code.NETWORK_NOT_FOUND else CniError
    node.cluster.status_error = kind(code, "it is gone")
    detach(node)


def test_check_asks_with_the_configuration_and_result_of_the_add() -> None:
    node = a_pod()
    attach(node, chain("hot-net", "hot", {"type": "hot", "second": True}))
    hotplug.check(hot(node, "CHECK"), network.parse(single("other", "another")))
    assert node.host.talk[2:] == ["CHECK hot net5", "CHECK hot net5"]
    assert node.host.stdin(3)["second"] is True
    assert node.host.stdin(3)["prevResult"]["interfaces"][0]["name"] == "net5"


def test_check_of_the_pod_includes_it() -> None:
    node = a_pod()
    attach(node)
    node.host.plugins["hot"] = failing("CHECK", msg="not there")
    with pytest.raises(CniError, match="not there"):
        release.check(node.session("CHECK"))


def test_status_asks_the_plugins_of_the_network() -> None:
    node = a_pod()
    current = {"cniVersion": "1.1.0"}
    node.host.plugins["hot"] = failing("STATUS", code=50, msg="not now")
    with pytest.raises(CniError, match="not now") as caught:
        hotplug.status(hot(node, "STATUS"), network.parse(HOT | current))
    assert caught.value.code == Code.PLUGIN_NOT_AVAILABLE


# -- failures


def test_what_could_not_be_undone_stays_recorded_and_makes_way_for_the_next() -> None:
    node = a_pod()
    node.host.plugins["hot"] = failing("ADD", "DEL")
    assert "not undone" in str(failure(node))
    assert recorded(node)[-1] == ("hot-net", "net5")

    node.host.plugins["hot"] = answering()
    node.host.calls.clear()
    attach(node, single("three", "third"))
    assert node.host.talk == ["DEL hot net5", "ADD three net5"]
    assert recorded(node)[1:] == [("default/one", "net1"), ("third", "net5")]


def test_what_refused_to_be_attached_and_released_does_not_hold_up_its_pod_for_ever() -> None:
    node = a_pod()
    node.host.plugins["hot"] = failing("ADD", "DEL", msg="no parent")
    failure(node)
    assert recorded(node)[-1] == ("hot-net", "net5")

    for _ in range(4):
        with pytest.raises(CniError, match="no parent"):
            release.delete(node.session("DEL"))
    release.delete(node.session("DEL"))

    assert (node.store.records_, node.store.results_) == ({}, {})


def test_inventory_and_recall_know_it_as_any_other_network() -> None:
    node = a_pod()
    attach(node)
    (entry,) = inventory.entries(node.store)
    assert [one.ifname for one in entry.attached] == ["eth0", "net1", "net5"]
    attached = recall.recalled(node.session("DEL")).attached
    assert [one.ifname for one, _ in attached] == ["eth0", "net1", "net5"]
