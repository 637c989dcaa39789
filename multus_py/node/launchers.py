"""The names under which this plugin stands in a directory of plugins: installed, linked or copied.

A launcher is a script that says in its head whose it is; so a copy of it is known by its content.
"""

from __future__ import annotations

import os
import stat

from multus_py.models.config import OUR_TYPES

_HEAD = 1024
_OURS = b"multus-py"


class OwnTypes:
    """The types of plugins that would lead back to this one, as they are at the moment."""

    def __init__(self, directory: str, known: frozenset[str] = OUR_TYPES) -> None:
        """``directory`` need not be there: a container may not see its node's plugins."""
        self._directory = directory
        self._known = known
        self._looked_at: int | None = None
        self._found: frozenset[str] = frozenset()

    def __call__(self) -> frozenset[str]:
        """Return the names. The directory is read anew when anything in it has got a name."""
        try:
            changed = os.stat(self._directory).st_mtime_ns
            if changed != self._looked_at:
                self._found = frozenset(filter(self._is_ours, os.listdir(self._directory)))
                self._looked_at = changed
        except OSError:
            self._found = frozenset()
        return self._known | self._found

    def _is_ours(self, name: str) -> bool:
        path = os.path.join(self._directory, name)
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                return False
            with open(path, "rb") as file:
                head = file.read(_HEAD)
        except OSError:
            return False
        return head.startswith(b"#!") and _OURS in head
