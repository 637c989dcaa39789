"""Devices: the files that describe them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni.errors import Code
from multus_py.models import device
from tests.models.foreign import encoded, refused, spoiled, tolerated

RESOURCE = "example.com/vf"


PCI = {"type": "pci", "version": "1.1.0", "pci": {"pci-address": "0000:03:02.0", "x": [1]}}


@pytest.mark.parametrize(
    "value",
    [
        PCI,
        {"type": "vdpa", "version": "1.1.0", "vdpa": {"driver": "vhost", "path": "/dev/vhost0"}},
        {"type": "vhost-user", "vhost-user": {"mode": "client", "path": "/run/sock"}},
        {"type": "memif", "memif": {"role": "master", "path": "/run/sock", "mode": "ip"}},
        {"type": "vendor", "vendor": 5, "pci": None},
        {},
    ],
)
def test_the_information_about_a_device_is_passed_on_unchanged(value: dict[str, Any]) -> None:
    assert device.info(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ({"type": 5}, "type: should be a valid string (it is 5)"),
        ({"version": 1.1}, "version: should be a valid string (it is 1.1)"),
        ({"pci": "0000:03:02.0"}, "pci: should be an object, not a text"),
        ({"vdpa": []}, "vdpa: should be an object, not a list"),
        ({"vhost-user": 1}, "vhost-user: should be an object, not a number"),
        ({"memif": True}, "memif: should be an object, not a boolean"),
    ],
)
def test_broken_information_is_refused(value: dict[str, Any], cause: str) -> None:
    error = refused(device.info, json.dumps(value).encode())
    assert (error.code, error.cause) == (Code.DEVICE, cause)
    assert error.hint == "report it to the makers of the device plugin"


def test_information_is_an_object() -> None:
    error = refused(device.info, b"[]")
    assert error.code == Code.DECODING_FAILURE
    assert error.cause == "the device information is a list, not a JSON object"


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=20) | encoded(spoiled(PCI)))
def test_any_bytes_of_information_are_read_or_refused(raw: bytes) -> None:
    tolerated(device.info, raw)


# -- paths


def test_a_device_plugin_describes_a_device_by_resource_and_id() -> None:
    assert device.plugin_info_file(RESOURCE, "0000:03:02.0/a/b") == (
        "/var/run/k8s.cni.cncf.io/devinfo/dp/example.com-vf-0000:03:02.0-a-b-device.json"
    )


def test_an_attachment_is_described_by_network_container_and_interface() -> None:
    assert device.delegate_info_file("ns1/s1", "cid1", "net1") == (
        "/var/run/k8s.cni.cncf.io/devinfo/cni/ns1-s1-cid1_net1"
    )


@given(st.text("ab/.", max_size=8), st.text("ab/.", max_size=8), st.text("ab/.", max_size=8))
@settings(deadline=None, max_examples=50)
def test_no_name_leads_out_of_the_directory(name: str, container_id: str, ifname: str) -> None:
    for path in (
        device.plugin_info_file(name, ifname),
        device.delegate_info_file(name, container_id, ifname),
    ):
        assert path.count("/") == "/var/run/k8s.cni.cncf.io/devinfo/dp/x".count("/")
