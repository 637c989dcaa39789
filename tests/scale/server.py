"""Made-up time, and an API server in it: it admits requests by seats, queues some, refuses others.

That is priority and fairness, for one flow. How long requests take is an assumption; how many there
are does not depend on it as long as none is refused.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Then = Callable[[int], None]

OK, GONE, TOO_MANY, REFUSED = 200, 410, 429, 0
"""HTTP's, and what a connection comes to while nobody listens."""

RETRY_AFTER = 1.0
"""What API servers say with a 429."""
_QUEUE_SECONDS = 15.0
"""A quarter of the API server's ``--request-timeout``."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of request."""

    name: str
    seats: int
    """As the API server estimates: one for 100 objects of the collection, 10 at the most."""
    seconds: float
    """That it takes once it is admitted. An assumption."""
    writes: int = 0
    """To etcd."""


LIST_PODS = Kind("list pods", 10, 0.030)
LIST_NETWORKS = Kind("list definitions", 2, 0.020)
WATCH = Kind("watch", 1, 0.005)
GET = Kind("get pod", 1, 0.005)
STATUS = Kind("write status", 1, 0.010, writes=1)
EVENT = Kind("write event", 1, 0.010, writes=1)
TOKEN = Kind("renew token (kubelet)", 1, 0.005)


class Clock:
    """What happens when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._numbers = itertools.count()
        self._plan: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Have something happen so much later."""
        heapq.heappush(self._plan, (self.now + seconds, next(self._numbers), what))

    def run(self, until: float) -> None:
        """Let everything happen up to a time."""
        while self._plan and self._plan[0][0] <= until:
            self.now, _, what = heapq.heappop(self._plan)
            what()
        self.now = until


@dataclass
class Book:
    """What an API server was asked, by second."""

    asked: Counter[tuple[str, int]] = field(default_factory=Counter)
    served: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    """With 429."""
    unheard: int = 0
    """Connections to nobody."""
    writes: int = 0
    longest_wait: float = 0.0

    def total(self, name: str = "") -> int:
        """Return the requests of one kind, or of all."""
        return sum(count for (kind, _), count in self.asked.items() if name in {"", kind})

    def peak(self, name: str = "") -> int:
        """Return the requests in the worst second, of one kind or of all."""
        seconds: Counter[int] = Counter()
        for (kind, second), count in self.asked.items():
            if name in {"", kind}:
                seconds[second] += count
        return max(seconds.values(), default=0)


@dataclass
class Server:
    """The API server. ``seats`` and ``queue`` are what its configuration leaves one flow."""

    clock: Clock
    seats: int
    queue: int
    book: Book = field(default_factory=Book)
    age: int = 0
    """How often everything that it remembered of changes was lost."""
    away: bool = False
    _waiting: deque[tuple[Kind, float, Then]] = field(default_factory=deque)
    _watches: dict[object, Callable[[], None]] = field(default_factory=dict)

    def ask(self, kind: Kind, then: Then) -> None:
        """Take a request; ``then`` is told the status of the answer when there is one."""
        if self.away:
            self.book.unheard += 1
            self.clock.after(0.0, lambda: then(REFUSED))
            return
        self.book.asked[kind.name, int(self.clock.now)] += 1
        if len(self._waiting) >= self.queue:
            self._refuse(then)
        else:
            self._waiting.append((kind, self.clock.now, then))
            self._admit()

    def hold(self, watch: object, lost: Callable[[], None]) -> None:
        """Hold a watch open, until it is released or ``lost``."""
        self._watches[watch] = lost

    def release(self, watch: object) -> bool:
        """End a watch; tell whether it was open."""
        return self._watches.pop(watch, None) is not None

    def cut(self) -> None:
        """End all watches before their time."""
        watches, self._watches = self._watches, {}
        for lost in watches.values():
            lost()

    @property
    def open(self) -> int:
        """The watches that are open."""
        return len(self._watches)

    def _refuse(self, then: Then) -> None:
        self.book.refused += 1
        self.clock.after(0.001, lambda: then(TOO_MANY))

    def _admit(self) -> None:
        while self._waiting and self._waiting[0][0].seats <= self.seats:
            kind, since, then = self._waiting.popleft()
            waited = self.clock.now - since
            if waited > _QUEUE_SECONDS:
                self._refuse(then)
                continue
            self.book.longest_wait = max(self.book.longest_wait, waited)
            self.seats -= kind.seats
            self.clock.after(kind.seconds, partial(self._serve, kind, then))

    def _serve(self, kind: Kind, then: Then) -> None:
        self.seats += kind.seats
        self.book.served[kind.name] += 1
        self.book.writes += kind.writes
        then(OK)
        self._admit()
