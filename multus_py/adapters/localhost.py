"""The node that this process runs on, as a whole: the port ``Host`` out of its two halves."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from multus_py.adapters import locks
from multus_py.adapters.netlink import Namespaces
from multus_py.adapters.process import Plugins

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_INTERVAL = 0.1


class LocalHost(Plugins, Namespaces):
    """See :class:`multus_py.core.ports.Host`."""

    def wait_for_file(self, path: str, seconds: float) -> bool:
        """Wait until the file exists; tell whether it does."""
        deadline = time.monotonic() + seconds
        while not os.path.exists(path):
            if time.monotonic() > deadline:
                return False
            time.sleep(_INTERVAL)
        return True

    def lock(self, path: str, seconds: float) -> AbstractContextManager[object]:
        """Hold the lock at ``path``, which whatever is run meanwhile holds too."""
        return locks.held(path, seconds)
