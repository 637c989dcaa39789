from __future__ import annotations

from statistics import median

import pytest

from tests.bench.spread import estimate, quantile, ratio, ratio_without, without


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1.0), (0.5, 3.0), (0.9, 4.6), (1.0, 5.0), (0.25, 2.0)]
)
def test_a_quantile_lies_between_the_samples_beside_it(share: float, value: float) -> None:
    assert quantile([5.0, 1.0, 4.0, 2.0, 3.0], share) == pytest.approx(value)


def test_one_sample_is_every_quantile() -> None:
    assert quantile([7.0], 0.99) == 7.0


def test_an_interval_holds_the_value_and_stays_within_the_samples() -> None:
    samples = [float(number) for number in range(50)]

    found = estimate(median, samples)

    assert found.value == 24.5
    assert 0 < found.low < found.value < found.high < 49
    assert found.count == 50


def test_equal_samples_leave_no_doubt() -> None:
    found = ratio([3.0] * 9, [6.0] * 9)
    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)


def test_the_same_samples_have_the_same_interval() -> None:
    samples = [1.0, 4.0, 2.0, 8.0]
    assert estimate(median, samples) == estimate(median, samples)


def test_more_of_the_same_samples_have_a_narrower_interval() -> None:
    few = [1.0, 2.0, 3.0, 4.0, 5.0]
    wide, narrow = estimate(median, few), estimate(median, few * 40)
    assert narrow.high - narrow.low < wide.high - wide.low


def test_the_count_is_that_of_the_scarcer_samples() -> None:
    assert ratio([1.0] * 3, [1.0] * 8).count == 3


def test_what_both_contain_is_taken_off_both() -> None:
    assert ratio_without([14.0], [24.0], [2.0], 2).value == 0.5
    assert without([14.0], [2.0], 2).value == 10.0
