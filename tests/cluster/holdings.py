"""What a node holds for pods: nothing of it is there when they are gone."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.cluster.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
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


def wait_for(node: Node, wanted: frozenset[str], *, patience: float = 60.0) -> None:
    """Wait until a node holds this and no more; what is first held for pods may be missing."""
    until(
        lambda: not of(node) - wanted,
        f"{node.name} to release everything",
        lambda: "\n".join(sorted(of(node) - wanted)),
        patience=patience,
    )


@contextmanager
def passing(node: Node) -> Iterator[None]:
    """See to it that nothing stays of what a node holds meanwhile."""
    before = of(node)
    yield
    wait_for(node, before)


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
