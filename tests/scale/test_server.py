"""The API server of the simulation."""

from __future__ import annotations

from functools import partial

from tests.scale.server import OK, REFUSED, TOO_MANY, Clock, Kind, Server

ONE = Kind("one", 1, 1.0, writes=1)
WIDE = Kind("wide", 2, 1.0)


def test_what_finds_no_seat_waits_and_what_finds_no_room_is_refused() -> None:
    clock = Clock()
    server = Server(clock, seats=2, queue=1)
    told: list[tuple[str, int, float]] = []

    def note(name: str, status: int) -> None:
        told.append((name, status, clock.now))

    for name in ("first", "second", "third", "fourth"):
        server.ask(ONE, partial(note, name))
    clock.run(10.0)
    assert told == [
        ("fourth", TOO_MANY, 0.001),
        ("first", OK, 1.0),
        ("second", OK, 1.0),
        ("third", OK, 2.0),
    ]
    assert (server.book.writes, server.book.refused, server.book.longest_wait) == (3, 1, 1.0)
    assert (server.book.total("one"), server.book.peak(), server.seats) == (4, 4, 2)


def test_a_wide_request_waits_for_all_its_seats_and_nobody_overtakes() -> None:
    clock = Clock()
    server = Server(clock, seats=2, queue=10)
    told: list[str] = []
    server.ask(ONE, lambda _: told.append("first"))
    server.ask(WIDE, lambda _: told.append(f"wide at {clock.now}"))
    server.ask(ONE, lambda _: told.append(f"last at {clock.now}"))
    clock.run(10.0)
    assert told == ["first", "wide at 2.0", "last at 3.0"]


def test_who_waits_too_long_is_refused() -> None:
    clock = Clock()
    server = Server(clock, seats=1, queue=10)
    told: list[int] = []
    server.ask(Kind("slow", 1, 60.0), told.append)
    server.ask(ONE, told.append)
    clock.run(100.0)
    assert told == [OK, TOO_MANY]


def test_nobody_answers_while_it_is_away() -> None:
    clock = Clock()
    server = Server(clock, seats=1, queue=10, away=True)
    told: list[int] = []
    server.ask(ONE, told.append)
    clock.run(1.0)
    assert (told, server.book.unheard, server.book.total()) == ([REFUSED], 1, 0)
