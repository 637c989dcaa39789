"""Following: at once where nothing speaks against it, else after a while, and never by chance."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from multus_py.cni.errors import CniError, NotFoundError
from multus_py.core import primary
from multus_py.models.config import OUR_TYPES
from multus_py.node.following import Follower, SettlingError
from tests.core.test_primary import BRIDGE, OURS, file


@dataclass
class Time:
    now: float = 0.0

    def follower(self, *, named: str = "", expected: str = "") -> Follower:
        return Follower(named=named, settle=2.0, clock=lambda: self.now, expected=expected)


def chosen(follower: Follower, **content: object) -> str:
    """Return which of the files, named by a letter, is followed."""
    files = [file(f"{name}.conf", value) for name, value in content.items()]
    found = follower.choose(files, own_types=OUR_TYPES, beside=primary.nothing_beside)
    return found.name.removesuffix(".conf")


def refused(follower: Follower, **content: object) -> CniError:
    with pytest.raises(CniError) as caught:
        chosen(follower, **content)
    return caught.value


def test_the_first_is_followed_and_then_a_better_one() -> None:
    follower = Time().follower()
    assert chosen(follower, b=BRIDGE, c=BRIDGE) == "b"
    assert chosen(follower, a=BRIDGE, b=BRIDGE) == "a"
    assert chosen(follower, a=BRIDGE, B=BRIDGE) == "B"


def test_a_worse_one_is_followed_after_the_other_has_been_gone_for_a_while() -> None:
    time = Time()
    follower = time.follower()
    chosen(follower, a=BRIDGE, b=BRIDGE)
    error = refused(follower, b=BRIDGE)
    assert isinstance(error, SettlingError)
    assert (error.seconds, error.cause) == (
        2.0,
        "a.conf is not usable; b.conf is about to be followed",
    )
    time.now = 1.5
    assert getattr(refused(follower, b=BRIDGE), "seconds", None) == 0.5
    time.now = 2.0
    assert chosen(follower, b=BRIDGE) == "b"


def test_the_time_begins_anew_when_it_was_back_meanwhile() -> None:
    time = Time()
    follower = time.follower()
    chosen(follower, a=BRIDGE)
    refused(follower, b=BRIDGE)
    time.now = 1.9
    assert chosen(follower, a=BRIDGE, b=BRIDGE) == "a"
    time.now = 3.0
    assert isinstance(refused(follower, b=BRIDGE), SettlingError)


def test_the_time_begins_anew_for_another_one() -> None:
    time = Time()
    follower = time.follower()
    chosen(follower, a=BRIDGE)
    refused(follower, c=BRIDGE)
    time.now = 1.9
    assert isinstance(refused(follower, b=BRIDGE, c=BRIDGE), SettlingError)
    time.now = 3.9
    assert chosen(follower, b=BRIDGE, c=BRIDGE) == "b"


@pytest.mark.parametrize("broken", [b"", b"{", {}])
def test_one_that_is_broken_is_held_for_as_long_as_it_is_there(broken: object) -> None:
    time = Time()
    follower = time.follower()
    chosen(follower, a=BRIDGE)
    for now in (0.0, 3.0, 300.0):
        time.now = now
        error = refused(follower, a=broken, b=BRIDGE)
        assert not isinstance(error, SettlingError)
        assert error.where == ("a.conf",)
    refused(follower, b=BRIDGE)
    time.now = 302.0
    assert chosen(follower, b=BRIDGE) == "b"


def test_one_that_calls_us_by_now_is_as_good_as_gone() -> None:
    time = Time()
    follower = time.follower()
    chosen(follower, a=BRIDGE)
    assert isinstance(refused(follower, a=OURS, b=BRIDGE), SettlingError)
    time.now = 2.0
    assert chosen(follower, a=OURS, b=BRIDGE) == "b"


def test_at_the_start_a_better_one_may_still_be_in_the_writing() -> None:
    time = Time()
    follower = time.follower()
    assert "a file that sorts before it" in refused(follower, a=b"{", b=BRIDGE).cause
    time.now = 2.0
    assert chosen(follower, a=b"{", b=BRIDGE) == "b"
    assert chosen(follower, a=BRIDGE, b=BRIDGE) == "a"


def test_at_the_start_what_is_ours_delays_nothing() -> None:
    assert chosen(Time().follower(), a=OURS, b=BRIDGE, c=b"{") == "b"


def test_at_the_start_another_network_than_before_is_doubted() -> None:
    assert chosen(Time().follower(expected="lan"), a=BRIDGE) == "a"
    time = Time()
    follower = time.follower(expected="wan")
    assert isinstance(refused(follower, a=BRIDGE), SettlingError)
    time.now = 2.0
    assert chosen(follower, a=BRIDGE) == "a"


def test_only_the_named_one_is_followed() -> None:
    follower = Time().follower(named="b.conf")
    assert chosen(follower, a=BRIDGE, b=BRIDGE) == "b"
    assert isinstance(refused(follower, a=BRIDGE), NotFoundError)
    assert chosen(follower, a=BRIDGE, b=BRIDGE) == "b"
