"""Devices of pods, asked of the kubelet: over its pod-resources socket, or from its checkpoint."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code
from multus_py.models import checkpoint

if TYPE_CHECKING:
    from multus_py.adapters.podresources_pb2 import PodResources
    from multus_py.models.device import Devices
    from multus_py.models.objects import Pod

_METHOD = "/v1.PodResourcesLister/List"
_SECONDS = 10
_MESSAGE_LIMIT = 16 * 1024 * 1024

_HINT = "see whether the kubelet runs on this node, and whether its directory can be read"


@dataclass(frozen=True, slots=True)
class Kubelet:
    """The kubelet of this node, by the directory that it keeps its state in."""

    directory: str = "/var/lib/kubelet"

    @property
    def _socket(self) -> str:
        return os.path.join(self.directory, "pod-resources/kubelet.sock")

    @property
    def _checkpoint(self) -> str:
        return os.path.join(self.directory, "device-plugins/kubelet_internal_checkpoint")

    def devices(self, pod: Pod) -> Devices:
        """Return the device IDs that the kubelet allocated to a pod, by resource.

        Devices of resource claims (DRA) are listed by the name of the claim.
        """
        if not os.path.exists(self._socket):
            return _from_checkpoint(self._checkpoint, pod)
        try:
            return _from_socket(self._socket, pod)
        except CniError:
            if not os.path.exists(self._checkpoint):
                raise
            return _from_checkpoint(self._checkpoint, pod)


def _from_checkpoint(path: str, pod: Pod) -> Devices:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise CniError(
            Code.DEVICE, f"cannot read the kubelet's checkpoint {path}: {error.strerror}", _HINT
        ) from error
    return checkpoint.devices(content, pod.uid)


def _from_socket(path: str, pod: Pod) -> Devices:
    import grpc  # a tenth of a second, for pods with devices only

    from multus_py.adapters import podresources_pb2 as podresources

    options = [("grpc.max_receive_message_length", _MESSAGE_LIMIT)]
    with grpc.insecure_channel(f"unix://{path}", options=options) as channel:
        ask = channel.unary_unary(
            _METHOD,
            request_serializer=podresources.ListPodResourcesRequest.SerializeToString,
            response_deserializer=podresources.ListPodResourcesResponse.FromString,
        )
        try:
            answer = ask(podresources.ListPodResourcesRequest(), timeout=_SECONDS)
        except grpc.RpcError as error:
            told = getattr(error, "details", None)  # what is raised is a Call as well
            reason = told() if told else error
            raise CniError(
                Code.DEVICE, f"the kubelet does not answer on {path}: {reason}", _HINT
            ) from error
    found: Devices = {}
    for entry in answer.pod_resources:
        if (entry.namespace, entry.name) == (pod.ref.namespace, pod.ref.name):
            _collect(entry, found)
    return {resource: sorted(ids) for resource, ids in found.items()}


def _collect(entry: PodResources, found: Devices) -> None:
    """Add the devices of all containers of a pod, and those of their claims."""
    for container in entry.containers:
        for allocated in container.devices:
            found.setdefault(allocated.resource_name, []).extend(allocated.device_ids)
        for claim in container.dynamic_resources:
            for resource in claim.claim_resources:
                for cdi in resource.cdi_devices:
                    # vendor.com/class=device (Container Device Interface, "CDI device names")
                    _, separator, name = cdi.name.partition("=")
                    if separator and "=" not in name:
                        found.setdefault(claim.claim_name, []).append(name)
