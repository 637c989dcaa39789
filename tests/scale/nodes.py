"""Nodes in made-up time: how our daemon and Multus's talk to the API server.

Ours uses the daemon's own figures and its own dice, so that what is found here holds for it.
Multus's are those of its 4.3 and of client-go 0.35, which it is built with.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from multus_py.adapters import watching
from multus_py.core import backoff
from multus_py.daemon import events
from tests.scale.server import (
    EVENT,
    GET,
    GONE,
    LIST_NETWORKS,
    LIST_PODS,
    OK,
    RETRY_AFTER,
    STATUS,
    TOO_MANY,
    WATCH,
    Kind,
    Server,
)

if TYPE_CHECKING:
    from collections.abc import Callable

PACE = watching.Pace()
EVENT_PACE = events.Pace()

CONNECTING = 1.0
"""Seconds within which those who lost their connection at once have another. An assumption."""
GO_LIFE = 60.0
"""Seconds after which Multus's HTTP client ends any request, watches too."""
GO_RATE = 50.0
"""Requests in a second that Multus's client sends, and at once."""
_GO_REPEATS = 10
"""How often Go's transport repeats a request that gets 429 before its caller is told."""


def _connecting() -> float:
    return random.uniform(0.0, CONNECTING)


@dataclass(eq=False)
class Watched:
    """One collection that a daemon lists and watches."""

    node: Node
    listing: Kind
    age: int | None = None
    """Of the server's memory that the known version is from; None: it has to be listed."""
    failures: int = 0
    opened: int = 0
    open: bool = False
    streams = False
    """Whether the list is the beginning of a watch."""

    @property
    def server(self) -> Server:
        return self.node.server

    def go(self) -> None:
        """List if necessary, then watch."""
        if self.age is None:
            self.node.ask(self.listing, self._listed)
        else:
            self.node.ask(WATCH, self._begun)

    def _listed(self, status: int) -> None:
        if status != OK:
            self.failed(status)
            return
        self.age = self.server.age
        if self.streams:
            self._begun(OK)
        else:
            self.node.ask(WATCH, self._begun)

    def _begun(self, status: int) -> None:
        if status == OK and self.age != self.server.age:
            self.age, status = None, GONE
        if status != OK:
            self.failed(status)
            return
        self.opened += 1
        self.open = True
        self.server.hold(self, self._lost)
        self.server.clock.after(self.life(), partial(self._end, self.opened))

    def _end(self, number: int) -> None:
        if number == self.opened and self.server.release(self):
            self.open = False
            self.ended()

    def _lost(self) -> None:
        self.opened += 1  # what was to end it finds another
        self.open = False
        self.lost()

    def again(self, seconds: float) -> None:
        self.server.clock.after(seconds, self.go)

    # -- what a client does then

    def life(self) -> float:
        raise NotImplementedError

    def ended(self) -> None:
        raise NotImplementedError

    def lost(self) -> None:
        raise NotImplementedError

    def failed(self, status: int) -> None:
        raise NotImplementedError


class OurWatch(Watched):
    """See :class:`multus_py.adapters.watching.Watch`."""

    def life(self) -> float:
        return PACE.life()

    def ended(self) -> None:
        self.failures = 1
        self.again(PACE.delay(1))

    def lost(self) -> None:
        self.failures = 1
        self.again(PACE.delay(1) + PACE.stray() + _connecting())

    def failed(self, status: int) -> None:
        self.failures += 1
        asked = RETRY_AFTER if status == TOO_MANY else 0.0
        stray = PACE.stray() if status == GONE else 0.0
        self.again(PACE.delay(self.failures, at_least=asked) + stray)


class GoWatch(Watched):
    """A reflector of client-go, in a client whose requests end after a minute."""

    streams = True
    repeats = 0

    def life(self) -> float:
        return GO_LIFE

    def ended(self) -> None:
        self.failures = self.repeats = 0
        self.go()

    def lost(self) -> None:
        self.failures = self.repeats = 0
        self.again(_connecting())

    def failed(self, status: int) -> None:
        if status == TOO_MANY and self.repeats < _GO_REPEATS:
            self.repeats += 1
            self.again(RETRY_AFTER)
            return
        longest = min(0.8 * 2**self.failures, 30.0)
        self.failures, self.repeats = self.failures + 1, 0
        self.again(longest * random.uniform(1.0, 2.0))


@dataclass(eq=False)
class Node:
    """A node and its daemon."""

    server: Server
    watches: tuple[Watched, ...] = field(init=False)

    def start(self) -> None:
        for watch in self.watches:
            watch.go()

    @property
    def settled(self) -> bool:
        return all(watch.open for watch in self.watches)

    def ask(self, kind: Kind, then: Callable[[int], None]) -> None:
        self.server.ask(kind, then)

    def attach(self, networks: int) -> None:
        """Do what an ADD of so many networks does, the primary one included."""
        raise NotImplementedError


class OurNode(Node):
    """A node with our daemon."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.watches = (OurWatch(self, LIST_PODS), OurWatch(self, LIST_NETWORKS))
        self._resting_until = 0.0
        self._next_event = 0.0

    def ask(self, kind: Kind, then: Callable[[int], None]) -> None:
        """Ask, unless the server wants to be left alone."""

        def answered(status: int) -> None:
            if status == TOO_MANY:
                self._resting_until = self.server.clock.now + RETRY_AFTER
            then(status)

        if self.server.clock.now < self._resting_until:
            self.server.clock.after(0.0, lambda: then(TOO_MANY))
        else:
            self.server.ask(kind, answered)

    def attach(self, networks: int) -> None:
        if not self.watches[0].open:
            self._write(GET, 0)
        self._write(STATUS, 0)
        for _ in range(networks):
            now = self.server.clock.now
            self._next_event = max(self._next_event + EVENT_PACE.interval, now)
            self.server.clock.after(self._next_event - now, lambda: self._write(EVENT, 0))

    def _write(self, kind: Kind, failures: int) -> None:
        def again(status: int) -> None:
            if status == OK:
                return
            asked = RETRY_AFTER if status == TOO_MANY else 0.0
            delay = backoff.delay(
                failures + 1,
                first=EVENT_PACE.first_delay,
                last=EVENT_PACE.last_delay,
                at_least=asked,
            )
            self.server.clock.after(delay, lambda: self._write(kind, failures + 1))

        self.ask(kind, again)


class MultusNode(Node):
    """A node with Multus's thick daemon."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.watches = (GoWatch(self, LIST_PODS), GoWatch(self, LIST_NETWORKS))
        self._full_at = 0.0
        """When as many as possible may be sent at once again."""

    def attach(self, networks: int) -> None:
        for kind in (*[EVENT] * networks, GET, STATUS):
            now = self.server.clock.now
            self._full_at = max(self._full_at, now) + 1 / GO_RATE
            wait = max(self._full_at - now - 1.0, 0.0)
            self.server.clock.after(wait, partial(self._send, kind))

    def _send(self, kind: Kind) -> None:
        def again(status: int) -> None:
            if status != OK:
                self.server.clock.after(RETRY_AFTER, lambda: self._send(kind))

        self.server.ask(kind, again)
