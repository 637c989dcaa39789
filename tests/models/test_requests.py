"""What a pod may ask for on one network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni.errors import CniError, Code
from multus_py.models.decoding import decoded
from multus_py.models.requests import (
    Bandwidth,
    PortMapping,
    Requests,
    RuntimeConfig,
    hardware_address,
    ip_address,
    ip_or_cidr,
)
from tests.models.foreign import refused, respelled, spoiled, tolerated

if TYPE_CHECKING:
    import ipaddress

RUNTIME_CONFIG = {
    "portMappings": [
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"}
    ],
    "bandwidth": {"ingressRate": 1, "ingressBurst": 2, "egressRate": 3, "egressBurst": 4},
    "ips": ["10.9.0.5/24"],
    "mac": "02:00:00:00:00:77",
    "infinibandGUID": "02:00:00:00:00:00:00:77",
    "deviceID": "0000:01:00.0",
    "CNIDeviceInfoFile": "/run/info",
}


def runtime_config(value: object) -> RuntimeConfig:
    return decoded(RuntimeConfig, value, code=Code.INVALID_CONFIGURATION, hint="")


def failure(value: object) -> CniError:
    return refused(runtime_config, value)


# -- what the runtime offers


def test_every_capability_of_the_runtime_is_on_offer() -> None:
    assert runtime_config(RUNTIME_CONFIG).capability_args() == RUNTIME_CONFIG


def test_a_runtime_that_says_nothing_offers_nothing() -> None:
    assert runtime_config({}).capability_args() == {}


def test_empty_values_are_not_on_offer() -> None:
    empty = {"portMappings": [], "ips": [], "mac": "", "deviceID": "", "aliases": []}
    assert runtime_config(empty).capability_args() == {}


def test_a_capability_that_we_do_not_know_passes_unchanged() -> None:
    offered = {"aliases": ["web"], "ioWeight": 0.5, "cgroupPath": {"Path": None}}
    assert runtime_config(offered).capability_args() == offered


@settings(deadline=None, max_examples=50)
@given(respelled(RUNTIME_CONFIG))
def test_capabilities_are_known_in_any_letter_case(value: dict[str, Any]) -> None:
    assert runtime_config(value).capability_args() == RUNTIME_CONFIG


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ({"portMappings": {}}, "portMappings: should be a valid list"),
        ({"portMappings": [80]}, "portMappings.0: should be an object"),
        ({"portMappings": [{"hostPort": "80"}]}, "portMappings.0.hostPort: should be a valid int"),
        ({"portMappings": [{"containerPort": 1.5}]}, "portMappings.0.containerPort: should be"),
        ({"portMappings": [{"protocol": 6}]}, "portMappings.0.protocol: should be a valid string"),
        ({"portMappings": [{"hostIP": 1}]}, "portMappings.0.hostIP: should be a valid string"),
        ({"bandwidth": 5}, "bandwidth: should be an object"),
        ({"bandwidth": {"ingressRate": "1M"}}, "bandwidth.ingressRate: should be a valid integer"),
        ({"bandwidth": {"ingressBurst": []}}, "bandwidth.ingressBurst: should be a valid integer"),
        ({"bandwidth": {"egressRate": 0.5}}, "bandwidth.egressRate: should be a valid integer"),
        ({"bandwidth": {"egressBurst": True}}, "bandwidth.egressBurst: should be a valid integer"),
        ({"ips": "10.0.0.1"}, "ips: should be a valid list"),
        ({"ips": [1]}, "ips.0: should be a valid string"),
        ({"mac": 2}, "mac: should be a valid string"),
        ({"infinibandGUID": []}, "infinibandGUID: should be a valid string"),
        ({"deviceID": 1}, "deviceID: should be a valid string"),
        ({"CNIDeviceInfoFile": {}}, "CNIDeviceInfoFile: should be a valid string"),
    ],
)
def test_a_capability_of_the_wrong_type_is_named(value: object, cause: str) -> None:
    assert failure(value).cause.startswith(cause)


@settings(deadline=None, max_examples=200)
@given(spoiled(RUNTIME_CONFIG))
def test_any_runtime_config_is_read_or_refused(value: object) -> None:
    tolerated(lambda: runtime_config(value).capability_args())


# -- how it is written for plugins


def test_a_port_mapping_always_has_its_ports_and_nothing_else_that_is_empty() -> None:
    assert PortMapping().document() == {"hostPort": 0, "containerPort": 0}


def test_a_port_mapping_has_protocol_and_address_if_they_are_given() -> None:
    mapping = PortMapping(hostPort=53, containerPort=5353, protocol="udp", hostIP="::1")
    assert mapping.document() == {
        "hostPort": 53,
        "containerPort": 5353,
        "protocol": "udp",
        "hostIP": "::1",
    }


def test_limits_of_bandwidth_are_written_all_four() -> None:
    none = {"ingressRate": 0, "ingressBurst": 0, "egressRate": 0, "egressBurst": 0}
    assert Bandwidth().document() == none
    assert Bandwidth(egressRate=9).document() == none | {"egressRate": 9}


def test_an_element_that_asks_for_nothing_asks_plugins_for_nothing() -> None:
    assert Requests().capability_args() == {}


def test_an_element_asks_for_capabilities_by_their_conventional_names() -> None:
    requests = Requests(
        ifname="store0",
        mac="02:00:00:00:00:77",
        infiniband_guid="02:00:00:00:00:00:00:77",
        ips=("10.9.0.5/24", "fd00::5/64"),
        port_mappings=({"hostPort": 9, "containerPort": 10},),
        bandwidth={"ingressRate": 1},
        cni_args={"a": "b"},
        default_route=("10.9.0.1",),
        device_id="0000:01:00.0",
    )
    assert requests.capability_args() == {
        "portMappings": [{"hostPort": 9, "containerPort": 10}],
        "bandwidth": {"ingressRate": 1},
        "ips": ["10.9.0.5/24", "fd00::5/64"],
        "mac": "02:00:00:00:00:77",
        "infinibandGUID": "02:00:00:00:00:00:00:77",
        "deviceID": "0000:01:00.0",
    }


# -- addresses


def grouped(raw: bytes, separator: str) -> str:
    """Write bytes in pairs of digits, or in quads where the separator is a dot."""
    size = 4 if separator == "." else 2
    text = raw.hex()
    return separator.join(text[start : start + size] for start in range(0, len(text), size))


LENGTHS = st.sampled_from([6, 8, 20])
SEPARATORS = st.sampled_from(":-.")


@settings(deadline=None, max_examples=100)
@given(LENGTHS.flatmap(lambda size: st.binary(min_size=size, max_size=size)), SEPARATORS)
def test_hardware_addresses_have_6_8_or_20_bytes(raw: bytes, separator: str) -> None:
    text = grouped(raw, separator)
    assert hardware_address(text) == text
    assert hardware_address(text.upper()) == text.upper()


@settings(deadline=None, max_examples=100)
@given(
    st.binary(min_size=1, max_size=24).filter(lambda raw: len(raw) not in {6, 8, 20}), SEPARATORS
)
def test_hardware_addresses_of_other_lengths_are_refused(raw: bytes, separator: str) -> None:
    with pytest.raises(ValueError, match="is no hardware address"):
        hardware_address(grouped(raw, separator))


def test_no_hardware_address_is_none() -> None:
    assert hardware_address("") == ""


@pytest.mark.parametrize(
    "text",
    [
        "020000000077",
        "02:00:00-00:00:77",
        "02:00:00:00:00:7g",
        "2:0:0:0:0:77",
        "02:00:00:00:00:77:",
        " 02:00:00:00:00:77",
        "02:00:00:00:00:77\n",
        "0200.0000",
        "0200:0000:0077",
        "02.00.00.00.00.77",
    ],
)
def test_other_notations_of_hardware_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no hardware address"):
        hardware_address(text)


@settings(deadline=None, max_examples=100)
@given(st.ip_addresses())
def test_addresses_are_kept_as_they_were_written(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    for text in (str(address), address.exploded):
        assert ip_address(text) == text
        assert ip_or_cidr(text) == text


@settings(deadline=None, max_examples=100)
@given(st.ip_addresses(), st.data())
def test_a_prefix_length_is_within_that_of_the_family(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, data: st.DataObject
) -> None:
    length = data.draw(st.integers(0, address.max_prefixlen))
    assert ip_or_cidr(f"{address}/{length}") == f"{address}/{length}"
    with pytest.raises(ValueError, match="is no IP address"):
        ip_or_cidr(f"{address}/{length + address.max_prefixlen + 1}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "web",
        "10.0.0",
        "10.0.0.256",
        "10.0.0.05",
        " 10.0.0.5",
        "10.0.0.5,10.0.0.6",
        "::1::",
        "5",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    for check in (ip_address, ip_or_cidr):
        with pytest.raises(ValueError, match=r"^'.*' is no IP address$"):
            check(text)


def test_a_gateway_has_no_prefix_length() -> None:
    with pytest.raises(ValueError, match=r"^'10\.0\.0\.1/24' is no IP address$"):
        ip_address("10.0.0.1/24")


@pytest.mark.parametrize(
    "text", ["10.0.0.5/255.255.255.0", "10.0.0.5/0.0.0.255", "10.0.0.5/", "::1/-1"]
)
def test_a_netmask_is_no_prefix_length(text: str) -> None:
    with pytest.raises(ValueError, match="has no prefix length after the slash"):
        ip_or_cidr(text)


def test_an_address_has_no_zone() -> None:
    for check, text in ((ip_address, "fe80::1%eth0"), (ip_or_cidr, "fe80::1%eth0/64")):
        with pytest.raises(ValueError, match="has a zone"):
            check(text)
