"""Network selection elements, as lists in JSON and as names separated by commas."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni.errors import CniError, Code
from multus_py.models import selection
from multus_py.models.objects import ObjectRef
from multus_py.models.requests import Requests
from multus_py.models.selection import NetworkSelectionElement
from tests.models.foreign import refused, respelled, spoiled, tolerated

EVERYTHING = {
    "name": "n1",
    "namespace": "infra",
    "interface": "foo0",
    "interfaceRequest": "old0",
    "ips": ["10.9.0.5/24", "fd00::5"],
    "mac": "02:00:00:00:00:77",
    "infiniband-guid": "02:00:00:00:00:00:00:77",
    "portMappings": [{"hostPort": 9, "containerPort": 10, "protocol": "tcp", "hostIP": "::1"}],
    "bandwidth": {"ingressRate": 1, "ingressBurst": 2, "egressRate": 3, "egressBurst": 4},
    "cni-args": {"a": "b", "list": [1, None]},
    "default-route": ["10.9.0.1", "fd00::1"],
    "deviceID": "0000:01:00.0",
}
"""Every key that there is."""


def parsed(annotation: str) -> list[NetworkSelectionElement]:
    return selection.parse(annotation, "default")


def element(**members: Any) -> NetworkSelectionElement:
    """Return the element of a list of one."""
    (only,) = parsed(json.dumps([{"name": "n1"} | members]))
    return only


def failure(annotation: str) -> CniError:
    error = refused(selection.parse, annotation, "default")
    assert error.hint in {
        "correct the pod's annotation (docs/annotations.md)",
        "correct it and try again",
    }
    return error


def asked(annotation: str) -> list[tuple[str, str, str]]:
    return [
        (element.namespace, element.name, element.requests().ifname)
        for element in parsed(annotation)
    ]


# -- names separated by commas


@pytest.mark.parametrize(
    ("annotation", "elements"),
    [
        ("", []),
        ("a", [("", "a", "")]),
        ("a,b,a", [("", "a", ""), ("", "b", ""), ("", "a", "")]),
        ("ns/a", [("ns", "a", "")]),
        ("a@foo0", [("", "a", "foo0")]),
        ("ns/a@foo0", [("ns", "a", "foo0")]),
        (" ns / a @ foo0 ,\n\tb ", [("ns", "a", "foo0"), ("", "b", "")]),
        ("/a", [("", "a", "")]),
        ("a@", [("", "a", "")]),
        ("a@Up_0.5", [("", "a", "Up_0.5")]),
        ("a@fifteen-letters", [("", "a", "fifteen-letters")]),
        ("0a-9/9", [("0a-9", "9", "")]),
    ],
)
def test_a_text_names_networks(annotation: str, elements: list[tuple[str, str, str]]) -> None:
    assert asked(annotation) == elements


@pytest.mark.parametrize(
    ("annotation", "cause"),
    [
        ("a/b/c", "'a/b/c' has more than one /"),
        ("a@b@c", "'a@b@c' has more than one @"),
        ("A", "'A' has other characters than lower-case letters, digits and -"),
        ("a.b", "'a.b' has other characters"),
        ("a,-b", "'-b' has other characters"),
        ("b-", "'b-' has other characters"),
        ("a b", "'a b' has other characters"),
        ("NS/a", "'NS' has other characters"),
        ("a@foo/0", "'a@foo' has other characters"),
        ("a@sixteen-letters0", "interface name 'sixteen-letters0' is too long"),
        ("a@öööööööö", "interface name 'öööööööö' is too long"),
        ("a@f 0", "interface name 'f 0' contains"),
        ("a@f:0", "interface name 'f:0' contains"),
        ("a@..", "interface name '..' is empty, . or .."),
        ("a@\ud800", "interface name '\\ud800' contains"),
        (" ", "element 1 names no network (namespace default)"),
        ("a,,b", "element 2 names no network (namespace default)"),
        ("a,", "element 2 names no network (namespace default)"),
        ("infra/", "element 1 names no network (namespace infra)"),
        ("@foo0", "element 1 names no network (namespace default)"),
    ],
)
def test_a_text_that_names_no_network_is_refused(annotation: str, cause: str) -> None:
    error = failure(annotation)
    assert error.code == Code.ANNOTATION
    assert error.cause.startswith(cause)


LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
INTERFACES = st.text("abcXYZ019_.-", min_size=3, max_size=15)
BLANKS = st.text(" \t\n", max_size=2)
ITEMS = st.tuples(st.just("") | LABELS, LABELS, st.just("") | INTERFACES)


@settings(deadline=None, max_examples=100)
@given(st.lists(ITEMS, min_size=1, max_size=5), BLANKS)
def test_what_is_written_with_commas_is_what_is_asked_for(
    items: list[tuple[str, str, str]], blank: str
) -> None:
    annotation = ",".join(
        blank + (f"{namespace}/" if namespace else "") + name + (f"@{ifname}" if ifname else "")
        for namespace, name, ifname in items
    )
    assert asked(annotation + blank) == items


@settings(deadline=None, max_examples=50)
@given(st.lists(ITEMS, max_size=5))
def test_json_and_commas_ask_for_the_same(items: list[tuple[str, str, str]]) -> None:
    keys = ("namespace", "name", "interface")
    as_json = json.dumps([dict(zip(keys, item, strict=True)) for item in items])
    assert asked(as_json) == items


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=20) | st.text('[]{}":,/@a0-. \\nul', max_size=20))
def test_any_text_is_read_or_refused(annotation: str) -> None:
    tolerated(parsed, annotation)


# -- lists in JSON


def test_an_element_may_ask_for_everything() -> None:
    everything = element(**EVERYTHING)
    assert everything.ref("default") == ObjectRef("infra", "n1")
    assert everything.requests() == Requests(
        ifname="foo0",
        ips=("10.9.0.5/24", "fd00::5"),
        mac="02:00:00:00:00:77",
        infiniband_guid="02:00:00:00:00:00:00:77",
        port_mappings=({"hostPort": 9, "containerPort": 10, "protocol": "tcp", "hostIP": "::1"},),
        bandwidth={"ingressRate": 1, "ingressBurst": 2, "egressRate": 3, "egressBurst": 4},
        cni_args={"a": "b", "list": [1, None]},
        default_route=("10.9.0.1", "fd00::1"),
        device_id="0000:01:00.0",
    )


def test_an_element_asks_for_nothing_by_default() -> None:
    assert element().requests() == Requests()


@pytest.mark.parametrize("key", sorted(set(EVERYTHING) - {"name"}))
def test_a_null_asks_for_nothing(key: str) -> None:
    assert element(**{key: None}) == NetworkSelectionElement(name="n1")


@settings(deadline=None, max_examples=100)
@given(respelled(EVERYTHING))
def test_the_letter_case_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    assert parsed(json.dumps([value])) == [element(**EVERYTHING)]


@pytest.mark.parametrize("key", ["ipam-claim-reference", "gateway", "x"])
def test_other_keys_are_ignored(key: str) -> None:
    assert element(**{key: [1]}).requests() == Requests()


def test_an_empty_list_asks_for_no_networks() -> None:
    assert parsed(" [] ") == []


def test_a_network_is_in_the_default_namespace_unless_it_says_otherwise() -> None:
    assert element().ref("default") == ObjectRef("default", "n1")
    assert element(namespace="infra").ref("default") == ObjectRef("infra", "n1")


def test_names_in_json_may_have_dots() -> None:
    assert element(name="n.1").ref("default") == ObjectRef("default", "n.1")


def test_the_older_key_for_the_interface_counts_without_the_newer_one() -> None:
    assert element(interfaceRequest="old0").requests().ifname == "old0"
    assert element(interfaceRequest="old0", interface="").requests().ifname == "old0"
    assert element(interfaceRequest="old0", interface="new0").requests().ifname == "new0"


@pytest.mark.parametrize(
    ("written", "gateways"), [(None, None), ([], ()), (["10.9.0.1"], ("10.9.0.1",))]
)
def test_no_empty_and_filled_default_routes_are_three_things(
    written: list[str] | None, gateways: tuple[str, ...] | None
) -> None:
    assert element(**{"default-route": written}).requests().default_route == gateways


def test_empty_addresses_ask_for_nothing() -> None:
    assert element(mac="", **{"infiniband-guid": ""}).requests() == Requests()


def test_limits_that_are_not_written_are_zero() -> None:
    assert element(bandwidth={"egressRate": 7}).requests().bandwidth == {
        "ingressRate": 0,
        "ingressBurst": 0,
        "egressRate": 7,
        "egressBurst": 0,
    }


@pytest.mark.parametrize(
    ("members", "cause"),
    [
        ({"name": 5}, "name: should be a valid string (it is 5)"),
        ({"namespace": ["infra"]}, "namespace: should be a valid string"),
        ({"interface": 0}, "interface: should be a valid string (it is 0)"),
        ({"interfaceRequest": {}}, "interfaceRequest: should be a valid string"),
        ({"ips": "10.9.0.5"}, "ips: should be a valid list (it is '10.9.0.5')"),
        ({"ips": [5]}, "ips.0: should be a valid string (it is 5)"),
        ({"ips": ["10.9.0.5", "there"]}, "ips.1: 'there' is no IP address"),
        ({"ips": ["10.9.0.5/33"]}, "ips.0: '10.9.0.5/33' is no IP address"),
        ({"ips": ["10.9.0.5/255.0.0.0"]}, "ips.0: '10.9.0.5/255.0.0.0' has no prefix length"),
        ({"mac": 2}, "mac: should be a valid string (it is 2)"),
        ({"mac": "02:00"}, "mac: '02:00' is no hardware address"),
        ({"infiniband-guid": []}, "infiniband-guid: should be a valid string"),
        ({"infiniband-guid": "x"}, "infiniband-guid: 'x' is no hardware address"),
        ({"portMappings": {}}, "portMappings: should be a valid list"),
        ({"portMappings": [80]}, "portMappings.0: should be an object"),
        ({"portMappings": [{"hostPort": "80"}]}, "portMappings.0.hostPort: should be a valid int"),
        ({"portMappings": [{"containerPort": 8.0}]}, "portMappings.0.containerPort: should be a"),
        ({"portMappings": [{"protocol": 6}]}, "portMappings.0.protocol: should be a valid string"),
        ({"portMappings": [{"hostIP": []}]}, "portMappings.0.hostIP: should be a valid string"),
        ({"bandwidth": "1M"}, "bandwidth: should be an object"),
        ({"bandwidth": {"ingressRate": "1M"}}, "bandwidth.ingressRate: should be a valid integer"),
        ({"bandwidth": {"ingressBurst": 0.5}}, "bandwidth.ingressBurst: should be a valid integer"),
        ({"bandwidth": {"egressRate": True}}, "bandwidth.egressRate: should be a valid integer"),
        ({"bandwidth": {"egressBurst": []}}, "bandwidth.egressBurst: should be a valid integer"),
        ({"cni-args": ["a"]}, "cni-args: should be an object"),
        ({"default-route": "10.9.0.1"}, "default-route: should be a valid list"),
        ({"default-route": ["10.9.0.1/24"]}, "default-route.0: '10.9.0.1/24' is no IP address"),
        ({"default-route": [""]}, "default-route.0: '' is no IP address"),
        ({"default-route": ["fe80::1%eth0"]}, "default-route.0: 'fe80::1%eth0' has a zone"),
        ({"deviceID": 1}, "deviceID: should be a valid string (it is 1)"),
    ],
)
def test_a_wrong_value_is_named_with_its_element(members: dict[str, Any], cause: str) -> None:
    error = failure(json.dumps([{"name": "fine"}, {"name": "n1"} | members]))
    assert (error.code, error.where) == (Code.ANNOTATION, ("element 2",))
    assert error.cause.startswith(cause)


@pytest.mark.parametrize(
    ("annotation", "code", "where", "cause"),
    [
        ('{"name": "a"}', Code.ANNOTATION, (), "it is an object, not a list: write [{...}]"),
        ('"a"', Code.ANNOTATION, (), "it is a text, not a list: write [{...}]"),
        ("[null]", Code.ANNOTATION, ("element 1",), "it is null, not an object"),
        ('[{"name": "a"}, "b"]', Code.ANNOTATION, ("element 2",), "it is a text, not an object"),
        ("[{}]", Code.ANNOTATION, (), "element 1 names no network (namespace default)"),
        (
            '[{"namespace": "infra", "name": ""}]',
            Code.ANNOTATION,
            (),
            "element 1 names no network (namespace infra)",
        ),
        ("[", Code.DECODING_FAILURE, (), "the annotation is not JSON"),
        ('a,"b"', Code.DECODING_FAILURE, (), "the annotation is not JSON"),
        ("[] []", Code.DECODING_FAILURE, (), "the annotation is not JSON"),
        ('["\\ud800"]', Code.DECODING_FAILURE, (), "the annotation holds half of a surrogate"),
    ],
)
def test_json_that_is_no_list_of_elements_is_refused(
    annotation: str, code: Code, where: tuple[str, ...], cause: str
) -> None:
    error = failure(annotation)
    assert (error.code, error.where) == (code, where)
    assert error.cause.startswith(cause)


MACS = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
PORTS = st.fixed_dictionaries(
    {"hostPort": st.integers(0, 65535), "containerPort": st.integers(0, 65535)},
    optional={"protocol": st.sampled_from(["tcp", "udp"]), "hostIP": st.ip_addresses().map(str)},
)
RATES = st.fixed_dictionaries({key: st.integers(0) for key in EVERYTHING["bandwidth"]})
ELEMENTS = st.fixed_dictionaries(
    {"name": LABELS},
    optional={
        "namespace": LABELS,
        "interface": INTERFACES,
        "interfaceRequest": INTERFACES,
        "ips": st.lists(st.ip_addresses().map(str), max_size=3),
        "mac": MACS,
        "infiniband-guid": MACS,
        "portMappings": st.lists(PORTS, max_size=2),
        "bandwidth": RATES,
        "cni-args": st.dictionaries(LABELS, st.text(max_size=5), max_size=3),
        "default-route": st.lists(st.ip_addresses().map(str), max_size=2),
        "deviceID": st.text(max_size=8),
        "unknown": st.integers(),
    },
)


def requested(written: dict[str, Any]) -> Requests:
    routes = written.get("default-route")
    return Requests(
        ifname=written.get("interface", written.get("interfaceRequest", "")),
        mac=written.get("mac", ""),
        infiniband_guid=written.get("infiniband-guid", ""),
        ips=tuple(written.get("ips", ())),
        port_mappings=tuple(written.get("portMappings", ())),
        bandwidth=written.get("bandwidth"),
        cni_args=written.get("cni-args"),
        default_route=None if routes is None else tuple(routes),
        device_id=written.get("deviceID", ""),
    )


@settings(deadline=None, max_examples=100)
@given(st.lists(ELEMENTS, max_size=3))
def test_every_key_of_every_element_arrives(written: list[dict[str, Any]]) -> None:
    elements = parsed(json.dumps(written))
    assert [element.requests() for element in elements] == [requested(item) for item in written]
    assert [element.ref("default") for element in elements] == [
        ObjectRef(item.get("namespace", "default"), item["name"]) for item in written
    ]


@settings(deadline=None, max_examples=200)
@given(spoiled([EVERYTHING]))
def test_any_fault_in_an_element_is_tolerated_or_refused(value: object) -> None:
    tolerated(parsed, json.dumps(value))
