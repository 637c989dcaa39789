"""Releasing what is pending or dead (:mod:`multus_py.core.repair`), in rounds.

What is on the disk is the list of what there is to do; nothing else has to survive a restart. How
often something has been tried only sets when it is tried next.
"""

from __future__ import annotations

import logging
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, joined
from multus_py.core import answer, inventory, release, repair
from multus_py.core.ports import Event
from multus_py.daemon.rounds import Rounds
from multus_py.wire import LostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from multus_py.cni.document import JsonObject
    from multus_py.cni.request import Attachment, Request
    from multus_py.core.inventory import Entry, Pods
    from multus_py.core.ports import Store
    from multus_py.core.repair import Dead
    from multus_py.core.session import Session
    from multus_py.daemon.hands import Borrowing
    from multus_py.daemon.livepods import LivePods
    from multus_py.daemon.metrics import Metrics
    from multus_py.daemon.requests import LockingHost

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When what is done; in seconds."""

    interval: float = 120.0
    """From one look at all there is to the next."""
    grace: float = 60.0
    """What is dead is left alone for so long: its runtime may be about to release it."""
    shortest: float = 5.0
    """From the first failure to the next try."""
    longest: float = 600.0
    """From any later one."""


_Key = tuple["Attachment", bool]
"""An attachment, and whether it is a record: the cache may know more of it than the record."""


@dataclass(slots=True)
class _Task:
    due: float
    failures: int = 0


@dataclass(kw_only=True)
class Repairs:
    """``config`` is the plugin's configuration, under which releases of our own are made.

    ``store`` returns what is kept on the disk under it.
    """

    store: Callable[[], Store]
    pods: LivePods
    hands: Borrowing
    session: Callable[[Request, LockingHost], Session]
    config: Callable[[], JsonObject]
    metrics: Metrics
    pace: Pace = Pace()
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    """Returns a number from 0 to 1: nodes that were started together do not stay in step."""
    _tasks: dict[_Key, _Task] = field(default_factory=dict, init=False)
    _owed: set[_Key] = field(default_factory=set, init=False)
    """What is pending, and what is dead and could not be released so far."""

    def __post_init__(self) -> None:
        self._rounds = Rounds("repairs", self.turn, after_failure=self.pace.interval)

    def start(self) -> None:
        """Begin, with what an earlier daemon has left."""
        self._rounds.start()

    def stop(self) -> None:
        """End after the release that is under way."""
        self._rounds.stop()

    def wake(self) -> None:
        """Look at once: there are hands again."""
        self._rounds.wake()

    def noticed(self, asked: Request) -> None:
        """Look at once if a request has left a pending release behind."""
        with suppress(CniError):
            record = self.store().read_record(asked.attachment)
            if record and record.pending:
                self._rounds.wake()

    def turn(self) -> float:
        """Release what is due; return the seconds until something else is."""
        entries = inventory.entries(self.store())
        failed = {key for key, task in self._tasks.items() if task.failures}
        pending = {_key(entry) for entry in entries if entry.pending}
        self._count(pending | failed & set(map(_key, entries)))
        pods = None
        if self.pods.synced:
            pods = inventory.Pods(live.pod for live in self.pods.pods())
        try:
            done = self._looked(entries, pods)
        except LostError:
            done = False  # all is as it was; the next hands that come wake us
        seconds = self._varied(self.pace.interval)
        if done and self._tasks:
            due = min(task.due for task in self._tasks.values())
            seconds = min(seconds, max(due - self.clock(), 0.0))
        return seconds

    def _looked(self, entries: list[Entry], pods: Pods | None) -> bool:
        """Release what is due; tell whether there were hands to do it."""
        with self.hands() as hands:
            if hands is None:
                return False
            found = repair.found(entries, pods, hands.host)
        self._plan(found)
        for dead in found:
            if self._rounds.stopping:
                break
            if self._tasks[_key(dead.entry)].due > self.clock():
                continue
            if not self._release(dead, pods):
                return False
        return True

    def _plan(self, found: list[Dead]) -> None:
        now = self.clock()
        known = self._tasks
        self._tasks = {}
        for dead in found:
            key = _key(dead.entry)
            first = _Task(now if dead.entry.pending else now + self.pace.grace)
            self._tasks[key] = known.get(key, first)

    def _release(self, dead: Dead, pods: Pods | None) -> bool:
        """Release one attachment. Hands are given back after each: others need them too."""
        begun = self.clock()
        entry = dead.entry
        errors: list[CniError] = []
        with self.hands() as hands:
            if hands is None:
                return False
            try:
                asked = repair.request(entry, path=hands.path, config=self.config())
                settled = repair.perform(self.session(asked, hands.host), dead)
                if settled is None:
                    pause = self.pace.interval if dead.unconfirmed else self.pace.shortest
                    self._tasks[_key(entry)].due = begun + self._varied(pause)
                    return True
                errors = settled.errors
            except LostError:
                raise
            except Exception as error:  # noqa: BLE001 - one broken record must not keep the others
                errors = [answer.failure(error)]
        self._note(dead, pods, joined(errors) if errors else None, begun)
        return True

    def _note(self, dead: Dead, pods: Pods | None, error: CniError | None, begun: float) -> None:
        """Write down and tell how a release ended."""
        entry = dead.entry
        self.metrics.repairs.labels("error" if error else "ok").inc()
        _LOG.log(
            logging.ERROR if error else logging.INFO,
            "repair container=%s ifname=%s pod=%s netns=%s cause=%r ms=%d: %s",
            entry.attachment.container_id,
            entry.attachment.ifname,
            entry.pod if entry.pod.name else "",
            entry.netns,
            dead.cause,
            round((self.clock() - begun) * 1000),
            error or "ok",
        )
        if error is None:
            del self._tasks[_key(entry)]
            self._count(self._owed - {_key(entry)})
            return
        self._count(self._owed | {_key(entry)})
        task = self._tasks[_key(entry)]
        pause = min(self.pace.shortest * 2 ** min(task.failures, 30), self.pace.longest)
        task.failures += 1
        task.due = self.clock() + self._varied(pause)
        pod = pods.of(entry) if pods else None
        if pod:
            self.pods.emit(pod, Event("Warning", release.RELEASE_PENDING, error.message()))

    def _count(self, owed: set[_Key]) -> None:
        self._owed = owed
        self.metrics.pending_releases.set(len(owed))

    def _varied(self, seconds: float) -> float:
        return seconds * (0.75 + self.chance() / 2)


def _key(entry: Entry) -> _Key:
    return entry.attachment, entry.record is not None
