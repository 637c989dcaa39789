"""Finding pods of this node that run without what they ask for (:mod:`multus_py.core.missing`).

They are told, counted and logged, and never touched. A pod that has all it asks for but its
network-status gets that. The disk is read only while a pod is in doubt.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError
from multus_py.core import inventory, missing, recovery
from multus_py.core.ports import Event
from multus_py.daemon.rounds import Rounds
from multus_py.models import objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from multus_py.core.inventory import Entry
    from multus_py.core.ports import Store
    from multus_py.daemon.livepods import LivePods
    from multus_py.daemon.metrics import Metrics
    from multus_py.models.objects import Pod

_LOG = logging.getLogger(__name__)

LACKS_NETWORKS = "LacksNetworks"
"""Reason of the event on such a pod."""

_LOOKS = 2
"""In a row, before a pod is said to lack anything: its sandbox may be in work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """When what is done; in seconds."""

    interval: float = 10.0
    """From one look at the pods to the next."""
    lacking: float = 60.0
    """From one look at what a lacking pod has to the next."""
    content: float = 300.0
    """From one look at what a content pod has to the next; it may get another sandbox."""
    reminder: float = 3600.0
    """From one event on a pod to the next."""


@dataclass(slots=True)
class _Case:
    """What is known of one pod that asks for networks."""

    asked: tuple[str | None, ...]
    due: float = 0.0
    lack: str = ""
    looks: int = 0
    """How many in a row have found it lacking."""
    told: float | None = None
    without_status: int = 0
    """How many looks in a row have found it without network-status."""


@dataclass(kw_only=True)
class Patrol:
    """``multus_namespace`` returns where the network of a default-network annotation is.

    ``store`` returns what is kept on the disk under the plugin's configuration.
    """

    store: Callable[[], Store]
    pods: LivePods
    multus_namespace: Callable[[], str]
    metrics: Metrics
    beat: Beat = Beat()
    clock: Callable[[], float] = time.monotonic
    _cases: dict[str, _Case] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._rounds = Rounds("patrol", self.turn, after_failure=self.beat.interval)

    def start(self) -> None:
        """Begin to look."""
        self._rounds.start()

    def stop(self) -> None:
        """End."""
        self._rounds.stop()

    def turn(self) -> float:
        """Look at every pod that it is time for; return the seconds until the next look."""
        if self.pods.synced:
            running = {
                live.pod.uid: live.pod for live in self.pods.pods() if missing.concerns(live)
            }
            self._look(running)
            self.metrics.pods_lacking_networks.set(
                sum(case.looks >= _LOOKS for case in self._cases.values())
            )
        return self.beat.interval

    def _look(self, running: dict[str, Pod]) -> None:
        self._cases = {uid: self._case(pod) for uid, pod in running.items()}
        now = self.clock()
        due = [pod for uid, pod in running.items() if self._cases[uid].due <= now]
        if not due:
            return
        found: dict[str, list[Entry]] = {}
        pods = inventory.Pods(running.values())
        for entry in inventory.entries(self.store()):
            if pod := pods.of(entry):
                found.setdefault(pod.uid, []).append(entry)
        namespace = self.multus_namespace()
        for pod in due:
            entries = found.get(pod.uid, [])
            lack = missing.lack(pod, entries, namespace)
            self._judge(pod, self._cases[pod.uid], lack)
            if not lack and objects.NETWORK_STATUS not in pod.annotations:
                self._recover(pod, self._cases[pod.uid], entries)

    def _case(self, pod: Pod) -> _Case:
        """Return what is known of a pod; nothing, once it asks for something else."""
        asked = tuple(
            pod.annotations.get(key) for key in (objects.NETWORKS, objects.DEFAULT_NETWORK)
        )
        case = self._cases.get(pod.uid)
        return case if case and case.asked == asked else _Case(asked)

    def _recover(self, pod: Pod, case: _Case, entries: list[Entry]) -> None:
        """Write a network-status that is lost; one that is on its way has a look's time for it."""
        case.without_status += 1
        if case.without_status < _LOOKS:
            case.due = 0.0
            return
        case.without_status = 0
        annotations = [recovery.annotation(entry, self.store()) for entry in entries]
        complete = [annotation for annotation in annotations if annotation]
        if len(complete) != 1:  # a sandbox before this one may not be released yet
            return
        _LOG.info("pod %s has lost its network-status, which is written again", pod.ref)
        try:
            self.pods.publish_status(pod, complete[0])
        except CniError as error:
            _LOG.warning("the network-status of pod %s is not written: %s", pod.ref, error)

    def _judge(self, pod: Pod, case: _Case, lack: str) -> None:
        now = self.clock()
        if not lack:
            if case.told is not None:
                _LOG.info("pod %s has its networks by now", pod.ref)
            case.looks, case.told, case.due = 0, None, now + self.beat.content
            return
        case.looks += 1
        if case.looks < _LOOKS:
            return
        case.due = now + self.beat.lacking
        if case.told is None or now - case.told >= self.beat.reminder:
            case.told = now
            _LOG.warning("pod %s (uid %s): %s", pod.ref, pod.uid, lack)
            self.pods.emit(pod, Event("Warning", LACKS_NETWORKS, lack[0].upper() + lack[1:]))
