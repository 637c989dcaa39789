"""Networks for pods to ask for, as the objects that define them."""

from __future__ import annotations

import json
from typing import Any

ASKED = "k8s.v1.cni.cncf.io/networks"
STATUS = "k8s.v1.cni.cncf.io/network-status"


def macvlan(name: str, subnet: str) -> dict[str, Any]:
    """Return a network on the node's own link, with addresses of one node."""
    config = {
        "cniVersion": "1.0.0",
        "type": "macvlan",
        "master": "eth0",
        "mode": "bridge",
        "ipam": {"type": "host-local", "subnet": subnet},
    }
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name},
        "spec": {"config": json.dumps(config)},
    }
