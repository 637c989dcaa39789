"""ADD as conversations: given this pod and these definitions, exactly these plugins run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.core import add
from multus_py.core.ports import PluginCall, PluginExit
from multus_py.models.objects import ObjectRef
from tests.fakes import NETNS, FakeHost, Node, answering, chain, failing, single

if TYPE_CHECKING:
    from multus_py.core.session import Session


def a_node(**config: object) -> Node:
    """Return a node with a primary network and three more that pods may ask for."""
    plugins = {kind: answering() for kind in ("main", "one", "two", "three")}
    node = Node(host=FakeHost(plugins=plugins))
    node.config = {"delegates": [single("main", "primary")], **config}
    for kind in ("one", "two", "three"):
        node.network(f"default/{kind}", single(kind))
    return node


def failure(session: Session) -> CniError:
    with pytest.raises(CniError) as caught:
        add.add(session)
    return caught.value


def test_a_pod_that_asks_for_nothing_gets_the_primary_network() -> None:
    node = a_node()
    node.pod()

    result = add.add(node.session())

    assert node.host.talk == ["ADD main eth0"]
    assert result.document["interfaces"] == [{"name": "eth0", "sandbox": NETNS}]


def test_networks_run_in_the_order_of_the_annotation_and_count_their_interfaces() -> None:
    node = a_node()
    node.pod(networks="one,two@store0,three")

    add.add(node.session())

    assert node.host.talk == ["ADD main eth0", "ADD one net1", "ADD two store0", "ADD three net3"]


def test_the_result_is_the_masters_whatever_the_others_answer() -> None:
    node = a_node()
    node.host.plugins["one"] = answering(ips=[{"address": "10.9.9.9/24"}])
    node.pod(networks="one")

    assert "ips" not in add.add(node.session()).document


def test_plugins_get_the_whole_environment_of_their_attachment() -> None:
    node = a_node(binDir="/opt/extra")
    node.pod(networks="one")

    add.add(node.session())

    call = node.host.calls[1]
    assert dict(call.environment) | {"CNI_ARGS": ""} == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "ctr",
        "CNI_NETNS": NETNS,
        "CNI_IFNAME": "net1",
        "CNI_ARGS": "",
        "CNI_PATH": "/opt/extra:/opt/cni/bin:/usr/lib/cni",
    }
    assert call.path == ("/opt/extra", "/opt/cni/bin", "/usr/lib/cni")
    assert node.host.args(1) == {
        "IgnoreUnknown": "true",
        "K8S_POD_NAMESPACE": "default",
        "K8S_POD_NAME": "web",
        "K8S_POD_UID": "uid-web",
    }


def test_the_record_is_on_disk_before_the_first_plugin_runs() -> None:
    node = a_node()
    node.pod(networks="one")
    seen: list[bytes] = []

    def look(call: PluginCall) -> PluginExit:
        seen.append(node.store.records_["ctr", "eth0"])
        return answering()(call)

    node.host.plugins["main"] = look
    add.add(node.session())

    entries = json.loads(seen[0])
    assert [entry["Name"] for entry in entries] == ["primary", "default/one"]
    assert [entry["multusPy"]["ifname"] for entry in entries] == ["eth0", "net1"]


def test_requests_of_an_element_reach_its_network_only() -> None:
    node = a_node()
    node.network("default/one", single("one", capabilities={"ips": True, "mac": True}))
    asked = {"name": "one", "ips": ["10.1.1.5/24"], "mac": "02:00:00:00:00:05"}
    node.pod(networks=json.dumps([asked, {"name": "two"}]))

    add.add(node.session())

    assert node.host.stdin(1)["runtimeConfig"] == {
        "ips": ["10.1.1.5/24"],
        "mac": "02:00:00:00:00:05",
    }
    assert node.host.args(1)["MAC"] == "02:00:00:00:00:05"
    assert node.host.args(1)["IP"] == "10.1.1.5/24"
    assert "runtimeConfig" not in node.host.stdin(2)
    assert "MAC" not in node.host.args(2)


def test_what_the_runtime_offers_reaches_every_network_that_can_use_it() -> None:
    ports = [{"hostPort": 80, "containerPort": 8080, "protocol": "tcp"}]
    node = a_node(
        delegates=[single("main", "primary", capabilities={"portMappings": True, "aliases": True})],
        runtimeConfig={"portMappings": ports, "aliases": ["db"]},
    )
    node.network("default/one", single("one", capabilities={"portMappings": True}))
    node.pod(networks="one")

    add.add(node.session())

    assert node.host.stdin(0)["runtimeConfig"] == {"portMappings": ports, "aliases": ["db"]}
    assert node.host.stdin(1)["runtimeConfig"] == {"portMappings": ports}


def test_a_chain_passes_each_result_to_the_next_plugin() -> None:
    node = a_node()
    node.network("default/one", chain("pair", "one", {"type": "two", "mode": 7}))
    node.pod(networks="one")

    add.add(node.session())

    assert node.host.talk[1:] == ["ADD one net1", "ADD two net1"]
    assert "prevResult" not in node.host.stdin(1)
    assert node.host.stdin(2)["mode"] == 7
    assert node.host.stdin(2)["prevResult"]["interfaces"] == [{"name": "net1", "sandbox": NETNS}]


def test_results_are_cached_as_libcni_does() -> None:
    node = a_node()
    node.pod(networks="one")

    add.add(node.session())

    assert set(node.store.results_) == {("primary", "ctr", "eth0"), ("one", "ctr", "net1")}
    cached = json.loads(node.store.results_["one", "ctr", "net1"])
    assert cached["kind"] == "cniCacheV1"
    assert cached["netns"] == NETNS
    assert cached["result"]["interfaces"] == [{"name": "net1", "sandbox": NETNS}]


def test_status_and_events_tell_what_was_attached() -> None:
    node = a_node()
    node.host.plugins["one"] = answering(ips=[{"address": "10.1.1.5/24", "interface": 0}])
    node.pod(networks="one")

    add.add(node.session())

    assert node.cluster is not None
    assert node.cluster.statuses == [
        (
            ObjectRef("default", "web"),
            [
                {"name": "primary", "interface": "eth0", "default": True, "dns": {}},
                {"name": "default/one", "interface": "net1", "ips": ["10.1.1.5"], "dns": {}},
            ],
        )
    ]
    assert [(event.reason, event.message) for event in node.cluster.events] == [
        ("AddedInterface", "Add eth0 [] from primary"),
        ("AddedInterface", "Add net1 [10.1.1.5/24] from default/one"),
    ]


def test_a_network_without_interface_and_address_has_no_event_and_no_status() -> None:
    node = a_node()
    node.host.plugins["main"] = lambda _: PluginExit(status=0, stdout=b"{}")
    node.pod()

    add.add(node.session())

    assert node.cluster is not None
    assert (node.cluster.events, node.cluster.statuses) == ([], [])


def test_stand_alone_there_is_neither_pod_nor_status() -> None:
    node = a_node()
    node.cluster = None

    add.add(node.session(args=""))

    assert node.host.talk == ["ADD main eth0"]
    assert node.host.args(0) == {"IgnoreUnknown": "true"}


# -- what goes wrong before anything runs


def test_a_pod_that_the_cluster_does_not_know_is_tried_again_later() -> None:
    node = a_node()

    error = failure(node.session(pod="ghost"))

    assert error.code == Code.TRY_AGAIN_LATER
    assert "ghost" in error.message()
    assert (node.host.calls, node.store.records_) == ([], {})


def test_a_pod_of_another_uid_is_not_attached() -> None:
    node = a_node()
    node.pod(uid="uid-new")

    error = failure(node.session(uid="uid-old"))

    assert error.code == Code.POD_REPLACED
    assert "uid-old" in error.message()
    assert "uid-new" in error.message()
    assert node.host.calls == []


def test_the_pod_is_asked_for_by_the_uid_that_the_runtime_says() -> None:
    node = a_node()
    node.pod(uid="uid-web")

    add.add(node.session(uid="uid-web"))
    add.add(node.session(container_id="other", args="K8S_POD_NAMESPACE=default;K8S_POD_NAME=web"))

    assert node.cluster is not None
    assert node.cluster.uids == ["uid-web", ""]


def test_a_static_pod_may_have_another_uid() -> None:
    node = a_node()
    node.pod(uid="uid-mirror", source="file")

    add.add(node.session(uid="uid-file"))

    assert node.host.talk == ["ADD main eth0"]


@pytest.mark.parametrize("args", ["", "IgnoreUnknown=1;K8S_POD_NAME=web", "K8S_POD_NAMESPACE=a"])
def test_with_a_cluster_the_pod_has_to_be_named(args: str) -> None:
    node = a_node()

    assert failure(node.session(args=args)).code == Code.INVALID_ENVIRONMENT


def test_a_pod_name_that_is_no_name_never_reaches_the_cluster() -> None:
    node = a_node()

    error = failure(node.session(pod="../../secrets"))

    assert error.code == Code.INVALID_ENVIRONMENT


def test_the_nodes_own_namespace_is_refused() -> None:
    node = a_node()
    node.pod()

    error = failure(node.session(netns=node.host.own))

    assert error.code == Code.INVALID_NETNS
    assert node.host.calls == []


def test_a_second_network_that_does_not_exist_costs_nothing_but_an_error() -> None:
    node = a_node()
    node.pod(networks="one,ghost")

    error = failure(node.session())

    assert error.code == Code.NETWORK_NOT_FOUND
    assert "ghost" in error.message()
    assert (node.host.calls, node.store.records_) == ([], {})
    assert node.cluster is not None
    assert [(event.type, event.reason) for event in node.cluster.events] == [
        ("Warning", "NoNetworkFound")
    ]


def test_a_disk_that_cannot_take_the_record_keeps_plugins_from_running() -> None:
    node = a_node()
    node.store.full = True
    node.pod()

    assert failure(node.session()).code == Code.IO_FAILURE
    assert node.host.calls == []


def test_a_second_request_for_the_container_is_kept_out() -> None:
    node = a_node()
    node.pod()
    node.store.locked.add("ctr")

    assert failure(node.session()).code == Code.TRY_AGAIN_LATER
    assert node.host.calls == []


# -- what goes wrong afterwards is undone


def test_a_failing_network_is_undone_with_all_before_it_last_first() -> None:
    node = a_node()
    node.host.plugins["two"] = failing("ADD", code=7, msg="no address left")
    node.pod(networks="one,two,three")

    error = failure(node.session())

    assert node.host.talk == [
        "ADD main eth0",
        "ADD one net1",
        "ADD two net2",
        "DEL two net2",
        "DEL one net1",
        "DEL main eth0",
    ]
    assert error.code == 7
    for words in ("default/two", "net2", "no address left"):
        assert words in error.message()
    assert node.store.results_ == {}


def test_undoing_passes_the_result_of_what_had_succeeded() -> None:
    node = a_node()
    node.host.plugins["two"] = failing("ADD")
    node.pod(networks="one,two")

    failure(node.session())

    by_call = dict(zip(node.host.talk, range(9), strict=False))
    assert "prevResult" not in node.host.stdin(by_call["DEL two net2"])
    undone = node.host.stdin(by_call["DEL one net1"])
    assert undone["prevResult"]["interfaces"] == [{"name": "net1", "sandbox": NETNS}]


def test_undoing_goes_on_over_errors_and_reports_them_after_the_first_cause() -> None:
    node = a_node()
    node.host.plugins["one"] = failing("DEL", msg="one is stuck")
    node.host.plugins["two"] = failing("ADD", "DEL", msg="two is broken")
    node.pod(networks="one,two")

    error = failure(node.session())

    assert node.host.talk[-3:] == ["DEL two net2", "DEL one net1", "DEL main eth0"]
    assert error.cause.startswith("two is broken (not undone: 2 failures: ")
    assert "default/two" in error.cause
    assert "default/one" in error.cause
    assert ("one", "ctr", "net1") in node.store.results_


def test_a_name_that_is_taken_is_refused_and_its_link_left_alone() -> None:
    node = a_node()
    node.host.links.add("net1")
    node.pod(networks="one")

    error = failure(node.session())

    assert error.code == Code.INTERFACE_TAKEN
    assert error.where[-2] == "interface net1"
    assert node.host.talk == ["ADD main eth0", "DEL main eth0"]


@pytest.mark.parametrize("name", ["", "a/b", "-x"])
def test_a_network_whose_name_cannot_identify_it_costs_nothing_but_an_error(name: str) -> None:
    node = a_node(delegates=[single("main", "primary"), single("one", name)])
    node.pod()

    assert failure(node.session()).code == Code.INVALID_CONFIGURATION
    assert (node.host.talk, node.store.records_) == ([], {})


@pytest.mark.parametrize("name", ["a/b", "../x", "much-too-long-for-linux", "a b", "\x1b[31m"])
def test_an_impossible_interface_name_costs_nothing_but_an_error(name: str) -> None:
    node = a_node()
    node.pod(networks=json.dumps([{"name": "one", "interface": name}]))

    assert failure(node.session()).code == Code.ANNOTATION
    assert (node.host.talk, node.store.records_) == ([], {})


def test_so_does_one_in_the_configuration_of_a_network() -> None:
    node = a_node(
        delegates=[single("main", "primary"), single("one", "old", if0name="a/b")],
        legacyNetworks=True,
    )
    node.pod()

    error = failure(node.session())

    assert error.code == Code.INVALID_CONFIGURATION
    assert "a/b" in error.message()
    assert (node.host.talk, node.store.records_) == ([], {})


def test_a_name_that_is_too_long_for_the_cache_costs_nothing_but_an_error() -> None:
    node = a_node()
    node.network("default/long", single("one", "n" * 190))
    node.pod(networks="long")

    error = failure(node.session(container_id="c" * 64))

    assert error.code == Code.INVALID_CONFIGURATION
    assert "has 260 bytes (at most 250)" in error.message()
    assert (node.host.talk, node.store.records_) == ([], {})


@pytest.mark.parametrize(
    "answer",
    [b"", b"no json", b"[]", b'{"cniVersion": "9.9.9"}', b'{"interfaces": [null]}'],
    ids=["nothing", "garbage", "a list", "another version", "null inside"],
)
def test_an_answer_that_is_no_result_is_undone_like_a_failure(answer: bytes) -> None:
    node = a_node()
    node.host.plugins["one"] = lambda _: PluginExit(status=0, stdout=answer)
    node.pod(networks="one")

    error = failure(node.session())

    assert node.host.talk[-2:] == ["DEL one net1", "DEL main eth0"]
    assert "plugin one" in error.message()


def test_a_status_that_cannot_be_written_undoes_everything() -> None:
    node = a_node()
    assert node.cluster is not None
    node.cluster.status_error = CniError(Code.API_REFUSED, "status is off limits")
    node.pod(networks="one")

    error = failure(node.session())

    assert "off limits" in error.message()
    assert node.host.talk[-2:] == ["DEL one net1", "DEL main eth0"]


def test_a_pod_that_is_gone_when_its_status_is_written_is_left_to_its_del() -> None:
    node = a_node()
    assert node.cluster is not None
    node.cluster.status_error = NotFoundError(Code.NETWORK_NOT_FOUND, "gone")
    node.pod(networks="one")

    add.add(node.session())

    assert node.host.talk == ["ADD main eth0", "ADD one net1"]


def test_a_result_that_cannot_be_cached_undoes_everything() -> None:
    node = a_node()
    node.pod(networks="one")

    def fill(call: PluginCall) -> PluginExit:
        node.store.full = call.environment["CNI_COMMAND"] == "ADD"
        return answering()(call)

    node.host.plugins["one"] = fill
    error = failure(node.session())

    assert error.code == Code.IO_FAILURE
    assert node.host.talk[-2:] == ["DEL one net1", "DEL main eth0"]


def test_an_add_whose_results_a_power_cut_could_take_has_failed_and_is_undone() -> None:
    node = a_node()
    node.pod(networks="one")
    node.store.failing = True

    error = failure(node.session())

    assert error.code == Code.IO_FAILURE
    assert node.host.talk[-2:] == ["DEL one net1", "DEL main eth0"]


def test_the_result_of_what_cannot_be_undone_is_cached_if_it_was_not_yet() -> None:
    node = a_node()
    node.pod(networks="one")

    def fill(call: PluginCall) -> PluginExit:
        adds = call.environment["CNI_COMMAND"] == "ADD"
        node.store.full = adds
        return answering()(call) if adds else failing("DEL", msg="device busy")(call)

    node.host.plugins["one"] = fill
    error = failure(node.session())

    assert error.code == Code.IO_FAILURE
    assert "device busy" in error.message()
    assert [key for key, *_ in node.store.results_] == ["one"]
    (record,) = node.store.records()
    assert [delegate.begun for delegate in record.delegates] == [0, 1]


def test_a_bug_or_a_signal_undoes_everything_as_well() -> None:
    node = a_node()
    node.pod(networks="one")

    def interrupted(call: PluginCall) -> PluginExit:
        if call.environment["CNI_COMMAND"] == "ADD":
            raise KeyboardInterrupt
        return PluginExit(status=0)

    node.host.plugins["one"] = interrupted
    with pytest.raises(KeyboardInterrupt):
        add.add(node.session())

    assert node.host.talk[-2:] == ["DEL one net1", "DEL main eth0"]


def test_when_the_time_is_used_up_no_further_network_is_started() -> None:
    node = a_node()
    node.pod(networks="one,two")

    def slow(call: PluginCall) -> PluginExit:
        node.now += 80
        return answering()(call)

    node.host.plugins["one"] = slow
    error = failure(node.session(seconds=100))

    assert error.code == Code.TRY_AGAIN_LATER
    assert "ADD two net2" not in node.host.talk
    assert node.host.talk[-2:] == ["DEL one net1", "DEL main eth0"]


def test_the_record_stays_after_a_failure_for_the_runtimes_del() -> None:
    node = a_node()
    node.host.plugins["one"] = failing("ADD")
    node.pod(networks="one")

    failure(node.session())

    assert list(node.store.records_) == [("ctr", "eth0")]


# -- devices


def test_a_devices_description_is_offered_and_shown_in_the_status() -> None:
    node = a_node()
    assert node.cluster is not None
    node.cluster.allocated = {"vendor.com/nic": ["0000:03:02.0"]}
    info = {"type": "pci", "pci": {"pci-address": "0000:03:02.0"}}
    source = "/var/run/k8s.cni.cncf.io/devinfo/dp/vendor.com-nic-0000:03:02.0-device.json"
    target = "/var/run/k8s.cni.cncf.io/devinfo/cni/default-one-ctr_net1"
    node.store.device_infos[source] = info
    node.network(
        "default/one",
        single("one", capabilities={"deviceID": True, "CNIDeviceInfoFile": True}),
        resource="vendor.com/nic",
    )
    node.pod(networks="one")

    add.add(node.session())

    assert node.host.stdin(1)["deviceID"] == "0000:03:02.0"
    assert node.host.stdin(1)["runtimeConfig"] == {
        "deviceID": "0000:03:02.0",
        "CNIDeviceInfoFile": target,
    }
    assert node.store.device_infos[target] == info
    assert node.cluster.statuses[0][1][1]["device-info"] == info
