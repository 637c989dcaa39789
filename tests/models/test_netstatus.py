"""The network-status annotation, for results of all versions and shapes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni import result
from multus_py.cni.version import SUPPORTED
from multus_py.models import netstatus
from multus_py.models.netstatus import NetworkStatus
from tests.models.foreign import VALUES, WORDS

NETNS = "/run/netns/pod"


def inside(name: str, **members: Any) -> dict[str, Any]:
    """Return an interface in the pod."""
    return {"name": name, "sandbox": NETNS, **members}


def status(*interfaces: dict[str, Any], default: bool = False, **members: Any) -> NetworkStatus:
    """Return the status of a network whose result has these interfaces and members."""
    value = {"cniVersion": "1.1.0", "interfaces": list(interfaces), **members}
    return NetworkStatus("lan", result.checked(value, "").current, default=default)


def entries(*interfaces: dict[str, Any], **members: Any) -> list[dict[str, Any]]:
    return status(*interfaces, **members).entries()


def ip(address: str, interface: int | None = None, gateway: str = "") -> dict[str, Any]:
    value: dict[str, Any] = {"address": address}
    if interface is not None:
        value["interface"] = interface
    if gateway:
        value["gateway"] = gateway
    return value


# -- one interface


def test_an_entry_has_its_members_in_multus_order() -> None:
    (entry,) = NetworkStatus(
        name="shop/lan",
        result={
            "cniVersion": "1.1.0",
            "interfaces": [inside("eth0", mac="02:00:00:00:00:77", mtu=1400)],
            "ips": [ip("10.0.0.5/24", 0, "10.0.0.1"), ip("fd00::5/64")],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}],
            "dns": {"options": ["ndots:5"], "search": ["shop"], "nameservers": ["10.0.0.10"]},
        },
        default=True,
        device_info={"type": "pci"},
    ).entries()
    assert list(entry.items()) == [
        ("name", "shop/lan"),
        ("interface", "eth0"),
        ("ips", ["10.0.0.5", "fd00::5"]),
        ("mac", "02:00:00:00:00:77"),
        ("mtu", 1400),
        ("default", True),
        (
            "dns",
            {"nameservers": ["10.0.0.10"], "search": ["shop"], "options": ["ndots:5"]},
        ),
        ("device-info", {"type": "pci"}),
        ("gateway", ["10.0.0.1"]),
    ]


def test_empty_members_are_left_out_but_for_name_and_dns() -> None:
    empty = {"ips": [], "routes": [], "dns": {"domain": "", "search": []}}
    assert entries(inside("net1", mac="", mtu=0), **empty) == [
        {"name": "lan", "interface": "net1", "dns": {}}
    ]


@pytest.mark.parametrize("key", ["ips", "routes", "dns"])
def test_members_of_a_result_may_be_null(key: str) -> None:
    missing: dict[str, Any] = {key: None}
    assert entries(inside("net1"), **missing) == [{"name": "lan", "interface": "net1", "dns": {}}]


def test_a_network_without_a_name_still_says_so() -> None:
    assert NetworkStatus("", {"interfaces": [inside("net1")]}).entries()[0]["name"] == ""


@pytest.mark.parametrize("interface", [None, 0, 7])
def test_a_single_interface_has_all_addresses_whatever_their_index(interface: int | None) -> None:
    (entry,) = entries(inside("net1"), ips=[ip("10.0.0.5/24", interface), ip("10.0.0.6/24", 0)])
    assert entry["ips"] == ["10.0.0.5", "10.0.0.6"]


def test_a_single_interface_outside_the_pod_leaves_its_addresses() -> None:
    link = {"name": "veth1", "mac": "02:00:00:00:00:01", "mtu": 1500}
    assert entries(link, ips=[ip("10.0.0.5/24")], default=True) == [
        {"name": "lan", "ips": ["10.0.0.5"], "default": True, "dns": {}}
    ]


def test_a_result_without_interfaces_has_no_entry() -> None:
    assert entries(ips=[ip("10.0.0.5/24")], default=True) == []
    assert entries(interfaces=None) == []


def test_only_the_masters_entry_is_the_default() -> None:
    assert entries(inside("eth0"), default=True)[0]["default"] is True
    assert "default" not in entries(inside("net1"), default=False)[0]


# -- several interfaces


def test_every_interface_in_the_pod_has_an_entry() -> None:
    links = [
        {"name": "br0"},
        inside("net1", mac="a"),
        {"name": "veth", "sandbox": ""},
        inside("n2"),
    ]
    assert entries(*links) == [
        {"name": "lan", "interface": "net1", "mac": "a", "dns": {}},
        {"name": "lan", "interface": "n2", "dns": {}},
    ]


def test_interfaces_outside_the_pod_alone_have_no_entry() -> None:
    assert (
        entries({"name": "br0"}, {"name": "veth"}, ips=[ip("10.0.0.5/24", 0)], default=True) == []
    )


def test_an_address_belongs_to_the_interface_of_its_index() -> None:
    addresses = [ip("10.0.0.5/24", 2), ip("10.0.0.6/24", 1), ip("10.0.0.7/24", 0), ip("::9/64", 9)]
    found = entries({"name": "br0"}, inside("a"), inside("b"), ips=addresses)
    assert [entry.get("ips") for entry in found] == [["10.0.0.6"], ["10.0.0.5"]]


def test_an_address_without_an_index_belongs_to_the_last_interface_in_the_pod() -> None:
    addresses = [ip("10.0.0.5/24"), ip("10.0.0.6/24", 0)]
    found = entries(inside("a"), inside("b"), {"name": "br0"}, ips=addresses)
    assert [entry.get("ips") for entry in found] == [["10.0.0.6"], ["10.0.0.5"]]


def test_every_entry_repeats_dns_gateways_and_device() -> None:
    value = status(
        inside("a"),
        inside("b"),
        dns={"domain": "shop"},
        routes=[{"dst": "::/0", "gw": "fd00::1"}],
    )
    found = NetworkStatus("lan", value.result, device_info={"type": "pci"}).entries()
    shared = {"dns": {"domain": "shop"}, "device-info": {"type": "pci"}, "gateway": ["fd00::1"]}
    assert found == [
        {"name": "lan", "interface": "a"} | shared,
        {"name": "lan", "interface": "b"} | shared,
    ]


@pytest.mark.parametrize(
    ("ips", "default"),
    [
        ([], "a"),
        ([ip("10.0.0.5/24", 2)], "a"),
        ([ip("10.0.0.5/24", gateway="10.0.0.1")], "a"),
        ([ip("10.0.0.5/24", 2, "10.0.0.1")], "b"),
        ([ip("10.0.0.5/24", 1), ip("10.0.0.6/24", 2, "10.0.0.1")], "b"),
        ([ip("10.0.0.5/24", 1, "10.0.0.1"), ip("10.0.0.6/24", 2, "10.0.0.1")], "a"),
        ([ip("10.0.0.5/24", 0, "10.0.0.1"), ip("10.0.0.6/24", 2, "10.0.0.1")], None),
        ([ip("10.0.0.5/24", 9, "10.0.0.1")], None),
    ],
)
def test_the_masters_default_is_the_interface_of_the_first_address_with_a_gateway(
    ips: list[dict[str, Any]], default: str | None
) -> None:
    found = entries({"name": "br0"}, inside("a"), inside("b"), ips=ips, default=True)
    chosen = [entry["interface"] for entry in found if entry.get("default")]
    assert chosen == ([default] if default else [])


# -- gateways


@pytest.mark.parametrize(
    ("routes", "gateways"),
    [
        ([{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}], ["10.0.0.1"]),
        ([{"dst": "::/0", "gw": "fd00::1"}, {"dst": "0.0.0.0/0", "gw": "10.0.0.1"}], None),
        ([{"dst": "0.0.0.0/0"}, {"dst": "0.0.0.0/0", "gw": ""}], []),
        ([{"dst": "10.1.0.0/16", "gw": "10.0.0.1"}, {"dst": "0.0.0.0/1", "gw": "10.0.0.1"}], []),
    ],
)
def test_gateways_are_the_next_hops_of_default_routes(
    routes: list[dict[str, str]], gateways: list[str] | None
) -> None:
    (entry,) = entries(inside("net1"), routes=routes)
    expected = [route["gw"] for route in routes] if gateways is None else gateways
    assert entry.get("gateway", []) == expected


# -- the annotation


def test_no_entries_make_no_annotation() -> None:
    assert netstatus.annotation([]) == ""
    assert netstatus.annotation([status()]) == ""


def test_the_text_is_the_one_of_multus() -> None:
    main = NetworkStatus("lan", {"interfaces": [inside("eth0")], "ips": [ip("10.0.0.5/24")]}, True)
    more = NetworkStatus("shop/store", {"interfaces": [inside("net1")]})
    assert netstatus.annotation([main, status(), more]) == (
        "[{\n"
        '    "name": "lan",\n'
        '    "interface": "eth0",\n'
        '    "ips": [\n'
        '        "10.0.0.5"\n'
        "    ],\n"
        '    "default": true,\n'
        '    "dns": {}\n'
        "},{\n"
        '    "name": "shop/store",\n'
        '    "interface": "net1",\n'
        '    "dns": {}\n'
        "}]"
    )


def test_signs_of_html_are_escaped_and_other_letters_are_not() -> None:
    text = netstatus.annotation([NetworkStatus("<a>&'ö", {"interfaces": [inside("net1")]})])
    assert '"name": "\\u003ca\\u003e\\u0026\'ö"' in text


RESULTS: dict[str, dict[str, Any]] = {
    "0.1.0": {"ip4": {"ip": "10.0.0.5/24", "routes": [{"dst": "0.0.0.0/0"}]}},
    "0.2.0": {"ip4": {"ip": "10.0.0.5/24"}, "dns": {"domain": "shop"}},
    "0.3.0": {"interfaces": [inside("net1")], "ips": [{"version": "4", **ip("10.0.0.5/24", 0)}]},
    "0.3.1": {"interfaces": [inside("net1")], "ips": [{"version": "4", **ip("10.0.0.5/24", 0)}]},
    "0.4.0": {"interfaces": [inside("net1")], "ips": [{"version": "4", **ip("10.0.0.5/24")}]},
    "1.0.0": {"interfaces": [inside("net1", mtu=1400)], "ips": [ip("10.0.0.5/24", 0)]},
    "1.1.0": {"interfaces": [inside("net1", mtu=1400)], "ips": [ip("10.0.0.5/24", 0)]},
}


def test_every_version_of_the_specification_is_tested_here() -> None:
    assert tuple(RESULTS) == SUPPORTED


@pytest.mark.parametrize("version", RESULTS)
def test_results_of_all_versions_with_interfaces_have_the_same_entry(version: str) -> None:
    current = result.checked(RESULTS[version], version).current
    entry = {"name": "lan", "interface": "net1", "ips": ["10.0.0.5"], "dns": {}}
    newest = {"mtu": 1400} if version >= "1.0.0" else {}
    oldest = version < "0.3.0"
    assert NetworkStatus("lan", current).entries() == ([] if oldest else [entry | newest])


LINKS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(max_size=6),
        "mac": st.text("<>&a:", max_size=6),
        "mtu": st.integers(0, 9000),
        "sandbox": st.sampled_from(["", NETNS]),
    },
)
ADDRESSES = st.ip_addresses().map(str)
IPS = st.fixed_dictionaries(
    {"address": ADDRESSES.map(lambda address: f"{address}/8")},
    optional={"interface": st.integers(-1, 4) | st.none(), "gateway": ADDRESSES},
)
ROUTES = st.fixed_dictionaries(
    {"dst": st.sampled_from(["0.0.0.0/0", "::/0", "10.0.0.0/8"])},
    optional={"gw": ADDRESSES | st.none()},
)
NEWER = {
    "interfaces": st.lists(LINKS, max_size=3) | st.none(),
    "ips": st.lists(IPS, max_size=3) | st.none(),
    "routes": st.lists(ROUTES, max_size=2) | st.none(),
    "dns": st.fixed_dictionaries({}, optional={"domain": st.text(max_size=4)}) | st.none(),
}
FAMILIES = st.fixed_dictionaries(
    {"ip": ADDRESSES.map(lambda address: f"{address}/8")},
    optional={"routes": st.lists(ROUTES, max_size=2)},
)
OLDER = {"ip4": FAMILIES | st.none(), "ip6": FAMILIES | st.none(), "dns": NEWER["dns"]}
CHECKED = st.sampled_from(SUPPORTED).flatmap(
    lambda version: st.fixed_dictionaries({}, optional=OLDER if version < "0.3.0" else NEWER).map(
        lambda value: result.checked(value, version)
    )
)
STATUSES = st.builds(
    NetworkStatus,
    name=st.text(max_size=6),
    result=CHECKED.map(lambda checked: checked.current),
    default=st.booleans(),
    device_info=st.none() | st.dictionaries(WORDS, VALUES, max_size=2),
)


@settings(deadline=None, max_examples=100)
@given(st.lists(STATUSES, max_size=3))
def test_any_results_make_one_json_text_in_multus_form(statuses: list[NetworkStatus]) -> None:
    text = netstatus.annotation(statuses)
    expected = [entry for status in statuses for entry in status.entries()]
    assert (json.loads(text) if text else []) == expected
    assert not set(text) & set("<>&")
    assert text == (f"[{text[1:-1]}]" if expected else "")
    assert text.count("\n},{\n    ") == max(len(expected) - 1, 0)


@settings(deadline=None, max_examples=50)
@given(STATUSES)
def test_any_network_has_at_most_one_default_entry(status: NetworkStatus) -> None:
    defaults = [entry for entry in status.entries() if entry.get("default")]
    assert len(defaults) <= status.default


# -- a pod whose networks change


def edited(*before: dict[str, Any], without: str = "", plus: NetworkStatus | None = None) -> Any:
    text = netstatus.edited(json.dumps(before), without={without}, plus=[plus] if plus else [])
    return json.loads(text)


FOREIGN = {"name": "somebody's", "interface": "x0", "extra": {"a": [1.5, "<&>"]}}


def test_one_more_network_comes_last_and_the_others_stay_as_they_are() -> None:
    assert edited(FOREIGN, plus=status(inside("net5"))) == [
        FOREIGN,
        {"name": "lan", "interface": "net5", "dns": {}},
    ]


def test_a_network_that_is_there_already_is_there_once() -> None:
    before = {"name": "older", "interface": "net5", "dns": {}}
    assert edited(before, plus=status(inside("net5"))) == [
        {"name": "lan", "interface": "net5", "dns": {}}
    ]


def test_one_network_less_leaves_the_others_as_they_are() -> None:
    gone = {"name": "lan", "interface": "net5", "dns": {}}
    assert edited(FOREIGN, gone, without="net5") == [FOREIGN]
    assert edited(gone, without="net5") == []


@pytest.mark.parametrize("text", ["", "null", "{}", "no JSON", "[5, null]"])
def test_an_annotation_that_is_none_is_replaced(text: str) -> None:
    assert json.loads(netstatus.edited(text, plus=[status(inside("net5"))])) == [
        {"name": "lan", "interface": "net5", "dns": {}}
    ]


def test_what_is_kept_is_written_as_multus_writes_it() -> None:
    text = netstatus.edited(json.dumps([FOREIGN]), plus=[status(inside("net5"))])
    assert text.startswith('[{\n    "name": "somebody\'s"')
    assert not set(text) & set("<>&")
