"""The CNI library's cache of results, one file per attached network (libcni's ``cniCacheV1``).

Together with the record these files say what is attached on a node. They alone are enough to
release it, which is what happens when a record got lost.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from multus_py.cni import document, network, result
from multus_py.cni.errors import CniError, Code
from multus_py.models.decoding import Decoded, decoded

if TYPE_CHECKING:
    from multus_py.cni.arguments import Pairs
    from multus_py.cni.document import JsonObject
    from multus_py.cni.network import NetworkConfig
    from multus_py.cni.result import Result

_KIND = "cniCacheV1"
_HINT = "a DEL goes on without it"

FILE_NAME_LIMIT = 250
"""Bytes; those of a name on Linux (255) less what the name of the file has while it is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedResult:
    """What the plugins of one network answered, and how they were asked."""

    container_id: str
    ifname: str
    network_name: str
    netns: str = ""
    config: NetworkConfig | None = None
    """None if the file was written by something older than libcni 0.8 or cannot be read."""
    cni_args: Pairs = ()
    capability_args: JsonObject | None = None
    result: Result


Pair = Annotated[list[str], Field(min_length=2, max_length=2)]


class _File(Decoded):
    container_id: str = Field(alias="containerId")
    ifname: str = Field(alias="ifName")
    network_name: str = Field(alias="networkName")
    netns: str = ""
    config: str = ""
    cni_args: list[Pair] = Field(default=[], alias="cniArgs")
    capability_args: dict[str, Any] | None = Field(default=None, alias="capabilityArgs")
    result: dict[str, Any]


def file_name(container_id: str, ifname: str, network_name: str) -> str:
    """Return the name of the file, which may be none that a file can have."""
    return f"{network_name}-{container_id}-{ifname}"


def file_name_fault(name: str) -> str:
    """Return why a file cannot be written under this name, nothing if it can."""
    if {"/", "\0"} & set(name):
        return "is not the name of a file"
    size = len(name.encode(errors="surrogatepass"))
    return f"has {size} bytes (at most {FILE_NAME_LIMIT})" if size > FILE_NAME_LIMIT else ""


def encode(cached: CachedResult) -> bytes:
    """Return the content of the file."""
    config = document.encode(cached.config.written) if cached.config else b""
    value: JsonObject = {
        "kind": _KIND,
        "containerId": cached.container_id,
        "config": base64.b64encode(config).decode(),
        "ifName": cached.ifname,
        "networkName": cached.network_name,
        "netns": cached.netns,
        "cniArgs": [list(pair) for pair in cached.cni_args],
    }
    if cached.capability_args:
        value["capabilityArgs"] = cached.capability_args
    return document.encode(value | {"result": cached.result.document})


def decode(raw: bytes) -> CachedResult:
    """Return what a file of the cache says; an error (code 6) if it cannot be read.

    Files from before libcni 0.8 hold a bare result; of those only ``result`` is set.
    """
    value = document.decode_object(raw, "the cached result")
    if value.get("kind") != _KIND:
        return CachedResult(container_id="", ifname="", network_name="", result=_result(value))
    file = decoded(_File, value, code=Code.DECODING_FAILURE, hint=_HINT)
    return CachedResult(
        container_id=file.container_id,
        ifname=file.ifname,
        network_name=file.network_name,
        netns=file.netns,
        config=_config(file.config),
        cni_args=tuple((key, text) for key, text in file.cni_args),
        capability_args=file.capability_args,
        result=_result(file.result),
    )


def _result(value: JsonObject) -> Result:
    try:
        return result.checked(value, "")
    except CniError as error:
        raise CniError(Code.DECODING_FAILURE, error.cause, _HINT) from error


def _config(encoded: str) -> NetworkConfig | None:
    try:
        raw = base64.b64decode(encoded, validate=True)
        return network.parse(document.decode_object(raw, "the cached configuration"))
    except (ValueError, CniError):
        return None
