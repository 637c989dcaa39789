"""The record of an ADD in the layout of Multus 4.3, so that each can release what both attach.

A record is a JSON list with one object per delegate. Multus reads the members it knows and ignores
the member ``multusPy``, in which we keep what it does not: the interface name, the arguments and
the capabilities that the plugins got. A record without that member was written by Multus.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from multus_py.cni import document, network
from multus_py.cni.errors import CniError, Code
from multus_py.models.cached import Pair
from multus_py.models.decoding import Decoded, decoded
from multus_py.models.delegate import Delegate, Record
from multus_py.models.requests import Requests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multus_py.cni.arguments import Pairs
    from multus_py.cni.document import JsonObject
    from multus_py.cni.network import NetworkConfig
    from multus_py.cni.request import Attachment


class _Ours(Decoded):
    """Our own member of an entry."""

    owner: str
    netns: str
    request: str
    """CNI_IFNAME of the ADD."""
    ifname: str
    master: bool
    attempts: int = 0
    refusals: int = 0
    begun: Annotated[int, Field(ge=0)] | None = None
    pending: bool = False
    partial: bool = False
    cni_args: list[Pair] | None = Field(default=None, alias="cniArgs")
    capability_args: dict[str, Any] | None = Field(default=None, alias="capabilityArgs")
    displaced: list[Pair] = []


class _Entry(Decoded):
    """One delegate as Multus writes it."""

    name: str = Field(default="", alias="Name")
    config: str = Field(alias="Bytes")
    ifname_request: str = Field(default="", alias="ifnameRequest")
    mac_request: str = Field(default="", alias="macRequest")
    guid_request: str = Field(default="", alias="infinibandGUIDRequest")
    ip_request: list[str] = Field(default=[], alias="ipRequest")
    default_route: list[str] | None = Field(default=None, alias="default-route")
    filter_v4: bool = Field(default=False, alias="IsFilterV4Gateway")
    filter_v6: bool = Field(default=False, alias="IsFilterV6Gateway")
    device_id: str = Field(default="", alias="deviceID")
    resource_name: str = Field(default="", alias="resourceName")
    ours: _Ours | None = Field(default=None, alias="multusPy")


def encode(record: Record) -> bytes:
    """Return the content of the record's file."""
    return document.encode([_written(delegate, record) for delegate in record.delegates])


def decode(raw: bytes, attachment: Attachment) -> Record:
    """Return the record in a file's content; an error (code 6) if it cannot be one.

    In a record that Multus wrote the first delegate is the master and the others are named by
    their place in the list, as Multus does.
    """
    entries = document.decode(raw, "the record")
    if not isinstance(entries, list) or not entries:
        raise _broken(f"it holds {document.kind(entries)} instead of delegates")
    read = [decoded(_Entry, entry, code=Code.DECODING_FAILURE, hint=_HINT) for entry in entries]
    ours = next((entry.ours for entry in read if entry.ours), None)
    return Record(
        attachment=attachment,
        netns=ours.netns if ours else "",
        owner=ours.owner if ours else "",
        attempts=ours.attempts if ours else 0,
        refusals=ours.refusals if ours else 0,
        pending=ours.pending if ours else False,
        partial=ours.partial if ours else False,
        delegates=tuple(
            _delegate(entry, index, attachment.ifname) for index, entry in enumerate(read)
        ),
    )


@lru_cache(maxsize=64)
def requested_ifname(raw: bytes) -> str:
    """Return the CNI_IFNAME a record belongs to, or nothing if Multus wrote it or it is broken."""
    try:
        request = document.decode(raw, "the record")[0]["multusPy"]["request"]
    except (CniError, LookupError, TypeError):
        return ""
    return request if isinstance(request, str) else ""


# -- writing


def _written(delegate: Delegate, record: Record) -> JsonObject:
    requests, told = delegate.requests, delegate.cni_args
    config = delegate.network
    optional = {
        "ifnameRequest": requests.ifname,
        "macRequest": requests.mac,
        "infinibandGUIDRequest": requests.infiniband_guid,
        "ipRequest": list(requests.ips),
        "deviceID": delegate.device_id or requests.device_id,
        "resourceName": delegate.resource_name if delegate.device_id else "",
    }
    entry: JsonObject = {
        "Conf": _reduced(config.document if not config.chained else _head(config)),
        "ConfList": _reduced_list(config) if config.chained else {},
        "Name": delegate.name,
        **{key: value for key, value in optional.items() if value},
    }
    if requests.default_route is not None:
        entry["default-route"] = list(requests.default_route)
    entry["IsFilterV4Gateway"] = delegate.filter_v4
    entry["IsFilterV6Gateway"] = delegate.filter_v6
    entry["Bytes"] = base64.b64encode(document.encode(config.document)).decode()
    entry["multusPy"] = {
        "owner": record.owner,
        "netns": record.netns,
        "request": record.attachment.ifname,
        "ifname": delegate.ifname,
        "master": delegate.master,
        "attempts": record.attempts,
        "refusals": record.refusals,
        "begun": delegate.begun,
        "pending": record.pending,
        "partial": record.partial,
        "cniArgs": None if told is None else [list(pair) for pair in told],
        "capabilityArgs": delegate.capability_args,
        "displaced": [list(pair) for pair in delegate.displaced],
    }
    return entry


def _head(config: NetworkConfig) -> JsonObject:
    return {"cniVersion": config.version, "name": config.name}


def _reduced(config: Mapping[str, Any]) -> JsonObject:
    """Return the generic members of a plugin's configuration, which is what Multus decodes."""
    ipam = config.get("ipam")
    kind = ipam.get("type") if isinstance(ipam, dict) else None
    kept = {key: config[key] for key in ("cniVersion", "name", "type") if config.get(key)}
    if config.get("capabilities"):
        kept["capabilities"] = config["capabilities"]
    return kept | {"ipam": {"type": kind} if kind else {}}


def _reduced_list(config: NetworkConfig) -> JsonObject:
    switches = {"disableCheck": config.disable_check, "disableGC": config.disable_gc}
    return {
        **_head(config),
        **{key: True for key, value in switches.items() if value},
        "plugins": [_reduced(plugin) for plugin in config.plugins],
    }


# -- reading

_HINT = "the files in results/ of the same directory say what was attached"


def _delegate(entry: _Entry, index: int, request: str) -> Delegate:
    ours = entry.ours
    master = ours.master if ours else index == 0
    own_name = request if master else f"net{index}"
    return Delegate(
        name=entry.name,
        network=_network(entry.config),
        requests=Requests(
            ifname=entry.ifname_request,
            mac=entry.mac_request,
            infiniband_guid=entry.guid_request,
            ips=tuple(entry.ip_request),
            default_route=None if entry.default_route is None else tuple(entry.default_route),
        ),
        resource_name=entry.resource_name,
        device_id=entry.device_id,
        master=master,
        ifname=ours.ifname if ours else entry.ifname_request or own_name,
        filter_v4=entry.filter_v4,
        filter_v6=entry.filter_v6,
        cni_args=_pairs(ours.cni_args) if ours else None,
        capability_args=ours.capability_args if ours else None,
        begun=ours.begun if ours else None,
        displaced=(_pairs(ours.displaced) or ()) if ours else (),
    )


def _pairs(listed: list[Pair] | None) -> Pairs | None:
    return None if listed is None else tuple((key, value) for key, value in listed)


def _network(encoded: str) -> NetworkConfig:
    try:
        raw = base64.b64decode(encoded, validate=True)
        return network.parse(document.decode_object(raw, "it"))
    except ValueError as error:
        raise _broken("a configuration in it is not base64") from error
    except CniError as error:
        raise _broken(f"a configuration in it cannot be read: {error.cause}") from error


def _broken(cause: str) -> CniError:
    return CniError(Code.DECODING_FAILURE, cause, _HINT)
