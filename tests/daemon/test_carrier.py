from __future__ import annotations

import os
import socket
import threading
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from multus_py import wire
from multus_py.cni.errors import CniError, Code
from multus_py.core.ports import PluginCall
from multus_py.daemon.carrier import Carriers
from tests.processes import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from multus_py.core.ports import PluginExit

IDLE = 600
CALL = PluginCall(plugin="plugin", path=("/bin",), environment={}, stdin=b"", seconds=PATIENCE)
DONE = wire.packed(wire.REPLY, wire.ENDED, b"", b"0", b"out", b"")


@pytest.fixture
def carriers() -> Iterator[Carriers]:
    made = Carriers(idle_seconds=IDLE)
    yield made
    made.close()


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def arrives(
    carriers: Carriers, undo: ExitStack, path: bytes = b"/a:/b", *, level: int = wire.LEVEL
) -> socket.socket:
    """Have a carrier arrive that was asked for; return its end of the connection."""
    assert carriers.stay() == IDLE
    ours, theirs = socket.socketpair()
    undo.enter_context(theirs)
    wire.send(theirs, wire.CARRIER, b"%d" % level, path)
    carriers.receive(ours)
    return theirs


def work(carriers: Carriers, meanwhile: Callable[[], object] = lambda: None) -> PluginExit:
    """Have a plugin run by the carrier, after something has happened."""
    with carriers.borrowed() as hands:
        assert hands
        meanwhile()
        return hands.host.run(CALL)


def has_one(carriers: Carriers) -> bool:
    with carriers.borrowed() as hands:
        return hands is not None


def test_there_is_none_until_one_has_come(carriers: Carriers, undo: ExitStack) -> None:
    assert not has_one(carriers)
    arrives(carriers, undo, b"/a::/b\xff")
    with carriers.borrowed() as hands:
        assert hands
        assert hands.path == ("/a", "/b\udcff")


def test_it_runs_plugins(carriers: Carriers, undo: ExitStack) -> None:
    theirs = arrives(carriers, undo)
    for _ in range(2):
        theirs.sendall(DONE)
        assert work(carriers).stdout == b"out"


@pytest.mark.parametrize("level", [1, wire.LEVEL])
def test_it_is_asked_as_far_as_it_understands_and_returns_what_it_was_lent(
    tmp_path: Path, carriers: Carriers, undo: ExitStack, level: int
) -> None:
    theirs = arrives(carriers, undo, level=level)
    call = replace(CALL, environment={"CNI_NETNS": "/x"}, new_link="net1")
    for how in [wire.ENDED, *([wire.NO] if level == 1 else []), wire.ENDED, wire.ENDED]:
        wire.send(theirs, wire.REPLY, how, b"", b"0")
    with carriers.borrowed() as hands:
        assert hands
        with hands.host.lock(str(tmp_path / "lock"), 0):
            hands.host.run(call)
    lent: list[int] = []
    looked = [wire.LOOK] if level == 1 else []
    orders = [wire.receive(theirs, descriptors=lent) for _ in (wire.LEND, *looked, 1, 2)]
    assert [kind for kind, _ in orders] == [wire.LEND, *looked, wire.RUN, wire.RETURN]
    assert len(orders[-2][1]) == (5 if level == 1 else 6)
    os.close(*lent)


def test_one_that_is_on_its_way_is_waited_for(carriers: Carriers, undo: ExitStack) -> None:
    """A network may be attached to a pod the moment it has started."""
    assert carriers.stay() == IDLE
    ours, theirs = socket.socketpair()
    undo.enter_context(theirs)
    arrival = threading.Thread(target=carriers.receive, args=(ours,))

    def report() -> None:
        arrival.start()
        wire.send(theirs, wire.CARRIER, b"1", b"/a")

    begun = threading.Timer(0.05, report)
    begun.start()
    with carriers.borrowed(PATIENCE) as hands:
        assert hands
    begun.join()
    arrival.join()


def test_nobody_waits_longer_for_one_than_they_said(carriers: Carriers) -> None:
    assert carriers.stay() == IDLE
    with carriers.borrowed(0.01) as hands:
        assert hands is None


def test_at_most_one_is_asked_for(carriers: Carriers, undo: ExitStack) -> None:
    assert carriers.stay() == IDLE
    assert carriers.stay() == 0, "one is promised"
    ours, theirs = socket.socketpair()
    theirs.close()
    carriers.receive(ours)
    assert ours.fileno() == -1
    arrives(carriers, undo)
    assert carriers.stay() == 0, "one is there"


@pytest.mark.parametrize(
    "report",
    [b"", b"GET /", wire.packed(wire.REQUEST, b"1", b""), wire.packed(wire.CARRIER)[:5]],
)
def test_one_that_does_not_report_is_none(
    carriers: Carriers, undo: ExitStack, report: bytes
) -> None:
    assert carriers.stay() == IDLE
    ours, theirs = socket.socketpair()
    theirs.sendall(report)
    theirs.close()
    carriers.receive(ours)
    assert not has_one(carriers)
    arrives(carriers, undo)
    assert has_one(carriers)


def test_none_is_asked_for_where_they_are_switched_off() -> None:
    carriers = Carriers(idle_seconds=0)
    assert [carriers.stay(), carriers.stay()] == [0, 0]


def test_one_that_has_gone_is_forgotten_and_the_next_is_asked(
    carriers: Carriers, undo: ExitStack
) -> None:
    for _ in range(3):
        theirs = arrives(carriers, undo)
        assert has_one(carriers)
        theirs.close()
        assert not has_one(carriers)


def test_the_next_is_asked_even_if_nobody_has_used_the_lost_one(
    carriers: Carriers, undo: ExitStack
) -> None:
    arrives(carriers, undo).close()
    arrives(carriers, undo)
    assert has_one(carriers)


def test_one_that_is_idle_for_long_is_kept(carriers: Carriers, undo: ExitStack) -> None:
    """It says nothing; its connection has a time limit from its last use all the same."""
    theirs = arrives(carriers, undo)
    theirs.sendall(DONE)
    work(carriers)
    done: list[bool] = []
    asking = threading.Thread(target=lambda: done.append(has_one(carriers)), daemon=True)
    asking.start()
    asking.join(1.0)
    assert done == [True], "that takes no time"


def test_one_that_is_lost_in_the_midst_is_forgotten(carriers: Carriers, undo: ExitStack) -> None:
    theirs = arrives(carriers, undo)
    with pytest.raises(wire.LostError):
        work(carriers, theirs.close)
    arrives(carriers, undo)


def test_one_that_says_nonsense_is_lost(carriers: Carriers, undo: ExitStack) -> None:
    theirs = arrives(carriers, undo)
    theirs.sendall(wire.packed(wire.REPLY, wire.ENDED, b"", b"x"))
    with pytest.raises(wire.LostError):
        work(carriers)
    assert theirs.recv(1 << 20)
    assert theirs.recv(1) == b"", "and it is told so"
    assert not has_one(carriers)


def test_an_error_of_a_plugin_loses_nobody(carriers: Carriers, undo: ExitStack) -> None:
    theirs = arrives(carriers, undo)
    theirs.sendall(wire.packed(wire.REPLY, wire.MISSING))
    with pytest.raises(CniError) as caught:
        work(carriers)
    assert caught.value.code == Code.DELEGATE_MISSING
    assert has_one(carriers)


def test_a_successor_is_not_forgotten_with_its_predecessor(
    carriers: Carriers, undo: ExitStack
) -> None:
    """While the lost one is still in use, a shim may have been asked to stay already."""
    theirs = arrives(carriers, undo)

    def succeed() -> None:
        theirs.close()
        arrives(carriers, undo)

    with pytest.raises(wire.LostError):
        work(carriers, succeed)
    assert has_one(carriers)


def test_one_user_at_a_time(carriers: Carriers, undo: ExitStack) -> None:
    arrives(carriers, undo)
    with carriers.borrowed() as hands:
        assert hands
        assert not has_one(carriers)
        with carriers.borrowed(0.01) as others:
            assert others is None
    assert has_one(carriers)


def test_who_waits_gets_it(carriers: Carriers, undo: ExitStack) -> None:
    arrives(carriers, undo)
    got: list[bool] = []

    def wait() -> None:
        with carriers.borrowed(PATIENCE) as hands:
            got.append(hands is not None)

    with carriers.borrowed():
        waiting = threading.Thread(target=wait)
        waiting.start()
    waiting.join()
    assert got == [True]


def test_its_arrival_is_told(carriers: Carriers, undo: ExitStack) -> None:
    told: list[bool] = []
    carriers.on_arrival(lambda: told.append(has_one(carriers)))
    arrives(carriers, undo)
    assert told == [True]


def test_it_ends_with_the_daemon(carriers: Carriers, undo: ExitStack) -> None:
    theirs = arrives(carriers, undo)
    carriers.close()
    assert theirs.recv(1) == b""
    assert carriers.stay() == 0
    assert not has_one(carriers)


def test_its_user_is_woken_by_the_end_of_the_daemon(carriers: Carriers, undo: ExitStack) -> None:
    theirs = arrives(carriers, undo)
    lost: list[bool] = []

    def use() -> None:
        with pytest.raises(wire.LostError):
            work(carriers)
        lost.append(True)

    user = threading.Thread(target=use)
    user.start()
    eventually(lambda: theirs.recv(1 << 20))
    carriers.close()
    user.join()
    assert lost == [True]


def test_one_that_comes_too_late_ends(carriers: Carriers) -> None:
    assert carriers.stay() == IDLE
    carriers.close()
    ours, theirs = socket.socketpair()
    with theirs:
        wire.send(theirs, wire.CARRIER, b"1", b"")
        carriers.receive(ours)
        assert theirs.recv(1) == b""
