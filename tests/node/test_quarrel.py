"""A quarrel: three fights within a minute begin it, a minute of peace ends it."""

from __future__ import annotations

from multus_py.node.quarrel import Quarrel, Temper


def test_the_third_restoration_within_the_window_begins_it() -> None:
    quarrel = Quarrel(Temper())
    assert [quarrel.restored(now) for now in (0.0, 30.0, 60.0)] == [False, False, True]
    assert quarrel.on
    assert not quarrel.restored(61.0), "it begins once"


def test_three_in_a_longer_time_do_not() -> None:
    quarrel = Quarrel(Temper())
    assert [quarrel.restored(now) for now in (0.0, 31.0, 61.0, 92.0)] == [False] * 4
    assert not quarrel.on
    assert quarrel.wait(92.0) == 0.0


def test_in_a_quarrel_each_restoration_waits() -> None:
    quarrel = Quarrel(Temper())
    for now in (0.0, 1.0, 2.0):
        assert quarrel.wait(now) == 0.0
        quarrel.restored(now)
    assert (quarrel.wait(2.0), quarrel.wait(12.0), quarrel.wait(40.0)) == (30.0, 20.0, 0.0)


def test_it_ends_after_a_time_of_peace() -> None:
    quarrel = Quarrel(Temper())
    for now in (0.0, 1.0, 2.0):
        quarrel.restored(now)
    assert [quarrel.settled(now) for now in (3.0, 62.0, 62.5, 63.0)] == [False, False, True, False]
    assert not quarrel.on
    assert [quarrel.restored(now) for now in (64.0, 65.0)] == [False, False]
