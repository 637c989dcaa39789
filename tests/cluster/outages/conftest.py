"""A cluster to take parts away from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster import deployment, storm
from tests.cluster.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package")
def stormy() -> Iterator[Cluster]:
    """A cluster of one node with multus-py, for tests that take its parts away."""
    with Cluster.up(name="stormy") as made:
        deployment.deploy(made)
        storm.define(made)
        yield made
