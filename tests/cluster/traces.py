"""What an installation leaves on a node, which is to be as before when that is left."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests import snapshots

if TYPE_CHECKING:
    from tests.cluster.node import Node
    from tests.snapshots import Snapshot

_PLACES = ("/etc/cni", "/opt/cni", "/var/lib/cni/multus", "/run/multus-py")


def of(node: Node) -> Snapshot:
    """Return the files of a node that have to do with plugins and their configuration."""
    roots = [node.root / place.lstrip("/") for place in _PLACES]
    return {
        os.path.relpath(path, node.root): seen for path, seen in snapshots.taken(*roots).items()
    }
