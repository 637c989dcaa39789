"""What happens to the cluster, and what the API server is asked for while it does."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from multus_py.models.settings import Settings
from tests.scale.nodes import Node, OurNode
from tests.scale.server import EVENT, STATUS, TOKEN, Book, Clock, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NODES = 5_000
PODS = 150_000
DEFINITIONS = 200
CHURN = 20
"""Pods that start in a second, and as many that end: what Kubernetes is tested for at this size."""
NETWORKS = (1, 3)
"""Of one half of the pods, and of the other, the primary one included."""
CHANGES = 10
"""Of a pod in its life that its node is told of, besides the network-status."""

SEATS, QUEUE = 98, 300
"""What one flow has by default: workload-high's share of 600 requests, and 6 queues of 50."""

SHARES, OWN_SHARES = 245, 40
"""Of concurrency: of all priority levels that there are by default, and of one for the daemons."""
IN_FLIGHT = 600
"""Requests at once: the API server's limits for reading and for writing together."""
OWN_QUEUES, OWN_LENGTH = 8, 1250

WARM = 600.0
"""Seconds after which renewals of watches are spread."""
STEADY = 300.0
START = 10.0
"""Seconds within which nodes start their containers, if they start together."""
RESTART = (10.0, 30.0)
"""Seconds that it takes to replace a daemon."""
OUTAGE = 10.0
BURST = 5_000
BINDINGS = 300.0
"""Pods in a second that a scheduler with raised limits finds nodes for."""
FEW = 50
"""Nodes that a burst may fall on."""
CORES = 8
PLUGINS = (0.3, 1.0)
"""Seconds that the plugins of a pod take."""
_MOST = 600.0

_CHART = Path(__file__).parents[2] / "deploy" / "chart" / "values.yaml"
_VALUES = yaml.safe_load(_CHART.read_text())
TOKEN_SECONDS = float(_VALUES["tokenSeconds"])
UNAVAILABLE = float(_VALUES["updateStrategy"]["rollingUpdate"]["maxUnavailable"].rstrip("%")) / 100


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scenario came to with one kind of daemon."""

    book: Book
    seconds: float
    """That it lasted: to the end, or until all watches or all statuses were there."""


class Run:
    """A cluster of one kind of daemon. The dice fall the same way in every run."""

    def __init__(self, kind: Callable[[Server], Node]) -> None:
        random.seed(20260101)
        self.clock = Clock()
        self.server = Server(self.clock, seats=SEATS, queue=QUEUE)
        self.nodes = [kind(self.server) for _ in range(NODES)]
        self.begun = 0.0

    def warm_up(self) -> None:
        """Let all nodes watch for some time, and forget what that cost."""
        for node in self.nodes:
            self.clock.after(random.uniform(0.0, WARM / 2), node.start)
        self.clock.run(WARM)
        self.server.book, self.begun = Book(), self.clock.now

    def finished(self) -> Outcome:
        """Go on until all watches are open."""
        while not all(node.settled for node in self.nodes):
            assert self.clock.now < self.begun + _MOST
            self.clock.run(self.clock.now + 1.0)
        return self.outcome()

    def outcome(self) -> Outcome:
        return Outcome(self.server.book, self.clock.now - self.begun)


def steady(run: Run) -> Outcome:
    """Pods come and go, watches and tokens are renewed."""
    run.warm_up()
    for number in range(round(CHURN * STEADY)):
        node = random.choice(run.nodes)
        networks = NETWORKS[number % len(NETWORKS)]
        run.clock.after(random.uniform(0.0, STEADY), _attachment(node, networks))
    for _ in range(round(NODES * STEADY / (0.8 * TOKEN_SECONDS))):  # when the kubelet renews it
        run.clock.after(random.uniform(0.0, STEADY), lambda: run.server.ask(TOKEN, _nothing))
    run.clock.run(run.begun + STEADY)
    return run.outcome()


def rolling(run: Run) -> Outcome:
    """All daemons are replaced, as many at a time as the chart allows."""
    free = [0.0] * round(NODES * UNAVAILABLE)
    for number, node in enumerate(run.nodes):
        slot = number % len(free)
        free[slot] += random.uniform(*RESTART)
        run.clock.after(free[slot], node.start)
    return run.finished()


def together(run: Run) -> Outcome:
    """All daemons start at once, as after a loss of power."""
    for node in run.nodes:
        run.clock.after(random.uniform(0.0, START), node.start)
    return run.finished()


def together_apart(run: Run) -> Outcome:
    """The same with a priority level for the daemons, whose queues have room for all of them."""
    run.server.seats = IN_FLIGHT * OWN_SHARES // (SHARES + OWN_SHARES)
    run.server.queue = OWN_QUEUES * OWN_LENGTH
    return together(run)


def failover(run: Run) -> Outcome:
    """All watches are lost; another replica of the API server goes on with them."""
    run.warm_up()
    run.server.cut()
    return run.finished()


def outage(run: Run) -> Outcome:
    """The API server is away, and has forgotten all changes when it comes back."""
    run.warm_up()
    run.server.away = True
    run.server.cut()
    run.clock.run(run.begun + OUTAGE)
    run.server.away = False
    run.server.age += 1
    return run.finished()


def burst(run: Run) -> Outcome:
    """Many pods are made at once, and the scheduler spreads them over all nodes."""
    run.warm_up()
    for number in range(BURST):
        seconds = number / BINDINGS + random.uniform(*PLUGINS)
        run.clock.after(seconds, _attachment(random.choice(run.nodes), NETWORKS[-1]))
    return _written(run)


def burst_on_few(run: Run) -> Outcome:
    """Many pods start at the same moment on few nodes, as when these come back."""
    run.warm_up()
    for node in run.nodes[:FEW]:
        for seconds in _turns(BURST // FEW, bounded=isinstance(node, OurNode)):
            run.clock.after(seconds, _attachment(node, NETWORKS[-1]))
    return _written(run)


def _turns(pods: int, *, bounded: bool) -> Iterator[float]:
    """Yield when the plugins of each pod of a node are done; Multus runs all at once."""
    turns = Settings().in_flight(CORES) if bounded else pods
    free = [0.0] * turns
    for number in range(pods):
        free[number % turns] += random.uniform(*PLUGINS)
        yield free[number % turns]


def _written(run: Run) -> Outcome:
    """Go on until all network-statuses and all events are written."""
    served, wanted = run.server.book.served, BURST * NETWORKS[-1]
    while served[STATUS.name] < BURST or served[EVENT.name] < wanted:
        assert run.clock.now < run.begun + _MOST
        run.clock.run(run.clock.now + 1.0)
    return run.outcome()


def _attachment(node: Node, networks: int) -> Callable[[], None]:
    return lambda: node.attach(networks)


def _nothing(status: int) -> None:
    """Do nothing with an answer."""
