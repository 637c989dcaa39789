"""Devices: what the kubelet allocated, and the files that describe it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni.errors import CniError, Code
from multus_py.models import device
from tests.models.foreign import encoded, refused, respelled, spoiled, tolerated

RESOURCE = "example.com/vf"


def entry(**members: Any) -> dict[str, Any]:
    """Return an entry of a checkpoint for one container."""
    usual = {
        "PodUID": "uid-web",
        "ContainerName": "main",
        "ResourceName": RESOURCE,
        "DeviceIDs": {"-1": ["0000:03:02.0"]},
        "AllocResp": "EgA=",
    }
    return usual | members


def checkpoint(*entries: dict[str, Any]) -> dict[str, Any]:
    data = {"PodDeviceEntries": list(entries), "RegisteredDevices": {RESOURCE: []}}
    return {"Data": data, "Checksum": 12345}


def devices(*entries: dict[str, Any], pod_uid: str = "uid-web") -> device.Devices:
    return device.devices_in_checkpoint(json.dumps(checkpoint(*entries)).encode(), pod_uid)


def failure(value: object) -> CniError:
    return refused(device.devices_in_checkpoint, json.dumps(value).encode(), "uid-web")


# -- the kubelet's checkpoint


def test_devices_are_sorted_as_text_so_that_everybody_assigns_them_alike() -> None:
    node = ["0000:03:02.3", "0000:03:02.0", "0000:03:02.10", "0000:03:02.1"]
    assert devices(entry(DeviceIDs={"0": node})) == {
        RESOURCE: ["0000:03:02.0", "0000:03:02.1", "0000:03:02.10", "0000:03:02.3"]
    }


def test_devices_of_all_containers_and_numa_nodes_are_one_list_by_resource() -> None:
    assert devices(
        entry(DeviceIDs={"1": ["d", "b"], "0": ["c"]}),
        entry(ContainerName="side", DeviceIDs={"0": ["a"]}),
        entry(ResourceName="example.com/other", DeviceIDs={"0": ["x"]}),
    ) == {RESOURCE: ["a", "b", "c", "d"], "example.com/other": ["x"]}


def test_devices_of_other_pods_are_not_ours() -> None:
    assert devices(entry(PodUID="uid-db")) == {}
    assert devices(entry(), pod_uid="uid") == {}


@pytest.mark.parametrize("ids", [None, {}, {"0": None}, {"0": []}])
def test_an_entry_may_have_no_devices(ids: object) -> None:
    assert devices(entry(DeviceIDs=ids)) == {RESOURCE: []}


@pytest.mark.parametrize("entries", [None, []])
def test_a_checkpoint_may_have_no_entries(entries: object) -> None:
    value = {"Data": {"PodDeviceEntries": entries}}
    assert device.devices_in_checkpoint(json.dumps(value).encode(), "uid-web") == {}


@settings(deadline=None, max_examples=50)
@given(respelled(entry()))
def test_the_letter_case_of_members_does_not_matter(value: dict[str, Any]) -> None:
    assert devices(value) == {RESOURCE: ["0000:03:02.0"]}


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ({}, "Data: Field required"),
        ({"Data": None}, "Data: Field required"),
        ({"Data": []}, "Data: should be an object"),
        ({"Data": {"PodDeviceEntries": {}}}, "Data.PodDeviceEntries: should be a valid list"),
        (checkpoint(entry(PodUID=5)), "Data.PodDeviceEntries.0.PodUID: should be a valid string"),
        (checkpoint(entry(), entry(ResourceName=[])), "Data.PodDeviceEntries.1.ResourceName: "),
        (
            checkpoint(entry(DeviceIDs=["0000:03:02.0"])),
            "Data.PodDeviceEntries.0.DeviceIDs: should be an object",
        ),
        (
            checkpoint(entry(DeviceIDs={"0": "a"})),
            "Data.PodDeviceEntries.0.DeviceIDs.0: should be a valid list",
        ),
        (checkpoint(entry(DeviceIDs={"0": [5]})), "Data.PodDeviceEntries.0.DeviceIDs.0.0: "),
    ],
)
def test_a_checkpoint_of_another_layout_is_refused(value: object, cause: str) -> None:
    error = failure(value)
    assert (error.code, error.hint) == (
        Code.DEVICE,
        "look at the kubelet's device-plugins directory",
    )
    assert error.cause.startswith(cause)


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ([], "the kubelet's checkpoint is a list, not a JSON object"),
        ("text", "the kubelet's checkpoint is a text, not a JSON object"),
    ],
)
def test_a_checkpoint_is_an_object(value: object, cause: str) -> None:
    error = failure(value)
    assert (error.code, error.cause) == (Code.DECODING_FAILURE, cause)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=20) | encoded(spoiled(checkpoint(entry(), entry()))))
def test_any_bytes_of_a_checkpoint_are_read_or_refused(raw: bytes) -> None:
    tolerated(device.devices_in_checkpoint, raw, "uid-web")


# -- device information

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
