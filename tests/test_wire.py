from __future__ import annotations

import fcntl
import os
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multus_py import wire
from multus_py.wire import GarbledError, LostError
from tests.processes import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = st.integers(0, 255)
FIELDS = st.lists(st.binary(max_size=200), max_size=8)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with both() as connections:
        yield connections


class both:  # noqa: N801 - reads like the function it would be without hypothesis
    """Two ends of a connection; hypothesis needs them anew for each example."""

    def __enter__(self) -> tuple[socket.socket, socket.socket]:
        self.ends = socket.socketpair()
        return self.ends

    def __exit__(self, *_: object) -> None:
        for end in self.ends:
            end.close()


def received(raw: bytes, *, least: int = 0) -> tuple[int, list[bytes]]:
    """Return what is understood of these bytes, after which the sender is gone."""
    with both() as (ours, theirs):
        theirs.sendall(raw)
        theirs.close()
        return wire.receive(ours, least=least)


# -- what arrives


@given(KINDS, FIELDS)
def test_a_frame_arrives_as_it_was_sent(kind: int, fields: list[bytes]) -> None:
    assert received(wire.packed(kind, *fields)) == (kind, fields)


@given(st.lists(st.tuples(KINDS, FIELDS), max_size=6))
def test_frames_arrive_one_by_one(frames: list[tuple[int, list[bytes]]]) -> None:
    with both() as (ours, theirs):
        theirs.sendall(b"".join(wire.packed(kind, *fields) for kind, fields in frames))
        assert [wire.receive(ours) for _ in frames] == frames


class Stingy(socket.socket):
    """A connection that gives one byte at a time."""

    def recv(self, length: int, flags: int = 0) -> bytes:
        return super().recv(min(length, 1), flags)


@given(KINDS, FIELDS)
def test_a_frame_arrives_in_whatever_pieces(kind: int, fields: list[bytes]) -> None:
    with both() as (ours, theirs), Stingy(fileno=ours.detach()) as stingy:
        wire.send(theirs, kind, *fields)
        assert wire.receive(stingy) == (kind, fields)


def test_sixteen_mebibytes_fit_into_a_frame() -> None:
    frame = wire.packed(wire.REQUEST, b"1", b"x" * (16 << 20), b"CNI_COMMAND=ADD")
    assert len(frame) < wire.LIMIT


# -- neighbouring versions


@given(KINDS, FIELDS, FIELDS)
def test_fields_that_a_newer_side_has_appended_do_no_harm(
    kind: int, fields: list[bytes], newer: list[bytes]
) -> None:
    _, found = received(wire.packed(kind, *fields, *newer), least=len(fields))
    assert found[: len(fields)] == fields


@given(KINDS, FIELDS, st.integers(0, 12))
def test_fields_that_an_older_side_does_not_send_are_empty(
    kind: int, fields: list[bytes], least: int
) -> None:
    _, found = received(wire.packed(kind, *fields), least=least)
    missing = max(least - len(fields), 0)
    assert found == fields + [b""] * missing


@pytest.mark.parametrize("version", [0, wire.VERSION + 1, 255])
def test_frames_of_another_version_are_refused(version: int) -> None:
    raw = wire.packed(wire.ACCEPTED)
    with pytest.raises(GarbledError, match=f"version {version}, not {wire.VERSION}"):
        received(raw[:2] + bytes([version]) + raw[3:])


def test_kinds_and_the_bytes_of_a_frame_never_change() -> None:
    """Nodes are updated one after the other, and a launcher before or after its daemon."""
    known = {
        "REQUEST": 1,
        "CARRIER": 2,
        "REPLY": 3,
        "ACCEPTED": 16,
        "ANSWER": 17,
        "RUN": 18,
        "HELP": 19,
        "LOOK": 20,
        "LEND": 21,
        "RETURN": 22,
    }
    assert {name: getattr(wire, name) for name in known} == known
    assert wire.packed(17, b"0", b"ab") == b"mp\1\x11\0\0\0\x0b\0\0\0\x010\0\0\0\x02ab"


# -- what is none of ours


@given(st.binary(max_size=64))
def test_garbage_is_no_frame(raw: bytes) -> None:
    if raw[:3] == b"mp\1":
        raw = b"MP" + raw[2:]
    with pytest.raises(LostError):
        received(raw)


@given(KINDS, FIELDS, st.data())
def test_a_frame_that_is_cut_off_is_a_loss(
    kind: int, fields: list[bytes], data: st.DataObject
) -> None:
    raw = wire.packed(kind, *fields)
    with pytest.raises(LostError, match="connection closed"):
        received(raw[: data.draw(st.integers(0, len(raw) - 1))])


@given(KINDS, FIELDS, st.data())
def test_no_bit_that_is_flipped_leads_to_anything_but_a_frame_or_a_loss(
    kind: int, fields: list[bytes], data: st.DataObject
) -> None:
    raw = bytearray(wire.packed(kind, *fields))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    try:
        _, found = received(bytes(raw))
    except LostError:
        return
    assert sum(map(len, found)) <= len(raw)


def test_a_frame_that_announces_too_much_is_refused_at_once() -> None:
    with pytest.raises(GarbledError, match="frame of 4294967295 bytes"):
        received(b"mp\1\1\xff\xff\xff\xff")


def test_a_frame_that_would_be_refused_is_not_sent(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    with pytest.raises(GarbledError):
        wire.send(theirs, wire.REQUEST, b"x" * wire.LIMIT)
    theirs.close()
    with pytest.raises(LostError, match="connection closed"):
        wire.receive(ours)


def test_room_is_made_for_what_comes_not_for_what_is_announced(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    asked: list[int] = []

    class Watched(socket.socket):
        def recv(self, length: int, flags: int = 0) -> bytes:
            asked.append(length)
            return super().recv(length, flags)

    theirs.sendall(b"mp\1\1" + (wire.LIMIT).to_bytes(4, "big"))
    theirs.close()
    with Watched(fileno=ours.detach()) as watched, pytest.raises(LostError):
        wire.receive(watched)
    assert max(asked) <= 1 << 16


@pytest.mark.parametrize("field", [b"x", b"1.5", b"\xff", b"9" * 5000])
def test_a_field_that_is_no_number_is_garbage(field: bytes) -> None:
    with pytest.raises(GarbledError):
        wire.number(field)


@pytest.mark.parametrize("field", [b"x", b"", b"\xff"])
def test_a_field_that_is_no_time_is_garbage(field: bytes) -> None:
    with pytest.raises(GarbledError):
        wire.seconds(field)


def test_a_number_that_an_older_side_does_not_send_is_zero() -> None:
    assert (wire.number(b""), wire.number(b"-9")) == (0, -9)


# -- the other side


def test_who_says_nothing_is_lost_in_time(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    ours.settimeout(0.01)
    with pytest.raises(LostError, match="timed out"):
        wire.receive(ours)


def test_who_reads_nothing_is_lost_in_time(pair: tuple[socket.socket, socket.socket]) -> None:
    _, theirs = pair
    theirs.settimeout(0.01)
    with pytest.raises(LostError, match="timed out"):
        wire.send(theirs, wire.RUN, b"x" * (4 << 20))


def test_who_is_gone_is_lost(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    ours.close()
    with pytest.raises(LostError):
        wire.send(theirs, wire.ACCEPTED)
    with pytest.raises(LostError):
        wire.lend(theirs, 0)
    theirs.close()
    with pytest.raises(LostError):
        wire.receive(theirs)


# -- descriptors


def test_a_descriptor_is_lent_and_can_be_inherited(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    reader, writer = os.pipe()
    wire.send(theirs, wire.RETURN)
    wire.lend(theirs, writer)
    wire.send(theirs, wire.RETURN)
    os.close(writer)
    lent: list[int] = []
    kinds = [wire.receive(ours, descriptors=lent)[0] for _ in range(3)]
    assert kinds == [wire.RETURN, wire.LEND, wire.RETURN]
    assert len(lent) == 1
    assert os.get_inheritable(lent[0])
    os.write(lent[0], b"through")
    os.close(lent[0])
    assert os.read(reader, 100) == b"through"
    os.close(reader)


def test_no_descriptor_is_left_that_nobody_asked_for(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    before = set(os.listdir("/proc/self/fd"))
    wire.lend(theirs, 0)
    assert wire.receive(ours) == (wire.LEND, [])
    eventually(lambda: set(os.listdir("/proc/self/fd")) == before)


def test_all_descriptors_that_come_are_told(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    before = set(os.listdir("/proc/self/fd"))
    socket.send_fds(theirs, [wire.packed(wire.LEND)], [0, 0, 0, 0])
    lent: list[int] = []
    wire.receive(ours, descriptors=lent)
    for descriptor in lent:
        fcntl.fcntl(descriptor, fcntl.F_GETFD)
        os.close(descriptor)
    eventually(lambda: set(os.listdir("/proc/self/fd")) == before)
