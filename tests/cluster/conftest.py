"""Clusters for the tests, and which of them may run at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.cluster import deployment
from tests.cluster.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xdist.remote import Producer

HERE = Path(__file__).parent


class ByCluster(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps tests in one process that share a cluster: those of a directory, and of this one."""

    def _split_scope(self, nodeid: str) -> str:
        directory = Path(nodeid.partition("::")[0]).parent.name
        return "usage" if directory == HERE.name else directory


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByCluster:
    """Let tests run at the same time, but for those that share a cluster."""
    return ByCluster(config, log)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster of two nodes, which all tests share: they leave it as they found it."""
    with Cluster.up(nodes=2) as made:
        yield made


@pytest.fixture(scope="session")
def deployed(cluster: Cluster) -> Cluster:
    """The cluster with multus-py on every node."""
    deployment.deploy(cluster)
    return cluster
