"""The node's CNI configuration as the daemon keeps it: what is asked for, and who hears of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from multus_py.adapters import presence
from multus_py.core.nodeconfig import Wanted
from multus_py.core.ports import Event
from multus_py.node.task import BIN_DIR, State, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from multus_py.cni.document import JsonObject
    from multus_py.daemon.metrics import Metrics
    from multus_py.models.settings import Settings

CONTESTED = "ConfigurationContested"
"""Reason of the event on a node whose configuration somebody takes away again and again."""

_AUTO = "auto"


def task(settings: Settings, over: JsonObject) -> Task | None:
    """Return what is to be kept, None if nothing is; ``over`` holds for every request."""
    if not settings.multus_config_file:
        return None
    bin_dirs = [item for key, item in over.items() if key.lower() == "bindir"]
    return Task(
        directory=settings.cni_config_dir,
        primaries=settings.multus_autoconfig_dir or settings.cni_config_dir,
        wanted=Wanted(
            cni_version=settings.cni_version,
            force_cni_version=settings.force_cni_version,
            override_network_name=settings.override_network_name,
            settings={**over, **settings.logging},
        ),
        named=settings.multus_master_cni,
        copied="" if settings.multus_config_file == _AUTO else settings.multus_config_file,
        readiness_file=settings.readiness_indicator_file,
        bin_dir=next((item for item in bin_dirs if isinstance(item, str)), BIN_DIR),
        leaving=os.path.join(settings.socket_dir, presence.LEAVING),
    )


class Witness:
    """See :class:`multus_py.node.task.Witness`: metrics, and events on the node."""

    def __init__(self, metrics: Metrics, emit: Callable[[Event], None]) -> None:
        self._metrics = metrics
        self._emit = emit
        self.entered(State.WAITING)

    def wrote(self, path: str, reason: str) -> None:
        """Count."""
        del path
        self._metrics.configuration_writes.labels(reason).inc()

    def entered(self, state: State) -> None:
        """Show the state."""
        for each in State:
            self._metrics.configuration.labels(each).set(each is state)

    def contested(self, path: str, by: str) -> None:
        """Name the file to those who look at the node, and at metrics."""
        self._metrics.configuration_contested.clear()
        if not by:
            return
        by = by.encode(errors="backslashreplace").decode()
        self._metrics.configuration_contested.labels(by).set(1)
        self._emit(
            Event(
                "Warning",
                CONTESTED,
                f"Another program takes {path} away as often as it is restored: there is {by}"
                " instead. Meanwhile pods may start without their networks. End that program, or"
                " set it up to leave other files alone (Cilium: cni.exclusive=false)",
            )
        )
