"""Pods of busybox, as JSON, and waiting for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.cluster.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.cluster.kubectl import Kubectl


def pod(
    name: str,
    *command: str,
    node: str | None = None,
    annotations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    pull: str = "Never",
    **spec: Any,
) -> dict[str, Any]:
    """Return a pod that runs a command of busybox (to wait, unless told), and ends at once."""
    container = {
        "name": "main",
        "image": "busybox",
        "imagePullPolicy": pull,
        "command": list(command) or ["sh", "-c", "trap 'exit 0' TERM; sleep 2147483647 & wait"],
    }
    placed = {"nodeName": node} if node else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "annotations": dict(annotations or {}),
            "labels": dict(labels or {}),
        },
        "spec": {"containers": [container], "restartPolicy": "Always", **placed, **spec},
    }


def wait_running(kubectl: Kubectl, names: Iterable[str], *options: str) -> dict[str, str]:
    """Wait until pods run and are ready; return their addresses by name."""
    wanted = set(names)

    def addresses() -> dict[str, str] | None:
        found = kubectl.json("get", "pods", *options)["items"]
        running = {
            one["metadata"]["name"]: one["status"]["podIP"]
            for one in found
            if one["metadata"]["name"] in wanted and is_ready(one)
        }
        return running if running.keys() == wanted else None

    return until(
        addresses,
        f"pods to run: {', '.join(sorted(wanted))}",
        lambda: kubectl("get", "events", "--sort-by=.lastTimestamp", *options),
    )


def wait_gone(kubectl: Kubectl, names: Iterable[str], *options: str) -> None:
    """Wait until pods are no more."""
    gone = set(names)

    def none_left() -> bool:
        found = kubectl.json("get", "pods", *options)["items"]
        return not gone & {one["metadata"]["name"] for one in found}

    until(none_left, f"pods to be gone: {', '.join(sorted(gone))}")


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Tell whether all containers of a pod are."""
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
