"""Who gets the pod's default route."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multus_py.cni import result
from multus_py.cni.errors import CniError, Code
from multus_py.core import add, release
from multus_py.core.routes import edited
from tests.core.test_add import a_node, failure
from tests.fakes import Node, answering, single


def routed(gateway: str) -> dict[str, Any]:
    everywhere = "::/0" if ":" in gateway else "0.0.0.0/0"
    return {"routes": [{"dst": everywhere, "gw": gateway}, {"dst": "10.96.0.0/12", "gw": gateway}]}


def a_pod(*elements: dict[str, Any]) -> Node:
    node = a_node()
    node.host.plugins["main"] = answering(**routed("10.0.0.1"))
    node.pod(networks=json.dumps(list(elements)))
    return node


def cached_routes(node: Node, *key: str) -> Any:
    network, ifname = key
    return json.loads(node.store.results_[network, "ctr", ifname])["result"].get("routes")


def test_without_a_request_routes_stay_as_plugins_made_them() -> None:
    node = a_pod({"name": "one"})

    add.add(node.session())

    assert node.host.route_changes == []


def test_the_network_that_asks_gets_the_route_and_the_others_lose_theirs() -> None:
    node = a_pod({"name": "one", "default-route": ["10.1.0.1"]}, {"name": "two"})

    add.add(node.session())

    assert node.host.route_changes == [
        ("eth0", frozenset({4}), ()),
        ("net1", frozenset({4}), ("10.1.0.1",)),
        ("net2", frozenset({4}), ()),
    ]


def test_a_route_goes_before_the_next_network_may_collide_with_it() -> None:
    node = a_pod({"name": "one", "default-route": ["10.1.0.1"]})
    seen: list[int] = []
    behave = node.host.plugins["one"]

    def look(call: Any) -> Any:
        seen.append(len(node.host.route_changes))
        return behave(call)

    node.host.plugins["one"] = look
    add.add(node.session())

    assert seen == [1]


def test_only_the_families_that_are_asked_for_change() -> None:
    node = a_pod({"name": "one", "default-route": ["2001:db8::1"]})

    add.add(node.session())

    assert node.host.route_changes == [
        ("eth0", frozenset({6}), ()),
        ("net1", frozenset({6}), ("2001:db8::1",)),
    ]
    assert {"dst": "0.0.0.0/0", "gw": "10.0.0.1"} in cached_routes(node, "primary", "eth0")


def test_both_families_may_go_to_different_networks() -> None:
    node = a_pod(
        {"name": "one", "default-route": ["10.1.0.1"]},
        {"name": "two", "default-route": ["2001:db8::1"]},
    )

    add.add(node.session())

    assert node.host.route_changes[1:] == [
        ("net1", frozenset({4, 6}), ("10.1.0.1",)),
        ("net2", frozenset({4, 6}), ("2001:db8::1",)),
    ]


def test_the_cache_says_what_is_in_the_pod_and_the_status_what_plugins_answered() -> None:
    node = a_pod({"name": "one", "default-route": ["10.1.0.1"]})

    answer = add.add(node.session())

    kept = [{"dst": "10.96.0.0/12", "gw": "10.0.0.1"}]
    assert cached_routes(node, "primary", "eth0") == kept
    assert cached_routes(node, "one", "net1") == [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}]
    assert len(answer.document["routes"]) == 2
    assert node.cluster is not None
    assert node.cluster.statuses[0][1][0]["gateway"] == ["10.0.0.1"]


def test_the_record_marks_who_gives_way_as_multus_does() -> None:
    node = a_pod({"name": "one", "default-route": ["10.1.0.1"]})

    add.add(node.session())

    entries = json.loads(node.store.records_["ctr", "eth0"])
    flags = [(entry["IsFilterV4Gateway"], entry["IsFilterV6Gateway"]) for entry in entries]
    assert flags == [(True, True), (False, True)]
    assert entries[1]["default-route"] == ["10.1.0.1"]


@pytest.mark.parametrize(
    "elements",
    [
        [{"name": "one", "default-route": ["10.1.0.1", "10.1.0.2"]}],
        [
            {"name": "one", "default-route": ["10.1.0.1"]},
            {"name": "two", "default-route": ["10.2.0.1"]},
        ],
    ],
    ids=["in one network", "in two"],
)
def test_two_gateways_of_a_family_are_refused_before_anything_runs(
    elements: list[dict[str, Any]],
) -> None:
    node = a_pod(*elements)

    assert failure(node.session()).code == Code.DEFAULT_ROUTE
    assert node.host.calls == []


def test_an_empty_request_leaves_the_networks_own_route_in_charge() -> None:
    node = a_pod({"name": "one", "default-route": []}, {"name": "two"})
    node.host.plugins["one"] = answering(**routed("10.1.0.1"))
    node.host.default_routes = {"eth0": {4}, "net1": {4}}

    add.add(node.session())

    assert node.host.route_changes == [("eth0", frozenset({4}), ()), ("net2", frozenset({4}), ())]
    assert len(cached_routes(node, "one", "net1")) == 2
    assert len(cached_routes(node, "primary", "eth0")) == 1


def test_an_empty_request_without_a_route_of_its_own_takes_nobodys() -> None:
    node = a_pod({"name": "one", "default-route": []})

    add.add(node.session())

    assert node.host.route_changes == []


def test_a_named_gateway_wins_over_an_empty_request() -> None:
    node = a_pod(
        {"name": "one", "default-route": []}, {"name": "two", "default-route": ["10.2.0.1"]}
    )
    node.host.default_routes = {"net1": {4}}

    add.add(node.session())

    assert ("net1", frozenset({4}), ()) in node.host.route_changes
    assert node.host.route_changes[-1] == ("net2", frozenset({4}), ("10.2.0.1",))


def test_a_route_that_cannot_be_set_undoes_everything() -> None:
    node = a_pod({"name": "one", "default-route": ["192.0.2.1"]})
    node.host.route_error = CniError(Code.DEFAULT_ROUTE, "Network is unreachable")

    error = failure(node.session())

    assert "unreachable" in error.message()
    assert node.host.talk[-1] == "DEL main eth0"


def test_del_gets_the_routes_that_are_in_the_pod() -> None:
    node = a_pod({"name": "one", "default-route": ["10.1.0.1"]})
    add.add(node.session())
    node.host.calls.clear()

    release.delete(node.session("DEL"))

    routes = node.host.stdin(0)["prevResult"]["routes"]
    assert routes == [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}]


def test_results_of_the_first_shape_are_edited_within_their_family() -> None:
    old = result.checked(
        {
            "cniVersion": "0.2.0",
            "ip4": {"ip": "10.0.0.2/24", "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}]},
            "ip6": {"ip": "fd00::2/64", "routes": [{"dst": "::/0", "gw": "fd00::1"}]},
        },
        "",
    )

    gone = edited(old, frozenset({4, 6}), ["10.9.0.1"])

    assert gone.document["ip4"]["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.9.0.1"}]
    assert "routes" not in gone.document["ip6"]


def test_the_first_shape_keeps_the_family_that_is_not_touched() -> None:
    old = result.checked(
        {"cniVersion": "0.2.0", "ip6": {"ip": "fd00::2/64", "routes": [{"dst": "::/0"}]}}, ""
    )

    assert edited(old, frozenset({4}), []).document == old.document


def test_an_override_of_the_default_network_may_claim_the_route_as_well() -> None:
    node = a_node(delegates=[single("main", "primary"), single("two", "second")])
    node.network("kube-system/one", single("one"))
    node.pod(default_network='[{"name": "one", "default-route": ["10.1.0.1"]}]')

    add.add(node.session())

    assert node.host.route_changes == [
        ("eth0", frozenset({4}), ("10.1.0.1",)),
        ("net1", frozenset({4}), ()),
    ]
