"""What a node holds for pods: nothing of it is there when they are gone."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.cluster.waiting import ClusterError, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster.node import Node

_STATE = "/var/lib/cni"
_BOOKKEEPING = ("last_reserved_ip.", "lock", ".")
"""What files begin with that plugins keep for themselves."""


def of(node: Node) -> frozenset[str]:
    """Return the addresses, records, results, links and network namespaces of a node."""
    links = json.loads(node.run("ip", "-details", "-json", "link"))
    return frozenset(
        {
            *(f"file {path}" for path in _files(node.own(_STATE))),
            *(f"link {link['ifname']}" for link in links if not _is_bridge(link)),
            *(f"namespace {name}" for name in _namespaces(node)),
        }
    )


def forgotten(node: Node) -> frozenset[str]:
    """Return what a runtime that was killed has lost: empty namespaces that no sandbox of it has.

    It makes one before it notes the sandbox that it is for, and calls no plugin before both.
    """
    containers = node.ctr("containers", "list", "--quiet").split()
    try:
        known = "".join(node.ctr("containers", "info", container) for container in containers)
        unknown = [name for name in _namespaces(node) if name not in known]
        return frozenset(f"namespace {name}" for name in unknown if _is_empty(node, name))
    except ClusterError:  # one of them has gone meanwhile: more is on its way
        return frozenset()


def wait_for(
    node: Node,
    wanted: frozenset[str],
    *,
    patience: float = 60.0,
    bearing: Callable[[Node], frozenset[str]] = lambda _: frozenset(),
) -> None:
    """Wait until a node holds this and no more; what is first held for pods may be missing.

    ``bearing`` says what else is borne.
    """

    def too_much() -> frozenset[str]:
        return of(node) - wanted - bearing(node)

    until(
        lambda: not too_much(),
        f"{node.name} to release everything",
        lambda: "\n".join(sorted(too_much())),
        patience=patience,
    )


@contextmanager
def passing(node: Node) -> Iterator[None]:
    """See to it that nothing stays of what a node holds meanwhile."""
    before = of(node)
    yield
    wait_for(node, before)


def _is_empty(node: Node, namespace: str) -> bool:
    links = json.loads(node.run("ip", "-netns", namespace, "-json", "link"))
    return [link["ifname"] for link in links] == ["lo"]


def _is_bridge(link: dict[str, Any]) -> bool:
    """Tell whether it is the primary network's own, which stays once there was a pod."""
    return bool(link.get("linkinfo", {}).get("info_kind") == "bridge")


def _files(top: Path) -> list[str]:
    return [
        str(path.relative_to(top))
        for path in top.rglob("*")
        if path.is_file() and not path.name.startswith(_BOOKKEEPING)
    ]


def _namespaces(node: Node) -> list[str]:
    return sorted(path.name for path in (node.root / "run/netns").iterdir())
