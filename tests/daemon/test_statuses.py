from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from multus_py.adapters.connection import RefusedError
from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.core import backoff
from multus_py.daemon.statuses import Statuses
from multus_py.models.objects import ObjectRef, Pod
from tests.processes import PATIENCE, eventually


@dataclass
class Writer:
    """What writes statuses: fails as long as it is told to."""

    error: CniError | None = None
    tries: list[tuple[str, str]] = field(default_factory=list)
    written: list[tuple[str, str]] = field(default_factory=list)
    hold: threading.Event | None = None
    """Nothing is written before this is set."""

    def write(self, pod: Pod, annotation: str) -> None:
        self.tries.append((pod.uid, annotation))
        if self.hold:
            assert self.hold.wait(PATIENCE)
        if self.error:
            raise self.error
        self.written.append((pod.uid, annotation))


Make = Callable[..., tuple[Statuses, Writer]]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make statuses and what writes them; they end with the test."""
    made: list[tuple[Statuses, Writer]] = []

    def make(
        error: CniError | None = None, limit: int = 10, last_delay: float = 0.1
    ) -> tuple[Statuses, Writer]:
        writer = Writer(error)
        pause = backoff.Pause(first=last_delay / 5, last=last_delay)
        statuses = Statuses(writer.write, pause=pause, limit=limit)
        statuses.start()
        made.append((statuses, writer))
        return statuses, writer

    yield make
    for statuses, writer in made:
        writer.error = None
        if writer.hold:
            writer.hold.set()
        statuses.stop(0)


def a_pod(uid: str = "uid-1") -> Pod:
    return Pod(ObjectRef("default", "web"), uid, {})


def passing() -> RefusedError:
    error = RefusedError(Code.TRY_AGAIN_LATER, "away")
    error.passing = True
    return error


def refusing() -> RefusedError:
    error = RefusedError(Code.API_REFUSED, "no")
    error.status = 403
    return error


def test_what_can_be_written_is_written_at_once(make: Make) -> None:
    statuses, writer = make()
    statuses.now(a_pod(), "[]")
    assert writer.written == [("uid-1", "[]")]
    assert len(statuses) == 0


def test_what_has_time_is_written_by_somebody_else(make: Make) -> None:
    statuses, writer = make()
    writer.hold = threading.Event()
    assert statuses.later(a_pod(), "[]")
    assert writer.written == []
    writer.hold.set()
    eventually(lambda: writer.written == [("uid-1", "[]")])


def test_what_fails_for_a_moment_is_written_until_it_succeeds(make: Make) -> None:
    statuses, writer = make(passing())
    statuses.now(a_pod(), "[]")
    eventually(lambda: len(writer.tries) > 3)
    assert len(statuses) <= 1
    writer.error = None
    eventually(lambda: writer.written == [("uid-1", "[]")])
    eventually(lambda: len(statuses) == 0)


def test_what_is_refused_is_an_error(make: Make) -> None:
    statuses, writer = make(refusing())
    with pytest.raises(RefusedError, match="no"):
        statuses.now(a_pod(), "[]")
    assert len(statuses) == 0
    assert len(writer.tries) == 1


def test_what_is_refused_behind_the_scenes_is_tried_until_it_is_allowed(make: Make) -> None:
    statuses, writer = make(refusing())
    statuses.later(a_pod("uid-refused"), "[]")
    eventually(lambda: len(writer.tries) > 2)
    writer.error = None
    eventually(lambda: writer.written == [("uid-refused", "[]")])


@pytest.mark.parametrize(
    "error", [NotFoundError(Code.NETWORK_NOT_FOUND, "gone"), CniError(Code.POD_REPLACED, "other")]
)
def test_a_pod_that_is_not_there_any_more_needs_nothing(make: Make, error: CniError) -> None:
    statuses, writer = make(error)
    statuses.later(a_pod(), "[]")
    eventually(lambda: writer.tries)
    statuses.stop(0)
    assert len(statuses) == 0
    assert len(writer.tries) == 1


def test_statuses_wait_for_as_long_as_the_server_asks(make: Make) -> None:
    busy = passing()
    busy.retry_after = 0.5
    statuses, writer = make(busy)
    begun = time.monotonic()
    statuses.later(a_pod(), "[1]")
    eventually(lambda: len(writer.tries) == 2)
    assert time.monotonic() - begun >= 0.5


def test_the_newest_status_of_a_pod_is_the_one_that_is_written(make: Make) -> None:
    statuses, writer = make(passing())
    for number in range(5):
        statuses.later(a_pod(), f"[{number}]")
    writer.error = None
    eventually(lambda: writer.written)
    eventually(lambda: len(statuses) == 0)
    assert writer.written[-1] == ("uid-1", "[4]")


def test_an_older_status_on_its_way_does_not_arrive_last(make: Make) -> None:
    statuses, writer = make()
    writer.hold = threading.Event()
    statuses.later(a_pod(), "[old]")
    eventually(lambda: writer.tries)
    statuses.now(a_pod(), "[new]")
    writer.hold.set()
    eventually(lambda: len(writer.written) == 2)
    assert writer.written == [("uid-1", "[old]"), ("uid-1", "[new]")]


def test_an_older_status_that_failed_does_not_replace_the_newer_one(make: Make) -> None:
    statuses, writer = make(passing())
    writer.hold = threading.Event()
    statuses.later(a_pod(), "[old]")
    eventually(lambda: writer.tries)
    statuses.later(a_pod(), "[new]")
    writer.hold.set()
    eventually(lambda: len(writer.tries) > 2)
    writer.error = None
    eventually(lambda: writer.written)
    assert writer.written == [("uid-1", "[new]")]


def test_what_is_written_at_once_replaces_what_waits(make: Make) -> None:
    statuses, writer = make(refusing())
    statuses.later(a_pod(), "[old]")
    eventually(lambda: writer.tries)
    eventually(lambda: len(statuses) == 1)
    writer.error = None
    statuses.now(a_pod(), "[new]")
    statuses.stop(PATIENCE)
    assert writer.written[-1] == ("uid-1", "[new]")
    assert len(statuses) == 0


def test_a_pod_that_is_gone_is_forgotten(make: Make) -> None:
    statuses, writer = make(passing())
    for uid in ("uid-1", "uid-2"):
        statuses.later(a_pod(uid), "[]")
    eventually(lambda: writer.tries)
    eventually(lambda: len(statuses) == 2)
    statuses.drop("uid-1")
    eventually(lambda: len(statuses) == 1)
    writer.error = None
    eventually(lambda: writer.written)
    statuses.stop(PATIENCE)
    assert writer.written[-1] == ("uid-2", "[]")


def test_what_waits_is_bounded(make: Make) -> None:
    statuses, writer = make(passing(), limit=2, last_delay=PATIENCE)
    for uid in ("uid-1", "uid-2"):
        statuses.later(a_pod(uid), "[]")
    eventually(lambda: writer.tries)
    eventually(lambda: len(statuses) == 2)
    assert not statuses.later(a_pod("uid-3"), "[]")
    assert statuses.later(a_pod("uid-2"), "[new]")
    with pytest.raises(RefusedError, match="away"):
        statuses.now(a_pod("uid-3"), "[]")
    assert len(statuses) == 2


def test_while_nothing_can_be_written_nobody_waits_for_it(make: Make) -> None:
    statuses, writer = make(passing(), last_delay=PATIENCE)
    statuses.later(a_pod("uid-1"), "[]")
    eventually(lambda: writer.tries)
    eventually(lambda: len(statuses) == 1)
    statuses.now(a_pod("uid-2"), "[]")
    assert (len(statuses), writer.tries) == (2, [("uid-1", "[]")])


def test_writers_that_fail_together_have_failed_once() -> None:
    writer = Writer(passing(), hold=threading.Event())
    pause = backoff.Pause(first=PATIENCE, last=10 * PATIENCE)
    statuses = Statuses(writer.write, pause=pause)
    statuses.start()
    for number in range(3):
        statuses.later(a_pod(f"uid-{number}"), "[]")
    eventually(lambda: len(writer.tries) == 2)
    assert writer.hold
    writer.hold.set()
    statuses.stop(0)
    assert (pause.failures, len(writer.tries)) == (1, 2)


def test_what_waits_at_the_end_is_written(make: Make) -> None:
    statuses, writer = make()
    for number in range(10):
        statuses.later(a_pod(f"uid-{number}"), "[]")
    statuses.stop(PATIENCE)
    assert len(writer.written) == 10


def test_the_end_does_not_wait_for_a_server_that_is_away(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    statuses, writer = make(passing())
    statuses.later(a_pod(), "[]")
    eventually(lambda: len(writer.tries) > 1)
    statuses.stop(PATIENCE)
    assert "1 pods are left without their network-status" in caplog.text


def test_a_mistake_does_not_end_the_writing(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    written: list[str] = []

    def broken(pod: Pod, annotation: str) -> None:
        if pod.uid == "uid-bad":
            raise LookupError("a mistake")
        written.append(pod.uid)

    statuses = Statuses(broken)
    statuses.start()
    for uid in ["uid-bad"] * 5 + ["uid-1"]:
        statuses.later(a_pod(uid), "[]")
        eventually(lambda: len(statuses) == 0)
    statuses.stop(PATIENCE)
    assert written == ["uid-1"]
    assert "a mistake" in caplog.text


def test_a_status_that_waits_is_changed_where_it_waits(make: Make) -> None:
    statuses, writer = make(passing(), last_delay=100_000.0)
    statuses.now(a_pod(), "[")
    assert statuses.edit(a_pod(), lambda text: text + "]")
    writer.error = None
    statuses.stop(PATIENCE)
    assert writer.written == [("uid-1", "[]")]


def test_a_status_that_does_not_wait_is_not_changed_here(make: Make) -> None:
    statuses, writer = make()
    statuses.now(a_pod(), "[]")
    assert not statuses.edit(a_pod(), str.upper)
    assert writer.written == [("uid-1", "[]")]


def test_a_change_waits_for_the_status_that_is_being_written(make: Make) -> None:
    """Or that would arrive last."""
    statuses, writer = make()
    writer.hold = threading.Event()
    statuses.later(a_pod(), "[]")
    eventually(lambda: writer.tries)
    answers: list[bool] = []
    editor = threading.Thread(target=lambda: answers.append(statuses.edit(a_pod(), str.upper)))
    editor.start()
    assert answers == []
    writer.hold.set()
    editor.join()
    assert answers == [False]
    assert writer.written == [("uid-1", "[]")]
