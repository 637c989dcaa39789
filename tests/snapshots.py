"""What is in a directory, to be compared with what is there later."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

Snapshot = dict[str, tuple[str, bytes]]
"""By path: type and mode as ``ls`` shows them, and content or target."""


def taken(*roots: Path) -> Snapshot:
    """Return everything that is below some directories, which are in it themselves."""
    found = {}
    for root in roots:
        for parent, directories, files in os.walk(root):
            for path in (parent, *(os.path.join(parent, name) for name in (*directories, *files))):
                found[path] = _described(path)
    return found


def _described(path: str) -> tuple[str, bytes]:
    mode = stat.filemode(os.lstat(path).st_mode)
    if mode.startswith("l"):
        return mode, os.readlink(path).encode()
    if not mode.startswith("-"):
        return mode, b""
    with open(path, "rb") as file:
        return mode, file.read()
