"""Sandboxes and containers of a node's pods, asked of the node itself: no API server is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.waiting import ClusterError, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.node import Node

_POD = 'labels."io.kubernetes.pod.name"'
_KIND = 'labels."io.cri-containerd.kind"'


def of(node: Node, pod: str) -> list[str]:
    """Return the sandboxes of a pod that run."""
    return _running(node, pod, "sandbox")


def containers(node: Node, pod: str) -> list[str]:
    """Return the containers of a pod that run."""
    return _running(node, pod, "container")


def kill(node: Node, task: str) -> None:
    """End a sandbox or a container without asking, unless it has just ended by itself."""
    try:
        node.ctr("tasks", "kill", "--signal=SIGKILL", task)
    except ClusterError as error:
        if "not found" not in str(error):
            raise


def replace(node: Node, pod: str, running: Callable[[Node, str], list[str]] = of) -> None:
    """End a pod's sandbox, or its container, without asking; wait until there is another."""
    [task] = running(node, pod)
    kill(node, task)
    until(
        lambda: len(running(node, pod)) == 1 and task not in running(node, pod),
        f"{pod} to start again",
        node.kubelet.said,
    )


def _running(node: Node, pod: str, kind: str) -> list[str]:
    known = node.ctr("containers", "list", "--quiet", f"{_POD}=={pod},{_KIND}=={kind}").split()
    tasks = [line.split() for line in node.ctr("tasks", "list").splitlines()[1:]]
    return [task[0] for task in tasks if task[0] in known and task[-1] == "RUNNING"]
