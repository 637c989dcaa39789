"""The kubelet's pod-resources API on a real socket, and its checkpoint of devices."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc

from multus_py.adapters.podresources_pb2 import (
    CDIDevice,
    ClaimResource,
    ContainerDevices,
    ContainerResources,
    DynamicResource,
    ListPodResourcesRequest,
    ListPodResourcesResponse,
    PodResources,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def pod(*containers: ContainerResources, name: str, namespace: str = "default") -> PodResources:
    """Return what the kubelet says of one pod."""
    return PodResources(name=name, namespace=namespace, containers=containers)


def container(
    devices: dict[str, list[str]] | None = None, *, claims: dict[str, list[str]] | None = None
) -> ContainerResources:
    """Return a container: device IDs by resource, and CDI device names by claim."""
    return ContainerResources(
        devices=[
            ContainerDevices(resource_name=resource, device_ids=ids)
            for resource, ids in (devices or {}).items()
        ],
        dynamic_resources=[
            DynamicResource(
                claim_name=claim,
                claim_resources=[ClaimResource(cdi_devices=[CDIDevice(name=cdi)]) for cdi in names],
            )
            for claim, names in (claims or {}).items()
        ],
    )


@contextmanager
def serving(directory: Path, pods: Sequence[PodResources]) -> Iterator[None]:
    """Answer on the socket below the kubelet's directory."""
    socket = directory / "pod-resources/kubelet.sock"
    socket.parent.mkdir(exist_ok=True)

    def answer(request: Any, context: Any) -> ListPodResourcesResponse:
        return ListPodResourcesResponse(pod_resources=pods)

    method = grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=ListPodResourcesRequest.FromString,
        response_serializer=ListPodResourcesResponse.SerializeToString,
    )
    with ThreadPoolExecutor() as executor:
        server = grpc.server(executor)
        service = grpc.method_handlers_generic_handler("v1.PodResourcesLister", {"List": method})
        server.add_generic_rpc_handlers((service,))
        server.add_insecure_port(f"unix://{socket}")
        server.start()
        try:
            yield
        finally:
            server.stop(None).wait()


def write_checkpoint(directory: Path, *entries: Any) -> None:
    """Write the checkpoint below the kubelet's directory; the checksum is nobody's business."""
    path = directory / "device-plugins/kubelet_internal_checkpoint"
    path.parent.mkdir(exist_ok=True)
    data = {"PodDeviceEntries": entries, "RegisteredDevices": {}}
    path.write_text(json.dumps({"Data": data, "Checksum": 1}))
