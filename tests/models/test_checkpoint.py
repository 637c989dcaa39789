"""What the kubelet allocated, as it keeps it in a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni.errors import CniError, Code
from multus_py.models import checkpoint
from tests.models.foreign import encoded, refused, respelled, spoiled, tolerated

if TYPE_CHECKING:
    from multus_py.models.device import Devices

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


def whole(*entries: dict[str, Any]) -> dict[str, Any]:
    data = {"PodDeviceEntries": list(entries), "RegisteredDevices": {RESOURCE: []}}
    return {"Data": data, "Checksum": 12345}


def devices(*entries: dict[str, Any], pod_uid: str = "uid-web") -> Devices:
    return checkpoint.devices(json.dumps(whole(*entries)).encode(), pod_uid)


def failure(value: object) -> CniError:
    return refused(checkpoint.devices, json.dumps(value).encode(), "uid-web")


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
    assert checkpoint.devices(json.dumps(value).encode(), "uid-web") == {}


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
        (whole(entry(PodUID=5)), "Data.PodDeviceEntries.0.PodUID: should be a valid string"),
        (whole(entry(), entry(ResourceName=[])), "Data.PodDeviceEntries.1.ResourceName: "),
        (
            whole(entry(DeviceIDs=["0000:03:02.0"])),
            "Data.PodDeviceEntries.0.DeviceIDs: should be an object",
        ),
        (
            whole(entry(DeviceIDs={"0": "a"})),
            "Data.PodDeviceEntries.0.DeviceIDs.0: should be a valid list",
        ),
        (whole(entry(DeviceIDs={"0": [5]})), "Data.PodDeviceEntries.0.DeviceIDs.0.0: "),
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
@given(st.binary(max_size=20) | encoded(spoiled(whole(entry(), entry()))))
def test_any_bytes_of_a_checkpoint_are_read_or_refused(raw: bytes) -> None:
    tolerated(checkpoint.devices, raw, "uid-web")
