"""Objects that are in a cluster for a while."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.cluster.pods import wait_running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.cluster import Cluster


@contextmanager
def created(cluster: Cluster, path: Path) -> Iterator[None]:
    """Have what a file describes; workloads go with their pods."""
    try:
        cluster.kubectl("create", f"--filename={path}")
        yield
    finally:
        deletion = ("delete", f"--filename={path}", "--grace-period=1", "--cascade=foreground")
        cluster.kubectl(*deletion, "--ignore-not-found")


@contextmanager
def defined(cluster: Cluster, *objects: dict[str, Any]) -> Iterator[None]:
    """Have objects."""
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    try:
        cluster.kubectl("create", "--filename=-", stdin=listed)
        yield
    finally:
        cluster.kubectl("delete", "--filename=-", "--ignore-not-found", stdin=listed)


@contextmanager
def running(cluster: Cluster, *objects: dict[str, Any]) -> Iterator[None]:
    """Have objects, whose pods run."""
    with defined(cluster, *objects):
        pods = [one["metadata"]["name"] for one in objects if one["kind"] == "Pod"]
        wait_running(cluster.kubectl, pods)
        yield
