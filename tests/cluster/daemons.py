"""The daemons of multus-py on a cluster, as Kubernetes tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.cluster import sandboxes
from tests.cluster.deployment import DAEMONS
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.cluster.cluster import Cluster
    from tests.cluster.node import Node


@dataclass(frozen=True, slots=True)
class Daemon:
    """One daemon at one moment; two are equal if nothing happened to it meanwhile."""

    pod: str
    uid: str
    node: str
    ready: bool
    restarts: int
    container: str


@dataclass(frozen=True, slots=True)
class Process:
    """What a daemon takes at one moment."""

    container: str
    resident: int
    """KiB of memory."""
    threads: int
    files: int


def of(cluster: Cluster) -> list[Daemon]:
    """Return the daemons, by node."""
    return sorted((_daemon(one) for one in cluster.pods(*DAEMONS)), key=lambda one: one.node)


def _daemon(one: Mapping[str, Any]) -> Daemon:
    statuses = one["status"].get("containerStatuses", [{}])
    return Daemon(
        pod=one["metadata"]["name"],
        uid=one["metadata"]["uid"],
        node=one["spec"].get("nodeName", ""),
        ready=statuses[0].get("ready", False),
        restarts=statuses[0].get("restartCount", 0),
        container=statuses[0].get("containerID", "").removeprefix("containerd://"),
    )


def kill(cluster: Cluster) -> list[Daemon]:
    """End the daemons that run without asking; return them as they were."""
    killed = [one for one in of(cluster) if one.ready]
    nodes = {node.name: node for node in cluster.nodes}
    for one in killed:
        sandboxes.kill(nodes[one.node], one.container)
    return killed


def wait_again(cluster: Cluster, killed: Sequence[Daemon]) -> None:
    """Wait until daemons that were killed have started again."""
    containers = {one.container for one in killed}

    def ready() -> bool:
        found = of(cluster)
        return all(one.ready and one.container not in containers for one in found)

    until(ready, "killed daemons to be ready again")


def processes(node: Node) -> list[Process]:
    """Return the processes of a node's daemon: one, or none while it starts."""
    tasks = dict(line.split()[:2] for line in node.ctr("tasks", "list").splitlines()[1:])
    found = {task: node.root / "proc" / pid for task, pid in tasks.items()}
    return [one for task, place in found.items() if (one := _process(task, place))]


def _process(task: str, place: Path) -> Process | None:
    try:
        command = (place / "cmdline").read_bytes().split(b"\0")
        if b"/bin/multus-py" not in command or b"daemon" not in command:
            return None
        status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
        return Process(
            container=task,
            resident=int(status["VmRSS"].split()[0]),
            threads=int(status["Threads"]),
            files=len(list((place / "fd").iterdir())),
        )
    except (FileNotFoundError, ProcessLookupError, KeyError):
        return None  # it has just ended
