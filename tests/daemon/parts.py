"""The parts of a daemon that answer shims, without the rest of it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from multus_py.daemon.carrier import Carriers
from multus_py.daemon.metrics import Metrics
from multus_py.daemon.requests import Requests, Seen
from multus_py.daemon.server import Server
from multus_py.daemon.turns import Turns
from multus_py.models.settings import Settings
from tests.processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from multus_py.core.ports import Cluster


def requests(*, in_flight: int = 8, cluster: Cluster | None = None) -> Requests:
    metrics = Metrics()
    return Requests(
        settings=Settings(kubernetes=False),
        over={},
        cluster=cluster,
        turns=Turns(in_flight, metrics),
        metrics=metrics,
        seen=Seen({}),
    )


@contextmanager
def serving(
    directory: str, *, idle_seconds: int = 0, in_flight: int = 8
) -> Iterator[tuple[Server, Carriers]]:
    """Serve shims below a directory, with carriers if they may be idle for a while."""
    carriers = Carriers(idle_seconds=idle_seconds)
    server = Server(directory, requests=requests(in_flight=in_flight), carriers=carriers)
    server.start()
    try:
        yield server, carriers
    finally:
        server.stop(PATIENCE)
        carriers.close()
