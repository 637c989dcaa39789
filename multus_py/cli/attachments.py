"""What pods got from their networks: as plugins told it, else as it is found in the pod."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from multus_py.cli.sandbox import Interface

_HEADER = ("POD", "NETWORK", "INTERFACE", "ADDRESSES", "MAC", "GATEWAY")
_UNKNOWN = "?"
_LEGEND = "?: found in the pod; no plugin's result names the interface"


@dataclass(frozen=True, slots=True)
class Attachment:
    """An interface of a pod."""

    network: str
    """Empty if the interface is only found."""
    interface: str
    ips: tuple[str, ...]
    mac: str
    gateways: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    """Known if the interface is only found: its addresses with their prefixes."""


def of(status: str, links: Sequence[Interface]) -> tuple[Attachment, ...]:
    """Return the entries of a network-status, after the interfaces that it does not name.

    ``status`` is empty for a pod whose plugins have named no interface, as old ones do.
    """
    told = [
        Attachment(
            entry["name"],
            entry.get("interface", ""),
            tuple(entry.get("ips", [])),
            entry.get("mac", ""),
            tuple(entry.get("gateway", [])),
        )
        for entry in json.loads(status or "[]")
    ]
    names = {entry.interface for entry in told}
    return (*(_found(link) for link in links if link.name not in names), *told)


def _found(link: Interface) -> Attachment:
    ips = tuple(address.partition("/")[0] for address in link.addresses)
    return Attachment("", link.name, ips, link.mac, subnets=link.addresses)


def shared(source: Sequence[Attachment], target: Sequence[Attachment]) -> Iterator[tuple[str, str]]:
    """Yield interfaces of the source, each with the target's address on the same network."""
    for here in source:
        for there in target:
            if here.ips and there.ips and _is_shared(here, there):
                yield here.interface, there.ips[0]


def _is_shared(here: Attachment, there: Attachment) -> bool:
    if here.interface != there.interface or here.network != there.network:
        return False
    if here.network:
        return True
    address = ipaddress.ip_address(there.ips[0])
    return any(address in ipaddress.ip_interface(subnet).network for subnet in here.subnets)


def table(pods: Sequence[tuple[str, Sequence[Attachment]]]) -> str:
    """Return the attachments of pods as aligned columns."""
    rows = [
        (
            pod if not number else "",
            entry.network or _UNKNOWN,
            entry.interface,
            " ".join(entry.ips),
            entry.mac,
            " ".join(entry.gateways),
        )
        for pod, attachments in pods
        for number, entry in enumerate(attachments)
    ]
    text = _aligned([_HEADER, *rows])
    return f"{text}\n{_LEGEND}" if any(row[1] == _UNKNOWN for row in rows) else text


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of texts as aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
