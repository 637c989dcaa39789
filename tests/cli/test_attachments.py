from __future__ import annotations

import json

from multus_py.cli import attachments
from multus_py.cli.sandbox import Interface

ETH0 = Interface("eth0", "aa:bb", ("10.0.0.2/24", "fd00::2/64"))
NET1 = Interface("net1", "cc:dd", ("10.1.0.2/24",))
STATUS = json.dumps(
    [{"name": "storage", "interface": "net1", "ips": ["10.1.0.2"], "mac": "cc:dd", "dns": {}}]
)


def at(address: str) -> Interface:
    return Interface("eth0", "ee:ff", (address,))


def pinged(source: Interface, target: Interface) -> list[tuple[str, str]]:
    return list(attachments.shared(attachments.of("", [source]), attachments.of("", [target])))


def test_a_status_is_completed_by_what_is_found() -> None:
    found, told = attachments.of(STATUS, [ETH0, NET1])

    assert (found.network, found.interface, found.mac) == ("", "eth0", "aa:bb")
    assert found.ips == ("10.0.0.2", "fd00::2")
    assert (told.network, told.interface, told.ips) == ("storage", "net1", ("10.1.0.2",))


def test_without_a_status_everything_is_found() -> None:
    assert [entry.interface for entry in attachments.of("", [ETH0, NET1])] == ["eth0", "net1"]


def test_a_status_may_name_no_interface() -> None:
    (entry,) = attachments.of('[{"name": "odd", "dns": {}}]', [])

    assert (entry.network, entry.interface, entry.ips, entry.mac) == ("odd", "", (), "")


def test_a_network_that_is_told_is_shared_by_its_name() -> None:
    here, there = attachments.of(STATUS, []), attachments.of(STATUS.replace("0.2", "0.3"), [])

    assert list(attachments.shared(here, there)) == [("net1", "10.1.0.3")]
    other = attachments.of(STATUS.replace("storage", "other"), [])
    assert list(attachments.shared(here, other)) == []


def test_a_network_that_is_found_is_shared_by_its_subnet() -> None:
    assert pinged(ETH0, at("10.0.0.3/24")) == [("eth0", "10.0.0.3")]
    assert pinged(ETH0, at("10.9.0.3/24")) == []


def test_the_table_explains_what_is_only_found() -> None:
    told = attachments.of(STATUS, [])
    found = attachments.of(STATUS, [ETH0])

    assert attachments.table([("default/a", told)]).splitlines() == [
        "POD        NETWORK  INTERFACE  ADDRESSES  MAC    GATEWAY",
        "default/a  storage  net1       10.1.0.2   cc:dd",
    ]
    assert attachments.table([("default/a", found)]).splitlines() == [
        "POD        NETWORK  INTERFACE  ADDRESSES         MAC    GATEWAY",
        "default/a  ?        eth0       10.0.0.2 fd00::2  aa:bb",
        "           storage  net1       10.1.0.2          cc:dd",
        "?: found in the pod; no plugin's result names the interface",
    ]
