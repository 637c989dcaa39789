"""Network selection elements: how a pod's annotation asks for networks.

Source: the Network Plumbing Working Group's "Multi-Network Specification" 1.3, section 4, and
Multus's additions to it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from multus_py.cni import document, names
from multus_py.cni.errors import CniError, Code, located
from multus_py.models.decoding import Decoded, decoded
from multus_py.models.objects import ObjectRef
from multus_py.models.requests import (
    Bandwidth,
    PortMapping,
    Requests,
    hardware_address,
    interface_name,
    ip_address,
    ip_or_cidr,
)

if TYPE_CHECKING:
    from multus_py.cni.document import JsonObject

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_JSON_SIGNS = frozenset('[{"')
ELEMENTS_LIMIT = 100
"""In one annotation. Each is looked up and run, one after the other, in the time of one request."""

_HINT = "correct the pod's annotation (docs/annotations.md)"


class NetworkSelectionElement(Decoded):
    """One network that a pod asks for, with everything that it wants to be different there."""

    name: str = ""
    namespace: str = ""
    interface: Annotated[str, AfterValidator(interface_name)] = ""
    interface_request: Annotated[str, AfterValidator(interface_name)] = Field(
        default="", alias="interfaceRequest"
    )
    """The name of ``interface`` before Multus 3.2."""
    ips: list[Annotated[str, AfterValidator(ip_or_cidr)]] = []
    mac: Annotated[str, AfterValidator(hardware_address)] = ""
    infiniband_guid: Annotated[str, AfterValidator(hardware_address)] = Field(
        default="", alias="infiniband-guid"
    )
    port_mappings: list[PortMapping] = Field(default=[], alias="portMappings")
    bandwidth: Bandwidth | None = None
    cni_args: dict[str, object] | None = Field(default=None, alias="cni-args")
    default_route: list[Annotated[str, AfterValidator(ip_address)]] | None = Field(
        default=None, alias="default-route"
    )
    device_id: str = Field(default="", alias="deviceID")

    def ref(self, default_namespace: str) -> ObjectRef:
        """Return what the definition is called."""
        return ObjectRef(self.namespace or default_namespace, self.name)

    def requests(self) -> Requests:
        """Return what is asked for beyond the network itself."""
        return Requests(
            ifname=self.interface or self.interface_request,
            mac=self.mac,
            infiniband_guid=self.infiniband_guid,
            ips=tuple(self.ips),
            port_mappings=tuple(mapping.document() for mapping in self.port_mappings),
            bandwidth=self.bandwidth.document() if self.bandwidth else None,
            cni_args=self.cni_args,
            default_route=None if self.default_route is None else tuple(self.default_route),
            device_id=self.device_id,
        )


def parse(annotation: str, default_namespace: str) -> list[NetworkSelectionElement]:
    """Return the elements of an annotation: a JSON list, or names separated by commas.

    ``default_namespace`` only serves the error message for an element without a name.
    """
    is_json = bool(_JSON_SIGNS & set(annotation))
    elements = _from_json(annotation) if is_json else _from_text(annotation)
    for number, element in enumerate(elements, 1):
        if not element.name:
            namespace = element.namespace or default_namespace
            raise _invalid(f"element {number} names no network (namespace {namespace})")
    return elements


def _from_json(annotation: str) -> list[NetworkSelectionElement]:
    value = document.decode(annotation, "the annotation")
    if not isinstance(value, list):
        raise _invalid(f"it is {document.kind(value)}, not a list: write [{{...}}]")
    _check_number(len(value))
    elements = []
    for number, item in enumerate(value, 1):
        with located(f"element {number}"):
            if not isinstance(item, dict):
                raise _invalid(f"it is {document.kind(item)}, not an object")
            elements.append(
                decoded(NetworkSelectionElement, item, code=Code.ANNOTATION, hint=_HINT)
            )
    return elements


def _from_text(annotation: str) -> list[NetworkSelectionElement]:
    items = annotation.split(",") if annotation else []
    _check_number(len(items))
    return [_from_item(item.strip()) for item in items]


def _check_number(elements: int) -> None:
    if elements > ELEMENTS_LIMIT:
        raise _invalid(f"it has {elements} elements (at most {ELEMENTS_LIMIT})")


def _from_item(item: str) -> NetworkSelectionElement:
    """Read ``[namespace/]name[@interface]``."""
    *namespace, rest = [part.strip() for part in item.split("/")]
    name, *interface = [part.strip() for part in rest.split("@")]
    if len(namespace) > 1:
        raise _invalid(f"{item!r} has more than one /")
    if len(interface) > 1:
        raise _invalid(f"{item!r} has more than one @")
    for part in (*namespace, name):
        if part and not _LABEL.fullmatch(part):
            raise _invalid(f"{part!r} has other characters than lower-case letters, digits and -")
    fields: JsonObject = {"name": name, "namespace": "".join(namespace)}
    fields["interface"] = "".join(interface)
    if fields["interface"] and (fault := names.interface_name_fault(fields["interface"])):
        raise _invalid(fault)
    return NetworkSelectionElement.model_validate(fields)


def _invalid(cause: str) -> CniError:
    return CniError(Code.ANNOTATION, cause, _HINT)
