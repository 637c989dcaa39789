"""A cluster to come to and to leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package")
def lone() -> Iterator[Cluster]:
    """A cluster of one node, on which multus-py comes and goes: tests leave it without."""
    with Cluster.up(name="lone") as made:
        yield made
