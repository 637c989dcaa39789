"""Lengths of time as Go writes them."""

from __future__ import annotations

import pytest

from multus_py.models import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 600),
        ("1h30m", 5400),
        ("24h", 86400),
        ("2.5s", 2.5),
        (".5h", 1800),
        ("1.h", 3600),
        ("1500ms", 1.5),
        ("0s", 0),
        ("1m1m", 120),
        ("2000000us", 2),
        ("2000000µs", 2),
        ("3000000000ns", 3),
    ],
)
def test_a_duration_is_so_many_seconds(text: str, seconds: float) -> None:
    assert durations.seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "m", "10 m", "1d", "-10m", "10m ", "h10m", "1.2.3s"])
def test_what_is_none_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration like 10m"):
        durations.seconds(text)
