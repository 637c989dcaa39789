"""Delegates: what messages call them, and where their devices are described."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from multus_py.cni import network
from multus_py.cni.request import Attachment
from multus_py.models.delegate import Delegate, Record
from multus_py.models.requests import Requests


def delegate(name: str = "shop/storage", network_name: str = "storage", **more: Any) -> Delegate:
    config = network.parse({"name": network_name, "type": "macvlan"})
    return Delegate(name=name, network=config, **more)


@pytest.mark.parametrize(
    ("name", "network_name", "label"),
    [
        ("shop/storage", "storage", "shop/storage"),
        ("shop/storage", "", "shop/storage"),
        ("shop/storage", "fast", "shop/storage (fast)"),
        ("shop/storage", "shop", "shop/storage (shop)"),
        ("primary", "primary", "primary"),
        ("", "storage", "storage"),
        ("", "", ""),
    ],
)
def test_messages_show_the_networks_own_name_if_it_differs(
    name: str, network_name: str, label: str
) -> None:
    assert delegate(name, network_name).label == label


@pytest.mark.parametrize(
    ("capability_args", "path"),
    [
        (None, ""),
        ({}, ""),
        ({"deviceID": "0000:01:00.0"}, ""),
        ({"CNIDeviceInfoFile": None}, ""),
        ({"CNIDeviceInfoFile": "/run/devinfo/x"}, "/run/devinfo/x"),
    ],
)
def test_the_device_is_described_where_plugins_are_told(
    capability_args: dict[str, Any] | None, path: str
) -> None:
    assert delegate(capability_args=capability_args).device_info_file == path


def test_a_delegate_asks_for_nothing_and_is_no_master_by_default() -> None:
    plain = delegate()
    assert plain.requests == Requests()
    assert (plain.master, plain.filter_v4, plain.filter_v6) == (False, False, False)
    assert (plain.ifname, plain.device_id, plain.resource_name) == ("", "", "")
    assert (plain.cni_args, plain.capability_args) == (None, None)


def test_a_record_of_unknown_origin_has_no_namespace_no_owner_and_no_attempts() -> None:
    record = Record(attachment=Attachment("ctr", "eth0"), delegates=())
    assert (record.netns, record.owner, record.attempts) == ("", "", 0)
    assert not record.pending


def test_a_delegate_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(delegate(), "ifname", "net1")  # noqa: B010  # mypy knows it too
