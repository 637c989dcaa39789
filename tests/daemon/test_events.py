from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from multus_py.adapters.connection import RefusedError
from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.core.ports import Event
from multus_py.daemon.events import Events, Pace
from multus_py.models.objects import Node, ObjectRef, Pod
from tests.processes import PATIENCE, eventually

FAST: dict[str, Any] = {"rest": 0.0, "interval": 0.0, "first_delay": 0.02, "last_delay": 0.05}
WEB = Pod(ObjectRef("default", "web"), "uid-1", {})


@dataclass
class Sender:
    """What sends events: fails as long as it is told to."""

    error: CniError | None = None
    tries: list[Any] = field(default_factory=list)
    sent: list[Any] = field(default_factory=list)
    lost: int = 0
    ready: threading.Event = field(default_factory=threading.Event)

    def send(self, event: Any) -> None:
        self.tries.append(event)
        assert self.ready.wait(PATIENCE)
        if self.error:
            raise self.error
        self.sent.append(event)

    def lose(self, count: int) -> None:
        self.lost += count

    @property
    def told(self) -> list[tuple[str, int]]:
        return [(event["message"], event["count"]) for event in self.sent]


Make = Callable[..., tuple[Events, Sender]]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make events and what sends them; they end with the test."""
    made: list[tuple[Events, Sender]] = []

    def make(error: CniError | None = None, **pace: Any) -> tuple[Events, Sender]:
        sender = Sender(error)
        events = Events(sender.send, on_lost=sender.lose, pace=Pace(**{**FAST, **pace}))
        events.start()
        made.append((events, sender))
        return events, sender

    yield make
    for events, sender in made:
        sender.ready.set()
        events.stop()


def added(message: str = "Add") -> Event:
    return Event("Normal", "AddedInterface", message)


def refused(status: int = 0) -> RefusedError:
    error = RefusedError(Code.API_FAILURE, "not now")
    error.status = status
    error.passing = status in {0, 429, 500}
    return error


def test_events_are_told_in_their_order_by_somebody_else(make: Make) -> None:
    events, sender = make()
    for number in range(5):
        events.tell(WEB, added(str(number)))
    assert sender.sent == []
    sender.ready.set()
    eventually(lambda: sender.told == [(str(number), 1) for number in range(5)])
    assert sender.sent[0]["involvedObject"]["uid"] == "uid-1"


def test_what_happens_again_while_it_waits_is_counted(make: Make) -> None:
    events, sender = make()
    events.tell(WEB, added("first"))
    eventually(lambda: sender.tries)
    for _ in range(100):
        events.tell(WEB, added())
    sender.ready.set()
    eventually(lambda: sender.told == [("first", 1), ("Add", 100)])
    assert sender.sent[1]["firstTimestamp"] <= sender.sent[1]["lastTimestamp"]


def test_an_event_rests_while_what_it_tells_of_goes_on(make: Make) -> None:
    """Those who wait for its ADD would wait for it as well: they share this process."""
    events, sender = make(rest=0.1)
    sender.ready.set()
    begun = time.monotonic()
    events.tell(WEB, added())
    eventually(lambda: sender.told == [("Add", 1)])
    assert time.monotonic() - begun >= 0.1


def test_no_event_rests_when_the_daemon_ends(make: Make) -> None:
    events, sender = make(rest=PATIENCE * 10)
    sender.ready.set()
    events.tell(WEB, added())
    events.finish(PATIENCE)
    eventually(lambda: sender.told == [("Add", 1)])


def test_an_event_may_be_about_the_node(make: Make) -> None:
    events, sender = make()
    sender.ready.set()
    events.tell(Node("worker"), added())
    [event] = eventually(lambda: sender.sent)
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Node",
        "name": "worker",
        "uid": "worker",
    }
    assert event["metadata"]["namespace"] == "default"
    assert event["metadata"]["name"].startswith("worker.")


def test_what_happens_again_later_is_told_again(make: Make) -> None:
    events, sender = make()
    sender.ready.set()
    events.tell(WEB, added())
    eventually(lambda: sender.told == [("Add", 1)])
    events.tell(WEB, added())
    eventually(lambda: sender.told == [("Add", 1)] * 2)


def test_the_same_event_of_another_pod_is_another(make: Make) -> None:
    events, sender = make()
    events.tell(WEB, added())
    events.tell(Pod(WEB.ref, "uid-2", {}), added())
    sender.ready.set()
    eventually(lambda: sender.told == [("Add", 1), ("Add", 1)])


def test_what_there_is_no_room_for_is_lost_and_counted(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    events, sender = make(limit=3)
    events.tell(WEB, added("first"))
    eventually(lambda: sender.tries)
    for number in range(10):
        events.tell(WEB, added(str(number)))
    assert (len(events), sender.lost) == (3, 7)
    assert caplog.text.count("events are lost") == 1
    sender.ready.set()
    eventually(lambda: sender.told == [("first", 1), ("0", 1), ("1", 1), ("2", 1)])


@pytest.mark.parametrize("status", [0, 429, 500])
def test_what_fails_for_a_moment_is_told_when_it_is_over(make: Make, status: int) -> None:
    events, sender = make(refused(status))
    sender.ready.set()
    events.tell(WEB, added())
    events.tell(WEB, added("second"))
    eventually(lambda: len(sender.tries) > 3)
    assert {event["metadata"]["name"] for event in sender.tries} == {
        sender.tries[0]["metadata"]["name"]
    }
    sender.error = None
    eventually(lambda: sender.told == [("Add", 1), ("second", 1)])
    assert sender.lost == 0


def test_what_is_no_news_any_more_is_lost(make: Make) -> None:
    events, sender = make(refused(500), patience=0.1)
    sender.ready.set()
    events.tell(WEB, added())
    eventually(lambda: sender.lost == 1)


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (NotFoundError(Code.NETWORK_NOT_FOUND, "no such namespace"), 0),
        (refused(409), 0),
        (refused(403), 1),
        (CniError(Code.API_REFUSED, "no kubeconfig"), 1),
    ],
)
def test_what_is_refused_is_tried_once(make: Make, error: CniError, lost: int) -> None:
    events, sender = make(error)
    sender.ready.set()
    events.tell(WEB, added())
    events.tell(WEB, added("last"))
    eventually(lambda: len(sender.tries) == 2)
    eventually(lambda: sender.lost == 2 * lost)
    assert [event["message"] for event in sender.tries] == ["Add", "last"]


def test_events_are_told_at_a_pace(make: Make) -> None:
    events, sender = make(interval=0.05)
    sender.ready.set()
    started = time.monotonic()
    for number in range(5):
        events.tell(WEB, added(str(number)))
    eventually(lambda: len(sender.sent) == 5)
    assert time.monotonic() - started >= 0.2


def test_what_waits_at_the_end_is_told_without_a_pause(make: Make) -> None:
    events, sender = make(interval=PATIENCE)
    sender.ready.set()
    for number in range(3):
        events.tell(WEB, added(str(number)))
    eventually(lambda: sender.sent)
    events.finish(PATIENCE)
    events.stop()
    assert sender.told == [("0", 1), ("1", 1), ("2", 1)]
    assert sender.lost == 0


def test_what_waits_at_the_end_has_its_time_and_no_more(make: Make) -> None:
    events, sender = make()
    events.tell(WEB, added("under way"))
    eventually(lambda: sender.tries)
    for message in ("Add", "Add", "Del"):
        events.tell(WEB, added(message))
    events.finish(0.0)
    sender.ready.set()
    events.stop()
    assert (sender.told, sender.lost) == ([("under way", 1)], 3)


def test_the_end_does_not_wait_for_a_server_that_is_away(make: Make) -> None:
    events, sender = make(refused(500), first_delay=PATIENCE, last_delay=PATIENCE)
    sender.ready.set()
    for number in range(3):
        events.tell(WEB, added(str(number)))
    eventually(lambda: sender.tries)
    events.finish(PATIENCE)
    events.stop()
    assert sender.lost == 3
    assert len(sender.tries) <= 2


def test_one_that_is_refused_at_the_end_keeps_no_other(make: Make) -> None:
    events, sender = make(refused(403), interval=PATIENCE)
    sender.ready.set()
    for number in range(3):
        events.tell(WEB, added(str(number)))
    eventually(lambda: sender.tries)
    events.finish(PATIENCE)
    events.stop()
    assert len(sender.tries) == 3


def test_a_mistake_does_not_end_the_telling(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[Any] = []

    def broken(event: Any) -> None:
        if event["message"] == "bad":
            raise LookupError("a mistake")
        sent.append(event)

    events = Events(broken, on_lost=lambda _: None)
    events.start()
    events.tell(WEB, added("bad"))
    events.tell(WEB, added("good"))
    eventually(lambda: sent)
    events.stop()
    assert "a mistake" in caplog.text
