"""What callers of Multus's HTTP API send: what a plugin gets, environment and standard input."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from multus_py.cni import document
from multus_py.cni.errors import CniError, Code
from multus_py.models.decoding import Decoded, decoded
from multus_py.models.requests import Requests, hardware_address, ip_address, ip_or_cidr

if TYPE_CHECKING:
    from collections.abc import Mapping

_HINT = "see what the API of Multus's daemon expects (docs/hot-attach.md)"


class InterfaceAttributes(Decoded):
    """What is asked for beyond the network. ``default-route`` is ours."""

    ips: list[Annotated[str, AfterValidator(ip_or_cidr)]] = []
    mac: Annotated[str, AfterValidator(hardware_address)] = ""
    cni_args: dict[str, object] | None = Field(default=None, alias="cni-args")
    default_route: list[Annotated[str, AfterValidator(ip_address)]] | None = Field(
        default=None, alias="default-route"
    )

    def requests(self) -> Requests:
        """Return what is asked for."""
        return Requests(
            ips=tuple(self.ips),
            mac=self.mac,
            cni_args=self.cni_args,
            default_route=None if self.default_route is None else tuple(self.default_route),
        )


class _Body(Decoded):
    env: dict[str, str] = {}
    config: str = ""
    interface_attributes: InterfaceAttributes = Field(
        default=InterfaceAttributes(), alias="interfaceAttributes"
    )


@dataclass(frozen=True, slots=True)
class Call:
    """One call."""

    environment: Mapping[str, str]
    stdin: bytes
    requests: Requests


def parse(raw: bytes) -> Call:
    """Return the call in a body; errors (codes 4 and 6) say what is wrong with it."""
    value = document.decode_object(raw, "the request's body")
    body = decoded(_Body, value, code=Code.INVALID_ENVIRONMENT, hint=_HINT)
    try:
        stdin = base64.b64decode("".join(body.config.split()), validate=True)
    except ValueError as error:
        raise CniError(Code.DECODING_FAILURE, "config is not base64", _HINT) from error
    return Call(body.env, stdin, body.interface_attributes.requests())
