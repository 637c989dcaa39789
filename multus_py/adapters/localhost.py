"""The node that this process runs on, as a whole: the port ``Host`` out of its two halves."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from multus_py.adapters import locks
from multus_py.adapters.netlink import Namespaces
from multus_py.adapters.process import Plugins
from multus_py.core import mishaps

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from multus_py.core.ports import PluginCall, PluginExit

_INTERVAL = 0.1


class LocalHost(Plugins, Namespaces):
    """See :class:`multus_py.core.ports.Host`."""

    def run(self, call: PluginCall) -> PluginExit:
        """Find and run a plugin, unless the link that it is to make is there already."""
        if call.new_link:
            with mishaps.keeping_off():
                if self.link_exists(call.environment["CNI_NETNS"], call.new_link):
                    raise mishaps.taken(call.new_link)
        return super().run(call)

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
