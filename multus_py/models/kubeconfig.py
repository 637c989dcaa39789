"""The kubeconfigs that we write: one cluster, one user."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multus_py.cni.document import JsonObject


def encode(cluster: JsonObject, user: JsonObject, *, name: str = "default") -> bytes:
    """Return a kubeconfig; what is in it is called after ``name`` as Multus does."""
    context = {"cluster": f"{name}-cluster", "user": f"{name}-auth", "namespace": "default"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context["cluster"], "cluster": cluster}],
        "users": [{"name": context["user"], "user": user}],
        "contexts": [{"name": f"{name}-context", "context": context}],
        "current-context": f"{name}-context",
    }
    return json.dumps(config, indent=2).encode() + b"\n"
