"""The directory of the daemon's socket: what is left there, and who is at work."""

from __future__ import annotations

import os
import re

from multus_py.adapters import presence
from multus_py.models import standby
from multus_py.node import attached, kubeconfig
from multus_py.node.steps import listed

_NAMES = (
    presence.LEAVING,
    presence.LOCK,
    presence.MISSED,
    presence.SOCKET,
    standby.FILE,
    kubeconfig.TOKEN_FILE,
    "kubeconfig",
    "multus.sock",
    "seen.json",
)
_OURS = re.compile(
    rf"({'|'.join(map(re.escape, _NAMES))})(\.\d+|\.new)?"  # the ends of what was not finished
)


def files(directory: str) -> list[str]:
    """Return the paths of what is ours in the directory of the socket."""
    return [path for path in listed(directory) if _OURS.fullmatch(os.path.basename(path))]


def has_daemon(directory: str) -> bool:
    """Tell whether a daemon is at work."""
    return attached.is_held(os.path.join(directory, presence.LOCK))
