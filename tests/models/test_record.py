"""Records: ours come back whole, Multus's are read by its rules, and both can read both."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni import network
from multus_py.cni.errors import CniError, Code
from multus_py.cni.request import Attachment
from multus_py.models import record
from multus_py.models.delegate import Delegate, Record
from multus_py.models.requests import Requests
from tests.models.foreign import SCALARS, WORDS, encoded, refused, respelled, spoiled, tolerated

ETH0 = Attachment("ctr", "eth0")

SINGLE = {
    "cniVersion": "1.0.0",
    "name": "lan",
    "type": "bridge",
    "mtu": 12345678901234567,
    "capabilities": {"mac": True},
    "ipam": {"type": "host-local", "subnet": "10.0.0.0/8"},
}
CHAIN = {
    "cniVersion": "0.4.0",
    "name": "store",
    "disableCheck": True,
    "disableGC": "true",
    "plugins": [SINGLE, {"type": "tuning", "ipam": {}}],
}


def as_bytes(config: object) -> str:
    return base64.b64encode(json.dumps(config).encode()).decode()


def from_multus(*entries: dict[str, Any]) -> bytes:
    """Return a record that Multus 4.3 wrote; ``entries`` are changes of the usual one."""
    usual = {
        "Conf": {"cniVersion": "1.0.0", "name": "lan", "type": "bridge", "ipam": {}},
        "ConfList": {},
        "CNINetworkConfigList": {"Name": "", "Plugins": None, "Bytes": None},
        "Name": "lan",
        "IsFilterV4Gateway": False,
        "IsFilterV6Gateway": False,
        "Bytes": as_bytes(SINGLE),
    }
    return json.dumps([usual | entry for entry in entries]).encode()


def written(delegate: Delegate) -> dict[str, Any]:
    """Return the entry of a delegate in a record."""
    made = Record(
        attachment=ETH0, netns="/run/netns/pod", owner="multus-net", delegates=(delegate,)
    )
    (entry,) = json.loads(record.encode(made))
    return dict(entry)


def failure(raw: bytes) -> CniError:
    return refused(record.decode, raw, ETH0)


OURS = written(Delegate(name="lan", network=network.parse(SINGLE), cni_args=(("K", "V"),)))


# -- what we write


def test_a_single_plugin_is_written_as_multus_does() -> None:
    entry = written(
        Delegate(
            name="shop/lan",
            network=network.parse(SINGLE),
            requests=Requests(
                ifname="foo0",
                mac="02:00:00:00:00:77",
                infiniband_guid="02:00:00:00:00:00:00:77",
                ips=("10.9.0.5/24",),
                default_route=("10.9.0.1",),
            ),
            resource_name="example.com/vf",
            device_id="0000:03:02.0",
            ifname="foo0",
            filter_v4=True,
            cni_args=(("K8S_POD_NAME", "web"),),
            capability_args={"mac": "02:00:00:00:00:77"},
        )
    )
    assert json.loads(base64.b64decode(entry.pop("Bytes"))) == SINGLE
    assert entry == {
        "Conf": {
            "cniVersion": "1.0.0",
            "name": "lan",
            "type": "bridge",
            "capabilities": {"mac": True},
            "ipam": {"type": "host-local"},
        },
        "ConfList": {},
        "Name": "shop/lan",
        "ifnameRequest": "foo0",
        "macRequest": "02:00:00:00:00:77",
        "infinibandGUIDRequest": "02:00:00:00:00:00:00:77",
        "ipRequest": ["10.9.0.5/24"],
        "default-route": ["10.9.0.1"],
        "IsFilterV4Gateway": True,
        "IsFilterV6Gateway": False,
        "deviceID": "0000:03:02.0",
        "resourceName": "example.com/vf",
        "multusPy": {
            "owner": "multus-net",
            "netns": "/run/netns/pod",
            "request": "eth0",
            "ifname": "foo0",
            "master": False,
            "attempts": 0,
            "refusals": 0,
            "begun": None,
            "pending": False,
            "partial": False,
            "cniArgs": [["K8S_POD_NAME", "web"]],
            "capabilityArgs": {"mac": "02:00:00:00:00:77"},
            "displaced": [],
        },
    }


def test_a_chain_is_marked_by_its_plugins() -> None:
    entry = written(Delegate(name="store", network=network.parse(CHAIN), ifname="net1"))
    assert entry["Conf"] == {"cniVersion": "0.4.0", "name": "store", "ipam": {}}
    assert entry["ConfList"] == {
        "cniVersion": "0.4.0",
        "name": "store",
        "disableCheck": True,
        "disableGC": True,
        "plugins": [
            {
                "cniVersion": "1.0.0",
                "name": "lan",
                "type": "bridge",
                "capabilities": {"mac": True},
                "ipam": {"type": "host-local"},
            },
            {"type": "tuning", "ipam": {}},
        ],
    }
    assert json.loads(base64.b64decode(entry["Bytes"])) == CHAIN


def test_what_was_not_asked_for_is_not_written() -> None:
    entry = written(Delegate(name="lan", network=network.parse({"type": "bridge", "ipam": "x"})))
    assert list(entry) == [
        "Conf",
        "ConfList",
        "Name",
        "IsFilterV4Gateway",
        "IsFilterV6Gateway",
        "Bytes",
        "multusPy",
    ]
    assert entry["Conf"] == {"type": "bridge", "ipam": {}}


def test_an_empty_default_route_is_written() -> None:
    entry = written(
        Delegate(name="x", network=network.parse(SINGLE), requests=Requests(default_route=()))
    )
    assert entry["default-route"] == []


def test_a_device_that_a_pod_named_itself_has_no_resource() -> None:
    entry = written(
        Delegate(
            name="x",
            network=network.parse(SINGLE),
            requests=Requests(device_id="0000:01:00.0"),
            resource_name="example.com/vf",
        )
    )
    assert entry["deviceID"] == "0000:01:00.0"
    assert "resourceName" not in entry


# -- what we read of our own

PLUGINS = st.builds(
    lambda kind, rest: {"type": kind} | rest,
    WORDS,
    st.dictionaries(st.sampled_from(["mtu", "ipam", "mode", "dns", "capabilities"]), st.just({})),
)
CONFIGS = st.builds(
    lambda name, plugin, version: {"name": name, "cniVersion": version} | plugin,
    WORDS,
    PLUGINS | st.lists(PLUGINS, min_size=1, max_size=3).map(lambda plugins: {"plugins": plugins}),
    st.sampled_from(["", "0.3.1", "1.1.0"]),
)
TEXTS = st.just("") | st.text(max_size=8)
REQUESTS = st.builds(
    Requests,
    ifname=TEXTS,
    mac=TEXTS,
    infiniband_guid=TEXTS,
    ips=st.lists(WORDS, max_size=2).map(tuple),
    port_mappings=st.just(()) | st.just(({"hostPort": 9, "containerPort": 10},)),
    bandwidth=st.none() | st.just({"ingressRate": 1}),
    cni_args=st.none() | st.just({"a": "b"}),
    default_route=st.none() | st.lists(WORDS, max_size=2).map(tuple),
    device_id=TEXTS,
)
DELEGATES = st.builds(
    Delegate,
    name=TEXTS,
    network=CONFIGS.map(network.parse),
    requests=REQUESTS,
    resource_name=TEXTS,
    device_id=TEXTS,
    master=st.booleans(),
    ifname=TEXTS,
    filter_v4=st.booleans(),
    filter_v6=st.booleans(),
    cni_args=st.none() | st.lists(st.tuples(TEXTS, TEXTS), max_size=2).map(tuple),
    capability_args=st.none() | st.dictionaries(WORDS, SCALARS, max_size=2),
    displaced=st.lists(st.tuples(TEXTS, TEXTS), max_size=2).map(tuple),
)
RECORDS = st.builds(
    Record,
    attachment=st.just(ETH0),
    netns=TEXTS,
    owner=TEXTS,
    attempts=st.integers(0),
    pending=st.booleans(),
    partial=st.booleans(),
    delegates=st.lists(DELEGATES, min_size=1, max_size=3).map(tuple),
)


def kept(delegate: Delegate) -> Delegate:
    """Return what a record keeps: requests that plugins read as capabilities are kept as these."""
    requests = delegate.requests
    return replace(
        delegate,
        requests=replace(requests, port_mappings=(), bandwidth=None, cni_args=None, device_id=""),
        device_id=delegate.device_id or requests.device_id,
        resource_name=delegate.resource_name if delegate.device_id else "",
    )


@settings(deadline=None, max_examples=100)
@given(RECORDS)
def test_a_record_comes_back_whole(made: Record) -> None:
    delegates = tuple(kept(delegate) for delegate in made.delegates)
    assert record.decode(record.encode(made), ETH0) == replace(made, delegates=delegates)


@settings(deadline=None, max_examples=30)
@given(RECORDS)
def test_what_was_read_is_written_the_same(made: Record) -> None:
    raw = record.encode(made)
    assert record.encode(record.decode(raw, ETH0)) == raw


def test_the_configuration_keeps_its_numbers_and_the_order_of_its_keys() -> None:
    made = Record(attachment=ETH0, delegates=(Delegate(name="x", network=network.parse(SINGLE)),))
    (delegate,) = record.decode(record.encode(made), ETH0).delegates
    assert json.dumps(delegate.network.document) == json.dumps(SINGLE)


@pytest.mark.parametrize("ifname", ["eth0", "foo0", ""])
def test_a_record_tells_which_interface_the_runtime_asked_for(ifname: str) -> None:
    delegate = Delegate(name="x", network=network.parse(SINGLE), ifname="other0")
    made = Record(attachment=Attachment("ctr", ifname), delegates=(delegate,))
    assert record.requested_ifname(record.encode(made)) == ifname


@pytest.mark.parametrize(
    "raw",
    [
        from_multus({}),
        b"",
        b"[]",
        b"{}",
        b"5",
        b'"text"',
        b"[null]",
        b'["text"]',
        b'[{"multusPy": null}]',
        b'[{"multusPy": []}]',
        b'[{"multusPy": {}}]',
        b'[{"multusPy": {"request": null}}]',
        b'[{"multusPy": {"request": 5}}]',
    ],
)
def test_other_records_do_not_tell_which_interface_was_asked_for(raw: bytes) -> None:
    assert record.requested_ifname(raw) == ""


def test_a_record_in_which_no_attempts_are_counted_had_none_and_is_not_pending() -> None:
    later = {"attempts", "refusals", "begun", "pending"}
    ours = {key: value for key, value in OURS["multusPy"].items() if key not in later}
    found = record.decode(json.dumps([OURS | {"multusPy": ours}]).encode(), ETH0)
    assert (found.attempts, found.refusals, found.pending) == (0, 0, False)
    assert (found.owner, found.delegates[0].begun) == ("multus-net", None)


# -- what we read of Multus


def test_in_a_record_of_multus_the_first_is_the_master_and_the_others_count() -> None:
    found = record.decode(from_multus({}, {"Name": "shop/store"}, {}), Attachment("ctr", "en0"))
    assert found == Record(attachment=Attachment("ctr", "en0"), delegates=found.delegates)
    assert [(one.name, one.ifname, one.master) for one in found.delegates] == [
        ("lan", "en0", True),
        ("shop/store", "net1", False),
        ("lan", "net2", False),
    ]


def test_in_a_record_of_multus_a_delegate_may_have_no_name() -> None:
    (delegate,) = record.decode(from_multus({"Name": None}), ETH0).delegates
    assert (delegate.name, delegate.label) == ("", "lan")


def test_in_a_record_of_multus_no_route_gives_way_unless_it_says_so() -> None:
    missing = {"IsFilterV4Gateway": None, "IsFilterV6Gateway": None}
    (delegate,) = record.decode(from_multus(missing), ETH0).delegates
    assert (delegate.filter_v4, delegate.filter_v6) == (False, False)


def test_in_a_record_of_multus_a_named_interface_still_takes_its_place() -> None:
    found = record.decode(
        from_multus({"ifnameRequest": "prime0"}, {"ifnameRequest": "foo0"}, {}), ETH0
    )
    assert [one.ifname for one in found.delegates] == ["prime0", "foo0", "net2"]


def test_in_a_record_of_multus_requests_and_devices_are_read() -> None:
    entry = {
        "Name": "ns1/n1",
        "ifnameRequest": "foo0",
        "macRequest": "02:00:00:00:00:77",
        "infinibandGUIDRequest": "02:00:00:00:00:00:00:77",
        "ipRequest": ["10.9.0.5/24"],
        "default-route": ["10.9.0.1"],
        "IsFilterV4Gateway": True,
        "IsFilterV6Gateway": True,
        "deviceID": "0000:01:00.0",
        "resourceName": "example.com/vf",
    }
    assert record.decode(from_multus({}, entry), ETH0).delegates[1] == Delegate(
        name="ns1/n1",
        network=network.parse(SINGLE),
        requests=Requests(
            ifname="foo0",
            mac="02:00:00:00:00:77",
            infiniband_guid="02:00:00:00:00:00:00:77",
            ips=("10.9.0.5/24",),
            default_route=("10.9.0.1",),
        ),
        resource_name="example.com/vf",
        device_id="0000:01:00.0",
        ifname="foo0",
        filter_v4=True,
        filter_v6=True,
    )


def test_in_a_record_of_multus_bytes_decide_about_the_plugins() -> None:
    (delegate,) = record.decode(from_multus({"Bytes": as_bytes(CHAIN)}), ETH0).delegates
    assert delegate.network == network.parse(CHAIN)
    assert (delegate.cni_args, delegate.capability_args) == (None, None)


@pytest.mark.parametrize(("routes", "gateways"), [(None, None), ([], ())])
def test_in_a_record_of_multus_no_default_route_is_not_an_empty_one(
    routes: list[str] | None, gateways: tuple[str, ...] | None
) -> None:
    (delegate,) = record.decode(from_multus({"default-route": routes}), ETH0).delegates
    assert delegate.requests.default_route == gateways


@settings(deadline=None, max_examples=60)
@given(RECORDS)
def test_without_our_member_a_record_is_read_by_multus_rules(made: Record) -> None:
    entries = json.loads(record.encode(made))
    for entry in entries:
        del entry["multusPy"]
    assert record.decode(json.dumps(entries).encode(), ETH0) == Record(
        attachment=ETH0,
        delegates=tuple(
            replace(
                kept(delegate),
                master=index == 0,
                ifname=delegate.requests.ifname or (f"net{index}" if index else "eth0"),
                cni_args=None,
                capability_args=None,
                displaced=(),
            )
            for index, delegate in enumerate(made.delegates)
        ),
    )


@settings(deadline=None, max_examples=50)
@given(respelled(json.loads(from_multus({"macRequest": "02:00:00:00:00:77"}))[0]))
def test_the_letter_case_of_members_does_not_matter(entry: dict[str, Any]) -> None:
    (delegate,) = record.decode(json.dumps([entry]).encode(), ETH0).delegates
    assert (delegate.name, delegate.requests.mac) == ("lan", "02:00:00:00:00:77")


# -- what cannot be read


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        (b"", "the record is not JSON"),
        (b"\xff", "the record is not UTF-8"),
        (b"null", "it holds null instead of delegates"),
        (b"{}", "it holds an object instead of delegates"),
        (b"[]", "it holds a list instead of delegates"),
        (b"[5]", "should be an object"),
        (b"[{}]", "Bytes: Field required"),
        (from_multus({"Bytes": None}), "Bytes: Field required"),
        (from_multus({"Bytes": 5}), "Bytes: should be a valid string"),
        (from_multus({"Bytes": "###"}), "a configuration in it is not base64"),
        (from_multus({"Bytes": "é"}), "a configuration in it is not base64"),
        (from_multus({"Bytes": "AAA"}), "a configuration in it is not base64"),
        (from_multus({"Bytes": ""}), "a configuration in it cannot be read: it is not JSON"),
        (
            from_multus({"Bytes": as_bytes([])}),
            "a configuration in it cannot be read: it is a list, not a JSON object",
        ),
        (
            from_multus({}, {"Bytes": as_bytes({"name": "x"})}),
            "a configuration in it cannot be read: neither 'type' nor 'plugins' is set",
        ),
        (from_multus({"Name": 5}), "Name: should be a valid string"),
        (from_multus({"ifnameRequest": 5}), "ifnameRequest: should be a valid string"),
        (from_multus({"macRequest": []}), "macRequest: should be a valid string"),
        (from_multus({"infinibandGUIDRequest": 1}), "infinibandGUIDRequest: should be a valid"),
        (from_multus({"ipRequest": "10.9.0.5"}), "ipRequest: should be a valid list"),
        (from_multus({"default-route": "10.9.0.1"}), "default-route: should be a valid list"),
        (from_multus({"IsFilterV4Gateway": "true"}), "IsFilterV4Gateway: should be a valid bool"),
        (from_multus({"IsFilterV6Gateway": 1}), "IsFilterV6Gateway: should be a valid boolean"),
        (from_multus({"deviceID": 1}), "deviceID: should be a valid string"),
        (from_multus({"resourceName": {}}), "resourceName: should be a valid string"),
        (from_multus({"multusPy": []}), "multusPy: should be an object"),
        (from_multus({"multusPy": {}}), "multusPy.owner: Field required"),
    ],
)
def test_a_broken_record_is_refused(raw: bytes, cause: str) -> None:
    error = failure(raw)
    assert error.code == Code.DECODING_FAILURE
    assert error.cause.startswith(cause)


@pytest.mark.parametrize(
    ("member", "value", "place"),
    [
        ("owner", 5, "multusPy.owner"),
        ("netns", [], "multusPy.netns"),
        ("request", True, "multusPy.request"),
        ("ifname", {}, "multusPy.ifname"),
        ("master", "true", "multusPy.master"),
        ("attempts", "1", "multusPy.attempts"),
        ("refusals", "1", "multusPy.refusals"),
        ("begun", "1", "multusPy.begun"),
        ("begun", -1, "multusPy.begun"),
        ("pending", 1, "multusPy.pending"),
        ("cniArgs", {}, "multusPy.cniArgs"),
        ("cniArgs", [["K"]], "multusPy.cniArgs.0"),
        ("cniArgs", [["K", "V", "W"]], "multusPy.cniArgs.0"),
        ("cniArgs", [["K", 5]], "multusPy.cniArgs.0.1"),
        ("capabilityArgs", [], "multusPy.capabilityArgs"),
    ],
)
def test_a_fault_in_our_member_is_named(member: str, value: object, place: str) -> None:
    ours = OURS["multusPy"] | {member: value}
    error = failure(json.dumps([OURS | {"multusPy": ours}]).encode())
    assert error.code == Code.DECODING_FAILURE
    assert error.cause.startswith(f"{place}: ")


def test_an_error_leads_to_the_cache_beside_the_record() -> None:
    assert failure(b"{}").message() == (
        "it holds an object instead of delegates."
        " Next: the files in results/ of the same directory say what was attached"
    )


ANY_CONFIG = spoiled(SINGLE) | spoiled(CHAIN)
ANYTHING = (
    st.binary(max_size=20)
    | encoded(spoiled([OURS]))
    | ANY_CONFIG.map(lambda config: from_multus({"Bytes": as_bytes(config)}))
    | st.text(max_size=8).map(lambda text: from_multus({"Bytes": text}))
)


@settings(deadline=None, max_examples=200)
@given(ANYTHING)
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    tolerated(record.decode, raw, ETH0)
    assert isinstance(record.requested_ifname(raw), str)
