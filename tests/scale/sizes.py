"""How large what goes over the wire is: objects as clusters have them, serialised.

All are counted as JSON. Multus reads pods as protobuf, which is smaller; definitions as JSON.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from multus_py.adapters.apiserver import event_object
from multus_py.core.ports import Event
from multus_py.models import netstatus
from multus_py.models.netstatus import NetworkStatus
from multus_py.models.objects import NETWORK_STATUS, NETWORKS, ObjectRef, Pod
from tests.kubeobjects import Objects, collection

_NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_TIME = "2026-01-01T00:00:00Z"
_UID = "6f1f0a5e-8c1f-4a52-9d0e-0d8b7b6f2a11"
_REF = ObjectRef("production", "checkout-7c9d8f6b5d-x2x7q")


def _result(ifname: str, address: str) -> dict[str, Any]:
    link = {"name": ifname, "mac": "0a:58:0a:f4:01:05", "sandbox": "/run/netns/pod", "mtu": 1500}
    return {"interfaces": [link], "ips": [{"address": address, "interface": 0}]}


STATUS = netstatus.annotation(
    [
        NetworkStatus("cbr0", _result("eth0", "10.244.1.5/24"), default=True),
        NetworkStatus("production/storage", _result("net1", "192.168.10.5/24")),
        NetworkStatus("production/media", _result("net2", "192.168.20.5/24")),
    ]
)
_POD = Pod(_REF, _UID, {})
_EVENT = event_object(
    _POD,
    Event("Normal", "AddedInterface", "Add net1 [192.168.10.5/24] from production/storage"),
    first=_NOW,
    last=_NOW,
)


def _fields(names: str) -> dict[str, Any]:
    """Return an entry of managedFields, which has an empty object for each field."""
    return {f"f:{name}": {f"f:{part}": {} for part in names.split()} for name in names.split()}


def _managed(manager: str, names: str) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "v1",
        "time": _TIME,
        "fieldsType": "FieldsV1",
        "fieldsV1": _fields(names),
    }


def _container(name: str) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10}
    settings = [{"name": f"{name.upper()}_SETTING_{n}", "value": "x" * 40} for n in range(12)]
    mounts = [{"name": f"volume-{n}", "mountPath": f"/var/lib/{name}/{n}"} for n in range(4)]
    return {
        "name": name,
        "image": f"registry.example.com/production/{name}:v1.42.7",
        "args": [f"--option-{n}=value" for n in range(6)],
        "env": settings,
        "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "250m"}},
        "volumeMounts": mounts,
        "livenessProbe": probe,
        "readinessProbe": probe,
        "terminationMessagePath": "/dev/termination-log",
        "imagePullPolicy": "IfNotPresent",
    }


def _container_status(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "state": {"running": {"startedAt": _TIME}},
        "ready": True,
        "restartCount": 0,
        "image": f"registry.example.com/production/{name}:v1.42.7",
        "imageID": f"registry.example.com/production/{name}@sha256:{'a' * 64}",
        "containerID": f"containerd://{'b' * 64}",
    }


def _pod(objects: Objects) -> dict[str, Any]:
    """Return a pod with two containers that asks for two networks and has them."""
    kinds = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    path = objects.add(
        "Pod",
        _REF.name,
        namespace=_REF.namespace,
        uid=_UID,
        annotations={NETWORKS: "storage,media", NETWORK_STATUS: STATUS},
        spec={
            "nodeName": "node-0001",
            "containers": [_container("checkout"), _container("proxy")],
            "volumes": [{"name": f"volume-{n}", "emptyDir": {}} for n in range(4)],
            "serviceAccountName": "checkout",
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}] * 2,
        },
        status={
            "phase": "Running",
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": _TIME} for kind in kinds
            ],
            "podIPs": [{"ip": "10.244.1.5"}],
            "containerStatuses": [_container_status("checkout"), _container_status("proxy")],
        },
    )
    labels = {f"app.kubernetes.io/{key}": "checkout" for key in ("name", "instance", "part-of")}
    managed = [
        _managed("kube-controller-manager", "containers volumes restartPolicy metadata spec"),
        _managed("kubelet", "conditions containerStatuses hostIPs phase podIPs startTime"),
        _managed("multus", "annotations"),
    ]
    objects.change(
        path, metadata={"labels": labels, "managedFields": managed, "creationTimestamp": _TIME}
    )
    return objects.objects[path]


def _definition(objects: Objects) -> dict[str, Any]:
    config = {
        "cniVersion": "1.0.0",
        "name": "storage",
        "type": "macvlan",
        "master": "eth1",
        "mode": "bridge",
        "ipam": {"type": "whereabouts", "range": "192.168.10.0/24", "exclude": []},
    }
    path = objects.add(
        "NetworkAttachmentDefinition",
        "storage",
        namespace="production",
        uid=_UID,
        annotations={"k8s.v1.cni.cncf.io/resourceName": "example.com/nic"},
        spec={"config": json.dumps(config, indent=2)},
    )
    assert path.startswith(collection("NetworkAttachmentDefinition", "production"))
    objects.change(path, metadata={"managedFields": [_managed("kubectl", "metadata spec")]})
    return objects.objects[path]


def _bytes(value: object) -> int:
    return len(json.dumps(value, separators=(",", ":")))


def _bookmark() -> dict[str, Any]:
    version = {"resourceVersion": "1234567890", "creationTimestamp": None}
    kind = {"kind": "Pod", "apiVersion": "v1", "metadata": version}
    return {"type": "BOOKMARK", "object": {**kind, "spec": {"containers": None}, "status": {}}}


_OBJECTS = Objects()
_WHOLE = _pod(_OBJECTS)

POD = _bytes(_WHOLE)
DEFINITION = _bytes(_definition(_OBJECTS))
EVENT = _bytes(_EVENT)
PATCH = _bytes({"metadata": {"uid": _UID, "annotations": {NETWORK_STATUS: STATUS}}})
BOOKMARK = _bytes(_bookmark())
ENVELOPE = _bytes({"type": "MODIFIED", "object": {}})
"""What a watch puts around an object."""
