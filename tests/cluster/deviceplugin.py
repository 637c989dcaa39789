"""A device plugin: hands out the links of a node as devices, as the kubelet's API has it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc

from tests.cluster.deviceplugin_pb2 import (
    AllocateRequest,
    AllocateResponse,
    ContainerAllocateResponse,
    Device,
    DevicePluginOptions,
    Empty,
    ListAndWatchResponse,
    RegisterRequest,
)
from tests.cluster.methods import unary
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.cluster.cluster import Cluster
    from tests.cluster.node import Node

_DIRECTORY = "var/lib/kubelet/device-plugins"
_SECONDS = 10


class DevicePlugin:
    """Devices of one resource."""

    def __init__(self, resource: str, devices: Sequence[str]) -> None:
        self.resource = resource
        self.devices = devices
        self.allocated: list[list[str]] = []
        """What the containers got, in the order in which the kubelet asked."""
        self._ending = threading.Event()

    @contextmanager
    def serving(self, cluster: Cluster, node: Node) -> Iterator[DevicePlugin]:
        """Serve until the end, from when pods can be scheduled to the devices."""
        directory = node.root / _DIRECTORY
        endpoint = f"{self.resource.replace('/', '-')}.sock"
        with ThreadPoolExecutor() as executor:
            server = grpc.server(executor)
            server.add_generic_rpc_handlers((self._service(),))
            server.add_insecure_port(f"unix://{directory / endpoint}")
            server.start()
            try:
                self._register(f"unix://{directory / 'kubelet.sock'}", endpoint)
                until(lambda: self._offered(cluster, node), f"{self.resource} to be offered")
                yield self
            finally:
                self._ending.set()
                server.stop(None).wait()

    def _register(self, kubelet: str, endpoint: str) -> None:
        asked = RegisterRequest(version="v1beta1", endpoint=endpoint, resource_name=self.resource)
        with grpc.insecure_channel(kubelet) as channel:
            register = channel.unary_unary(
                "/v1beta1.Registration/Register",
                request_serializer=RegisterRequest.SerializeToString,
                response_deserializer=Empty.FromString,
            )
            register(asked, timeout=_SECONDS)

    def _offered(self, cluster: Cluster, node: Node) -> bool:
        status = cluster.kubectl_json("get", "node", node.name)["status"]
        return bool(status["allocatable"].get(self.resource) == str(len(self.devices)))

    def _service(self) -> grpc.GenericRpcHandler:
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "GetDevicePluginOptions": unary(_options, Empty, DevicePluginOptions),
            "Allocate": unary(self._allocate, AllocateRequest, AllocateResponse),
            "ListAndWatch": grpc.unary_stream_rpc_method_handler(
                self._list,
                request_deserializer=Empty.FromString,
                response_serializer=ListAndWatchResponse.SerializeToString,
            ),
        }
        return grpc.method_handlers_generic_handler("v1beta1.DevicePlugin", methods)

    def _list(self, request: Empty, context: Any) -> Iterator[ListAndWatchResponse]:
        listed = [Device(ID=device, health="Healthy") for device in self.devices]
        yield ListAndWatchResponse(devices=listed)
        self._ending.wait()

    def _allocate(self, request: AllocateRequest, context: Any) -> AllocateResponse:
        for one in request.container_requests:
            self.allocated.append(sorted(one.devices_ids))
        made = [ContainerAllocateResponse() for _ in request.container_requests]
        return AllocateResponse(container_responses=made)


def _options(request: Empty, context: Any) -> DevicePluginOptions:
    return DevicePluginOptions()
