"""What is attached on a node, and who can release it."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from multus_py.node.steps import listed

if TYPE_CHECKING:
    from multus_py.core.inventory import Entry


def needs_us(entry: Entry, *, handed_back: bool) -> bool:
    """Tell whether nobody else releases an attachment.

    The primary plugin releases its own, and Multus all that it finds recorded. But a runtime that
    remembers a network by its name calls what was called then.
    """
    networks = entry.record.delegates if entry.record else ()
    primary = {item.network.name for item in networks if item.master}
    if entry.record and entry.record.owner in primary:
        return True
    return not handed_back and (not networks or not all(item.master for item in networks))


def told(entry: Entry) -> str:
    """Return an attachment in words: the pod, its networks and interfaces."""
    networks = entry.record.delegates if entry.record else ()
    pod = str(entry.pod) if entry.pod.name else f"container {entry.attachment.container_id}"
    parts = [f"{item.label} ({item.ifname})" for item in networks] or ["unknown networks"]
    return f"{pod}: {', '.join(parts)}"


def under_way(cni_dir: str) -> list[str]:
    """Return the containers that somebody works for at this moment."""
    return [
        os.path.basename(path)[1 : -len(".lock")]
        for path in listed(cni_dir)
        if os.path.basename(path).startswith(".") and path.endswith(".lock") and is_held(path)
    ]


def is_held(path: str) -> bool:
    """Tell whether somebody holds the lock at this path."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
