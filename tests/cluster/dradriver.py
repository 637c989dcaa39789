"""A driver for resource claims: hands out the links of a node, as the kubelet's API has it."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc

from tests.cluster.dradriver_pb2 import (
    Claim,
    Device,
    InfoRequest,
    NodePrepareResourceResponse,
    NodePrepareResourcesRequest,
    NodePrepareResourcesResponse,
    NodeUnprepareResourceResponse,
    NodeUnprepareResourcesRequest,
    NodeUnprepareResourcesResponse,
    PluginInfo,
    RegistrationStatus,
    RegistrationStatusResponse,
)
from tests.cluster.methods import unary
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.cluster.cluster import Cluster
    from tests.cluster.node import Node

NAME = "links.example.com"
"""Of the driver, and of the class of its devices."""

_KIND = "example.com/link"
_CDI = "run/cdi/example.com-link.json"
_KUBELET = "var/lib/kubelet"
_ENDPOINT = f"{_KUBELET}/plugins/{NAME}/dra.sock"
_REGISTRY = f"{_KUBELET}/plugins_registry/{NAME}.sock"


class Driver:
    """Devices of one node."""

    def __init__(self, cluster: Cluster, node: Node, devices: Sequence[str]) -> None:
        self._cluster = cluster
        self._node = node
        self._devices = devices
        self._registered = threading.Event()

    @contextmanager
    def serving(self) -> Iterator[Driver]:
        """Serve until the end, from when claims can be allocated."""
        root = self._node.root
        for place, text in ((_CDI, json.dumps(self._described())), (_ENDPOINT, "")):
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            if text:
                (root / place).write_text(text)
        objects = [self._class(), self._slice()]
        with ThreadPoolExecutor() as executor:
            server = grpc.server(executor)
            server.add_generic_rpc_handlers((self._registration(), self._service()))
            for place in (_ENDPOINT, _REGISTRY):
                server.add_insecure_port(f"unix://{root / place}")
            server.start()
            try:
                until(self._registered.is_set, f"{NAME} to be registered")
                self._cluster.kubectl.apply(*objects)
                yield self
            finally:
                server.stop(None).wait()
                for one in objects:
                    name = f"{one['kind'].lower()}/{one['metadata']['name']}"
                    self._cluster.kubectl("delete", "--ignore-not-found", name)

    def _registration(self) -> grpc.GenericRpcHandler:
        methods = {
            "GetInfo": unary(_info, InfoRequest, PluginInfo),
            "NotifyRegistrationStatus": unary(
                self._note, RegistrationStatus, RegistrationStatusResponse
            ),
        }
        return grpc.method_handlers_generic_handler("pluginregistration.Registration", methods)

    def _service(self) -> grpc.GenericRpcHandler:
        methods = {
            "NodePrepareResources": unary(
                self._prepare, NodePrepareResourcesRequest, NodePrepareResourcesResponse
            ),
            "NodeUnprepareResources": unary(
                _unprepare, NodeUnprepareResourcesRequest, NodeUnprepareResourcesResponse
            ),
        }
        service = "k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin"
        return grpc.method_handlers_generic_handler(service, methods)

    def _note(self, request: RegistrationStatus, context: Any) -> RegistrationStatusResponse:
        if request.plugin_registered:
            self._registered.set()
        return RegistrationStatusResponse()

    def _prepare(
        self, request: NodePrepareResourcesRequest, context: Any
    ) -> NodePrepareResourcesResponse:
        prepared = {
            claim.uid: NodePrepareResourceResponse(devices=self._of(claim))
            for claim in request.claims
        }
        return NodePrepareResourcesResponse(claims=prepared)

    def _of(self, claim: Claim) -> list[Device]:
        """Return the devices that the scheduler has chosen for a claim."""
        asking = (f"--namespace={claim.namespace}", "get", "resourceclaim", claim.name)
        status = self._cluster.kubectl_json(*asking)["status"]
        return [
            Device(
                request_names=[one["request"]],
                pool_name=one["pool"],
                device_name=one["device"],
                cdi_device_ids=[f"{_KIND}={one['device']}"],
            )
            for one in status["allocation"]["devices"]["results"]
        ]

    def _described(self) -> dict[str, Any]:
        """Return what the container runtime is told of the devices."""
        edits = {device: {"env": [f"LINK={device}"]} for device in self._devices}
        devices = [{"name": name, "containerEdits": edit} for name, edit in edits.items()]
        return {"cdiVersion": "0.6.0", "kind": _KIND, "devices": devices}

    def _slice(self) -> dict[str, Any]:
        return {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": f"{self._node.name}-{NAME}"},
            "spec": {
                "driver": NAME,
                "nodeName": self._node.name,
                "pool": {"name": self._node.name, "generation": 1, "resourceSliceCount": 1},
                "devices": [{"name": device} for device in self._devices],
            },
        }

    @staticmethod
    def _class() -> dict[str, Any]:
        chosen = {"cel": {"expression": f'device.driver == "{NAME}"'}}
        return {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceClass",
            "metadata": {"name": NAME},
            "spec": {"selectors": [chosen]},
        }


def _info(request: InfoRequest, context: Any) -> PluginInfo:
    return PluginInfo(
        type="DRAPlugin",
        name=NAME,
        endpoint=f"/{_ENDPOINT}",
        supported_versions=["v1.DRAPlugin"],
    )


def _unprepare(
    request: NodeUnprepareResourcesRequest, context: Any
) -> NodeUnprepareResourcesResponse:
    done = {claim.uid: NodeUnprepareResourceResponse() for claim in request.claims}
    return NodeUnprepareResourcesResponse(claims=done)
