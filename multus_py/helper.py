"""What the shim has done on the host by the whole package: work that its builtins cannot do.

Reads one JSON object from standard input (``{"do": ..., ...}``, see :data:`_TASKS`) and prints what
came of it: ``{"answer": ...}``, or ``{"error": ...}`` with the parts of a
:class:`~multus_py.cni.errors.CniError`. A composition root; only the daemon speaks to it.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from multus_py.cni.errors import CniError

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> int:
    """Do the one task on standard input; return the exit code."""
    task = json.load(sys.stdin)
    try:
        outcome = {"answer": _TASKS[task.pop("do")](**task)}
    except CniError as error:
        outcome = {"error": {"code": error.code, "cause": error.cause, "hint": error.hint}}
    json.dump(outcome, sys.stdout)
    return 0


def _link_exists(netns: str, ifname: str) -> bool:
    from multus_py.adapters.netlink import Namespaces

    return Namespaces().link_exists(netns, ifname)


def _default_route_families(netns: str, ifname: str) -> list[int]:
    from multus_py.adapters.netlink import Namespaces

    return sorted(Namespaces().default_route_families(netns, ifname))


def _replace_default_routes(
    netns: str, ifname: str, families: list[int], gateways: list[str]
) -> None:
    from multus_py.adapters.netlink import Namespaces

    Namespaces().replace_default_routes(netns, ifname, families=families, gateways=gateways)


def _end_orphans(path: str) -> None:
    from multus_py.adapters import locks

    locks.end_orphans(path)


_TASKS: dict[str, Callable[..., Any]] = {
    "link_exists": _link_exists,
    "default_route_families": _default_route_families,
    "replace_default_routes": _replace_default_routes,
    "end_orphans": _end_orphans,
}

if __name__ == "__main__":
    sys.exit(main())
