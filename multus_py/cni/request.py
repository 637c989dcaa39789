"""One request of a container runtime, parsed once from environment and standard input.

Specification: "Section 2: Execution Protocol". Everything behind this module works on the frozen
:class:`Request`; nothing else looks at the environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from multus_py.cni import document, names, version
from multus_py.cni.errors import CniError, Code, clip

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multus_py.cni.document import JsonObject

COMMANDS = ("ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION")

REQUIRED = {
    "CNI_CONTAINERID": ("ADD", "DEL", "CHECK"),
    "CNI_NETNS": ("ADD", "CHECK"),
    "CNI_IFNAME": ("ADD", "DEL", "CHECK"),
    "CNI_PATH": ("ADD", "DEL", "CHECK", "GC", "STATUS"),
}
"""Which command needs which variable; ``CNI_COMMAND`` itself is needed always."""

_TOLD = 64
"""Characters of a name that a message shows."""

_TEXTS = ("CNI_COMMAND", *REQUIRED, "CNI_ARGS")


@dataclass(frozen=True, slots=True)
class Attachment:
    """What the specification identifies an attachment by, within one network."""

    container_id: str
    ifname: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A parsed request. Texts are empty where the runtime gave none."""

    command: str
    container_id: str = ""
    netns: str = ""
    ifname: str = ""
    args: str = ""
    path: tuple[str, ...] = ()
    own_netns_allowed: bool = False
    """``CNI_NETNS_OVERRIDE``: CNI_NETNS may be the namespace that plugins run in."""
    config: JsonObject
    """The network configuration from standard input; empty for VERSION."""

    @property
    def attachment(self) -> Attachment:
        """The attachment that the runtime speaks of."""
        return Attachment(self.container_id, self.ifname)

    @property
    def cni_version(self) -> str:
        """The version of the specification that the answer is given in."""
        return str(self.config.get("cniVersion") or version.UNNAMED)


def parse(environ: Mapping[str, str], stdin: bytes) -> Request:
    """Return the request that ``environ`` and ``stdin`` make up.

    Raises errors with the codes 1, 4, 6 and 7 as the specification sets them.
    """
    command = environ.get("CNI_COMMAND", "")
    _check_environment(command, environ)
    return Request(
        command=command,
        container_id=environ.get("CNI_CONTAINERID", ""),
        netns=environ.get("CNI_NETNS", ""),
        ifname=environ.get("CNI_IFNAME", ""),
        args=environ.get("CNI_ARGS", ""),
        path=tuple(part for part in environ.get("CNI_PATH", "").split(":") if part),
        own_netns_allowed=environ.get("CNI_NETNS_OVERRIDE", "").lower() in {"1", "true"},
        config={} if command == "VERSION" else _config(command, stdin),
    )


def _check_environment(command: str, environ: Mapping[str, str]) -> None:
    for variable in _TEXTS:
        if not environ.get(variable, "").isprintable():
            raise _invalid(f"{variable} contains characters that cannot be printed")
    if command and command not in COMMANDS:
        raise _invalid(f"unknown CNI_COMMAND {command!r}", f"use one of {', '.join(COMMANDS)}")
    missing = ["CNI_COMMAND"] if not command else []
    for variable, commands in REQUIRED.items():
        if command not in commands:
            continue
        value = environ.get(variable, "")
        if not value:
            missing.append(variable)
        else:
            _check_value(variable, value)
    if missing:
        raise _invalid(
            f"required environment variables {', '.join(missing)} missing",
            "a container runtime sets them; people use cnitool or multus-py try",
        )


def _check_value(variable: str, value: str) -> None:
    if variable == "CNI_CONTAINERID" and (fault := names.identifier_fault(value)):
        raise _invalid(f"CNI_CONTAINERID {clip(repr(value), _TOLD)} is no container ID: {fault}")
    if variable == "CNI_IFNAME" and (fault := names.interface_name_fault(value)):
        raise _invalid(f"CNI_IFNAME: {fault}")


def _config(command: str, stdin: bytes) -> JsonObject:
    """Return the configuration, checked as far as the specification asks a plugin to."""
    config = document.decode_object(stdin, "the network configuration on standard input")
    cni_version = config.get("cniVersion")
    if not isinstance(cni_version, str | None):
        raise CniError(
            Code.DECODING_FAILURE, f"cniVersion is {document.kind(cni_version)}, not a text"
        )
    name = config.get("name")
    if not isinstance(name, str) or not name:
        raise CniError(
            Code.INVALID_CONFIGURATION,
            "the network configuration has no name",
            "add a text with the key name",
        )
    if fault := names.identifier_fault(name):
        raise CniError(
            Code.INVALID_CONFIGURATION,
            f"network name {clip(repr(name), _TOLD)} is invalid: {fault}",
            "rename the network",
        )
    version.negotiated(cni_version or "", command)
    return config


def _invalid(cause: str, hint: str = "") -> CniError:
    return CniError(Code.INVALID_ENVIRONMENT, cause, hint)
