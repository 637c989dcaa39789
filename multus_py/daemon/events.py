"""Events on their way: a courtesy that never delays a pod and never burdens the cluster.

They are about pods, and seldom about the node. One thread sends them, one at a time and not too
many a second. What has been told a moment ago is not told again, but counted. What there is no room
for is lost, and counted as well. What waits when the daemon ends in peace is sent before.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from multus_py.adapters.apiserver import event_object
from multus_py.adapters.connection import RefusedError
from multus_py.cni.errors import CniError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from multus_py.cni.document import JsonObject
    from multus_py.core.ports import Event
    from multus_py.models.objects import Node, Pod

_LOG = logging.getLogger(__name__)

_JOIN_SECONDS = 5.0
_COMPLAINT_SECONDS = 30.0
"""Between two lines in the log about lost events."""

_Key = tuple[str, "Event"]


@dataclass(slots=True)
class _Telling:
    """An event that waits, and how often it happened meanwhile."""

    about: Pod | Node
    event: Event
    since: float
    first: dt.datetime
    last: dt.datetime
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many events, how often; in seconds."""

    limit: int = 1000
    """Events that wait."""
    rest: float = 0.05
    """Before one is sent: what it tells of goes on, in this process, and is waited for."""
    interval: float = 0.04
    """Between two events."""
    first_delay: float = 0.5
    last_delay: float = 15.0
    """After failures that pass; doubled from the first up to the last."""
    patience: float = 300.0
    """After which an event is no news any more."""


class Events:
    """The events that wait, and the thread that sends them.

    ``send`` sends an event object; ``on_lost`` is told how many could not be.
    """

    def __init__(
        self,
        send: Callable[[JsonObject], None],
        *,
        on_lost: Callable[[int], None],
        pace: Pace = Pace(),
    ) -> None:
        self._send = send
        self._on_lost = on_lost
        self._pace = pace
        self._changed = threading.Condition()
        self._waiting: dict[_Key, _Telling] = {}
        self._stopping = threading.Event()
        self._end = float("inf")
        self._unreported = 0
        self._complained = 0.0
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def __len__(self) -> int:
        return len(self._waiting)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def finish(self, seconds: float) -> None:
        """Send what waits, as far as that succeeds at once and in so many seconds."""
        with self._changed:
            self._end = min(self._end, time.monotonic() + seconds)
            self._stopping.set()
            self._changed.notify_all()

    def stop(self) -> None:
        """End, after what :meth:`finish` has begun. What waits then is lost."""
        if not self._stopping.is_set():
            self.finish(0.0)
        if self._thread.ident is not None:
            self._thread.join(max(self._end - time.monotonic(), 0.0) + _JOIN_SECONDS)
        with self._changed:
            left = sum(telling.count for telling in self._waiting.values())
            self._waiting.clear()
        if left:
            self._lose(left, "the daemon ends", urgent=True)

    def tell(self, about: Pod | Node, event: Event) -> None:
        """Take an event. Never waits and never fails."""
        now, moment = time.monotonic(), dt.datetime.now(dt.UTC)
        key = (about.uid, event)
        with self._changed:
            telling = self._waiting.get(key)
            if telling:
                telling.count += 1
                telling.last = moment
                return
            full = len(self._waiting) >= self._pace.limit
            if not full:
                self._waiting[key] = _Telling(about, event, now, moment, moment)
                if len(self._waiting) == 1:  # else the thread knows when it is to look again
                    self._changed.notify_all()
        if full:
            self._lose(1, f"more than {self._pace.limit} wait")

    def _run(self) -> None:
        while telling := self._next():
            try:
                self._deliver(telling)
            except Exception:  # noqa: BLE001 - this is the main of its thread
                _LOG.exception("an event about %s is lost", telling.about.ref)
            self._stopping.wait(self._pace.interval)

    def _next(self) -> _Telling | None:
        """Take the event that has waited longest; None at the end, or when time is up."""
        with self._changed:
            while not self._stopping.is_set() and (wait := self._wait()) != 0:
                self._changed.wait(wait)
            if not self._waiting or time.monotonic() >= self._end:
                return None
            return self._waiting.pop(next(iter(self._waiting)))

    def _wait(self) -> float | None:
        """Return the seconds until the next event is due, None if there is none."""
        if not self._waiting:
            return None
        oldest = next(iter(self._waiting.values()))
        return max(oldest.since + self._pace.rest - time.monotonic(), 0.0)

    def _deliver(self, telling: _Telling) -> None:
        value = event_object(
            telling.about,
            telling.event,
            first=telling.first,
            last=telling.last,
            count=telling.count,
        )
        end = telling.since + self._pace.patience
        delay = self._pace.first_delay
        while error := self._failure(value):
            ending = self._stopping.is_set()
            if not error.passing or time.monotonic() > end or ending:
                self._lose(telling.count, str(error))
                if ending and error.passing:  # nor would it take the others
                    self.finish(0.0)
                return
            pause = max(delay, error.retry_after)
            self._stopping.wait(min(pause, self._pace.last_delay) * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            delay *= 2

    def _failure(self, value: JsonObject) -> RefusedError | None:
        """Send an event; return why not, None if it has arrived or nobody can look at it."""
        try:
            self._send(value)
        except NotFoundError:
            return None  # its namespace is gone
        except RefusedError as error:
            return None if error.status == HTTPStatus.CONFLICT else error  # it arrived before
        except CniError as error:
            return RefusedError(error.code, error.cause, error.hint)
        return None

    def _lose(self, count: int, why: str, *, urgent: bool = False) -> None:
        self._on_lost(count)
        with self._changed:
            self._unreported += count
            now = time.monotonic()
            if not urgent and self._complained and now - self._complained < _COMPLAINT_SECONDS:
                return
            self._complained, lost, self._unreported = now, self._unreported, 0
        _LOG.warning("%d events are lost: %s", lost, why)
