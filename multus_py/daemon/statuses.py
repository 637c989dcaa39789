"""Network-status annotations on their way: written at once, or later and then until it succeeds.

One pod has one status, the newest. Nothing of it is on disk: what waits when the daemon is killed
is lost, what waits when it ends in peace is written before.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multus_py.adapters.connection import RefusedError
from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.core import backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from multus_py.models.objects import Pod

_LOG = logging.getLogger(__name__)

LIMIT = 2000
"""Pods whose status waits. No node has so many."""

_WRITERS = 2
_JOIN_SECONDS = 5.0


@dataclass(slots=True)
class _Status:
    pod: Pod
    annotation: str
    due: float = 0.0
    failures: int = 0


class Statuses:
    """The statuses that wait, and the threads that write them, gently: a burst of pods is no hurry.

    ``write`` writes one and raises what becomes of it. After failures that pass, all wait, which is
    the ``pause``. A refused one waits alone, for as long.
    """

    def __init__(
        self,
        write: Callable[[Pod, str], None],
        *,
        pause: backoff.Pause | None = None,
        limit: int = LIMIT,
    ) -> None:
        self._write = write
        self._pause = pause or backoff.Pause(first=0.5, last=15.0)
        self._limit = limit
        lock = threading.Lock()
        self._changed = threading.Condition(lock)
        self._written = threading.Condition(lock)
        self._waiting: dict[str, _Status] = {}
        self._writing: set[str] = set()
        self._end: float | None = None
        self._threads = [
            threading.Thread(target=self._run, name=f"status writer {n}", daemon=True)
            for n in range(_WRITERS)
        ]

    def __len__(self) -> int:
        return len(self._waiting)

    def start(self) -> None:
        """Begin to write what waits."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """Write what waits, as far as that succeeds at once and in so many seconds, and end."""
        with self._changed:
            self._end = time.monotonic() + seconds
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(seconds + _JOIN_SECONDS)
        if self._waiting:
            _LOG.error("%d pods are left without their network-status", len(self._waiting))

    def later(self, pod: Pod, annotation: str) -> bool:
        """Write a status when there is time; tell whether there is room to keep it till then."""
        if self._full and pod.uid not in self._waiting:
            return False
        self._keep(_Status(pod, annotation))
        return True

    def now(self, pod: Pod, annotation: str) -> None:
        """Write a status, or keep it if the API server fails in a way that passes."""
        status = _Status(pod, annotation)
        if time.monotonic() < self._pause.until and not self._full:
            self._keep(status)  # it is known that nothing can be written at the moment
            return
        if not self._claim(pod.uid):
            self._keep(status)  # an older one is on its way, and must not arrive last
            return
        try:
            self._write(pod, annotation)
        except RefusedError as error:
            if not error.passing or self._full:
                raise
            _LOG.warning("the network-status of pod %s is written later: %s", pod.ref, error)
            with self._changed:
                self._waiting.setdefault(pod.uid, status)
        finally:
            self._release(pod.uid)

    def edit(self, pod: Pod, change: Callable[[str], str]) -> bool:
        """Change the status of a pod that waits; tell whether there is one.

        Before that the one that is being written arrives, or waits again.
        """
        with self._changed:
            while pod.uid in self._writing:
                self._written.wait()
            status = self._waiting.get(pod.uid)
            if status:
                status.annotation = change(status.annotation)
            return status is not None

    def drop(self, uid: str) -> None:
        """Forget the status of a pod that is gone."""
        with self._changed:
            self._waiting.pop(uid, None)

    @property
    def _full(self) -> bool:
        return len(self._waiting) >= self._limit

    def _keep(self, status: _Status) -> None:
        """Let a status wait, in place of an older one."""
        with self._changed:
            self._waiting[status.pod.uid] = status
            self._changed.notify()

    def _claim(self, uid: str) -> bool:
        """Begin to write a pod's status, unless somebody else does."""
        with self._changed:
            if uid in self._writing:
                return False
            self._waiting.pop(uid, None)
            self._writing.add(uid)
        return True

    def _release(self, uid: str) -> None:
        with self._changed:
            self._writing.discard(uid)
            self._written.notify_all()
            if uid in self._waiting:
                self._changed.notify()

    def _run(self) -> None:
        while status := self._next():
            try:
                self._settle(status)
            except Exception:  # noqa: BLE001 - this is the main of its thread
                _LOG.exception("the network-status of pod %s is not written", status.pod.ref)
                self._forget(status)
            finally:
                self._release(status.pod.uid)

    def _next(self) -> _Status | None:
        """Take the next status that is due; None at the end."""
        with self._changed:
            while True:
                now = time.monotonic()
                due = [
                    max(status.due, self._pause.until)
                    for uid, status in self._waiting.items()
                    if uid not in self._writing
                ]
                ready = bool(due) and min(due) <= now
                if self._end is not None and (not ready or now >= self._end):
                    return None
                if ready:
                    return self._taken(now)
                self._changed.wait(min(due) - now if due else None)

    def _taken(self, now: float) -> _Status:
        """Take a status that is due. It is there until it is written, or a newer one comes."""
        status = next(
            status
            for uid, status in self._waiting.items()
            if uid not in self._writing and status.due <= now
        )
        self._writing.add(status.pod.uid)
        return status

    def _settle(self, status: _Status) -> None:
        began = time.monotonic()
        try:
            self._write(status.pod, status.annotation)
        except NotFoundError:
            _LOG.debug("pod %s is gone and needs no network-status", status.pod.ref)
        except CniError as error:
            if error.code != Code.POD_REPLACED:
                self._postpone(status, error, began)
                return
        else:
            self._pause.succeeded()
        self._forget(status)

    def _forget(self, status: _Status) -> bool:
        """Let a status wait no longer; tell whether it did."""
        with self._changed:
            uid = status.pod.uid
            return self._waiting.get(uid) is status and bool(self._waiting.pop(uid))

    def _postpone(self, status: _Status, error: CniError, began: float) -> None:
        status.failures += 1
        level = logging.DEBUG if status.failures > 1 else logging.WARNING
        _LOG.log(level, "the network-status of pod %s has to wait: %s", status.pod.ref, error)
        now = time.monotonic()
        if isinstance(error, RefusedError) and error.passing:
            with self._changed:
                self._pause.failed(began=began, now=now, at_least=error.retry_after)
        else:
            status.due = now + self._pause.after(status.failures)
        if self._forget(status):
            self._keep(status)  # behind the others
