"""Default routes that move to a network of a running pod, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from multus_py.cni import network
from multus_py.cni.errors import CniError, Code
from multus_py.cni.request import Attachment
from multus_py.core import add, hotplug, release
from multus_py.models.requests import Requests
from tests.core.test_add import a_node
from tests.core.test_failures import Fault, with_fault
from tests.core.test_hotplug import HOT, attach, detach, failure, hot, recorded, shown
from tests.fakes import NETNS, Node, answering

if TYPE_CHECKING:
    from multus_py.core.ports import PluginCall, PluginExit

GATEWAY = [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}]


def routed_pod() -> Node:
    """Return a node whose pod has its default route through eth0."""
    node = a_node()
    node.host.plugins["main"] = answering(routes=GATEWAY)
    node.host.plugins["hot"] = answering()
    node.pod(networks="one")
    node.host.files.add(NETNS)
    add.add(node.session())
    node.host.links |= {"eth0", "net1"}
    node.host.calls.clear()
    return node


def routes_in_cache(node: Node, kind: str, ifname: str) -> Any:
    cached = node.store.read_result(Attachment("ctr", ifname), kind)
    assert cached
    return cached.result.document.get("routes", [])


OURS = Requests(default_route=("10.5.0.1",))


def test_a_network_that_asks_for_the_default_route_gets_it() -> None:
    node = routed_pod()
    attach(node, requests=OURS)

    v4 = frozenset({4})
    assert node.host.route_changes == [
        ("eth0", v4, ()),
        ("net1", v4, ()),
        ("net5", v4, ("10.5.0.1",)),
    ]
    assert routes_in_cache(node, "primary", "eth0") == []
    assert routes_in_cache(node, "hot-net", "net5") == [{"dst": "0.0.0.0/0", "gw": "10.5.0.1"}]


def test_its_end_gives_the_default_route_back() -> None:
    node = routed_pod()
    attach(node, requests=OURS)
    node.host.route_changes.clear()

    detach(node)

    assert node.host.route_changes == [("eth0", frozenset({4}), ("10.0.0.1",))]
    assert routes_in_cache(node, "primary", "eth0") == GATEWAY


def test_in_a_namespace_that_is_gone_nothing_is_given_back() -> None:
    node = routed_pod()
    attach(node, requests=OURS)
    node.host.route_changes.clear()
    node.host.files.clear()
    detach(node)
    assert node.host.route_changes == []


def test_a_failure_after_the_routes_gives_them_back() -> None:
    node = routed_pod()
    assert node.cluster is not None
    node.cluster.status_error = CniError(Code.API_FAILURE, "no status today")
    before = dict(node.store.records_)

    assert failure(node, requests=OURS).code == Code.API_FAILURE

    assert node.host.route_changes[-1] == ("eth0", frozenset({4}), ("10.0.0.1",))
    assert routes_in_cache(node, "primary", "eth0") == GATEWAY
    assert node.store.records_ == before


def test_a_network_with_an_empty_default_route_keeps_its_own() -> None:
    node = routed_pod()
    node.host.default_routes["net5"] = {4}
    attach(node, requests=Requests(default_route=()))
    assert node.host.route_changes == [("eth0", frozenset({4}), ()), ("net1", frozenset({4}), ())]
    node.host.route_changes.clear()

    detach(node)
    assert node.host.route_changes == [("eth0", frozenset({4}), ("10.0.0.1",))]


def test_a_network_gives_way_to_the_one_that_has_asked_before() -> None:
    node = routed_pod()
    node.host.plugins["hot"] = answering(routes=[{"dst": "0.0.0.0/0", "gw": "10.6.0.1"}])
    attach(node, requests=OURS)
    node.host.route_changes.clear()

    attach(node, ifname="net6")

    assert ("net6", frozenset({4}), ()) in node.host.route_changes
    assert routes_in_cache(node, "hot-net", "net6") == []


def test_two_default_routes_in_one_family_are_refused() -> None:
    node = routed_pod()
    attach(node, requests=OURS)
    node.host.calls.clear()
    assert failure(node, ifname="net6", requests=OURS).code == Code.DEFAULT_ROUTE
    assert node.host.calls == []


def test_a_network_without_default_route_leaves_routes_alone() -> None:
    node = routed_pod()
    attach(node)
    detach(node)
    assert node.host.route_changes == []


def calls_of_attach() -> list[str]:
    fault = Fault(0)
    hotplug.attach(with_fault(hot(routed_pod()), fault), network.parse(HOT), OURS)
    return fault.calls


@pytest.mark.parametrize(
    "number", [pytest.param(n, id=f"{n}-{name}") for n, name in enumerate(calls_of_attach(), 1)]
)
def test_whatever_fails_in_attach_the_pod_has_what_it_had(number: int) -> None:
    node = routed_pod()
    assert node.cluster is not None
    routes: dict[str, tuple[str, ...]] = {"eth0": ("10.0.0.1",)}
    before = (dict(node.store.records_), dict(node.store.results_))
    attached: set[str] = set()

    def keep(call: PluginCall) -> PluginExit:
        added = call.environment["CNI_COMMAND"] == "ADD"
        (attached.add if added else attached.discard)(call.environment["CNI_IFNAME"])
        return answering()(call)

    node.host.plugins["hot"] = keep
    with pytest.raises(CniError, match=f"{calls_of_attach()[number - 1]} fails"):
        hotplug.attach(with_fault(hot(node), Fault(number)), network.parse(HOT), OURS)

    routes |= {ifname: gateways for ifname, _, gateways in node.host.route_changes}
    assert attached == set()
    assert (node.store.records_, node.store.results_) == before
    assert routes["eth0"] == ("10.0.0.1",)
    assert shown(node) == ["eth0", "net1"]


def calls_of_detach() -> list[str]:
    node = routed_pod()
    attach(node, requests=OURS)
    fault = Fault(0)
    hotplug.detach(with_fault(hot(node, "DEL"), fault), network.parse(HOT))
    return fault.calls


@pytest.mark.parametrize(
    "number", [pytest.param(n, id=f"{n}-{name}") for n, name in enumerate(calls_of_detach(), 1)]
)
def test_whatever_fails_in_detach_the_next_one_or_the_pods_del_finishes_it(number: int) -> None:
    node = routed_pod()
    attach(node, requests=OURS)
    try:
        hotplug.detach(with_fault(hot(node, "DEL"), Fault(number)), network.parse(HOT))
    except CniError:
        detach(node)
    assert recorded(node) == [("primary", "eth0"), ("default/one", "net1")]
    release.delete(node.session("DEL"))
    assert (node.store.records_, node.store.results_) == ({}, {})
