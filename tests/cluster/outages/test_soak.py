"""Disorder for three minutes; ``make soak`` brings it for half an hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster import soak

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster


def test_disorder_leaves_nothing_behind_and_the_daemon_does_not_grow(stormy: Cluster) -> None:
    soaked = soak.soaked(stormy, seconds=180, seed=1)
    print(soaked.table())
    assert soaked.growth() <= soak.GROWTH
