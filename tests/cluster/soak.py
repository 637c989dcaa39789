"""Disorder for a while: pods come and go, everything is killed at times; then nothing may be left.

``make soak`` does this for half an hour, with tokens that the kubelet has to renew meanwhile.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from tests.cluster import daemons, deployment, holdings, sandboxes, storm
from tests.cluster.cluster import Cluster
from tests.cluster.nads import ASKED
from tests.cluster.pods import is_ready, pod
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster.machine import Program

_SELECTION = "--selector=disorder=soak"
_WISHES = ("", "left", "right", "left,right", "right,left,left")
_PODS = 20
_TOKEN_SECONDS = 600
_RELEASE_SECONDS = 420.0
GROWTH = 1.15
"""Of the daemon's memory, which is flat but for what an allocator keeps."""
"""What a runtime forgot is found after three minutes, and left to it for one more."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A daemon at one moment."""

    seconds: float
    pods: int
    container: str
    resident: int
    """KiB."""
    threads: int
    files: int

    def __str__(self) -> str:
        fields = (self.pods, self.container[:12], self.resident, self.threads, self.files)
        return f"{self.seconds:7.0f}" + "".join(f"{field:>14}" for field in fields)


@dataclass(slots=True)
class Soak:
    """A cluster in disorder."""

    cluster: Cluster
    chance: random.Random
    done: dict[str, int] = field(default_factory=dict)
    """How often each disorder was."""
    samples: list[Sample] = field(default_factory=list)
    _names: Iterator[int] = field(default_factory=count)
    _start: float = field(default_factory=time.monotonic)

    def run(self, seconds: float, *, spare: bool = False) -> None:
        """Do one thing after the other for so long, each once first; the daemon may be spared."""
        node, control = self.cluster.nodes[0], self.cluster.control
        disorders: dict[str, tuple[int, Callable[[], object]]] = {
            "create": (30, self._create),
            "delete": (20, self._delete),
            "kill container": (4, lambda: self._kill(sandboxes.containers)),
            "kill sandbox": (4, lambda: self._kill(sandboxes.of)),
            "kill kubelet": (2, lambda: self._restart(node.kubelet)),
            "kill containerd": (2, lambda: self._restart(node.containerd)),
            "kill API server": (1, lambda: self._restart(control.api)),
            "kill etcd": (1, lambda: self._restart(control.etcd)),
            "kill controllers": (1, lambda: self._restart(control.controllers)),
            "kill scheduler": (1, lambda: self._restart(control.scheduler)),
        }
        if not spare:
            disorders["kill daemon"] = (3, lambda: daemons.kill(self.cluster))
            disorders["delete daemon"] = (2, self._delete_daemon)
        names, weights = list(disorders), [weight for weight, _ in disorders.values()]
        first = self.chance.sample(names, len(names))
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            name = first.pop() if first else self.chance.choices(names, weights)[0]
            disorders[name][1]()
            self.done[name] = self.done.get(name, 0) + 1
            self._sample()

    def settle(self) -> None:
        """Wait until all pods have what they ask for: some are on their way, or their end is."""
        deployment.wait(self.cluster)
        missing: list[str] = []

        def complete() -> bool:
            missing[:] = self._missing()
            return not missing

        until(complete, "pods to have what they ask for", lambda: "\n".join(missing), patience=300)

    def _missing(self) -> list[str]:
        """Return what is not as it should be, in words."""
        pods = self._pods()
        unready = [one["metadata"]["name"] for one in pods if not is_ready(one)]
        return [f"{name} is not ready" for name in unready] or storm.missing(
            self.cluster.nodes[0], pods
        )

    def clear(self) -> None:
        """Delete all pods."""
        self.cluster.kubectl("delete", "pod", _SELECTION, "--grace-period=1", "--timeout=300s")

    def table(self) -> str:
        """Return the memory of the daemon over time, and what was done."""
        step = max(len(self.samples) // 30, 1)
        head = f"{'seconds':>7}" + "".join(
            f"{name:>14}" for name in ("pods", "daemon", "KiB", "threads", "files")
        )
        disorders = ", ".join(f"{name} {number}" for name, number in sorted(self.done.items()))
        return "\n".join([head, *map(str, self.samples[::step]), disorders])

    def growth(self) -> float:
        """Return the last daemon's memory at the end, as a ratio of what it soon had."""
        lived = [one for one in self.samples if one.container == self.samples[-1].container]
        quarter = max(len(lived) // 4, 1)
        early = max(one.resident for one in lived[quarter : 2 * quarter] or lived)
        return max(one.resident for one in lived[-quarter:]) / early

    def _create(self) -> None:
        wishes = [self.chance.choice(_WISHES) for _ in range(self.chance.randint(1, 5))]
        room = _PODS - len(self._pods())
        made = [
            pod(
                f"soak-{next(self._names)}",
                node=self.cluster.nodes[0].name,
                annotations={ASKED: wish} if wish else {},
                labels={"disorder": "soak"},
            )
            for wish in wishes[:room]
        ]
        if made:
            self.cluster.kubectl.apply(*made)

    def _delete(self) -> None:
        there = [one["metadata"]["name"] for one in self._pods()]
        gone = self.chance.sample(there, min(len(there), self.chance.randint(1, 5)))
        manner = self.chance.choice(
            [("--grace-period=1",), ("--wait=false",), ("--force", "--grace-period=0")]
        )
        if gone:
            self.cluster.kubectl("delete", "pod", *gone, *manner, "--ignore-not-found")

    def _kill(self, running: Callable[..., list[str]]) -> None:
        there = [one["metadata"]["name"] for one in self._pods()]
        node = self.cluster.nodes[0]
        for task in running(node, self.chance.choice(there)) if there else []:
            sandboxes.kill(node, task)

    def _delete_daemon(self) -> None:
        self.cluster.kubectl("delete", "pod", *deployment.DAEMONS)

    def _restart(self, program: Program) -> None:
        program.kill()
        program.start()
        control = self.cluster.control
        for other in (control.api, control.controllers, control.scheduler):
            if not other.running:  # some end with what they need
                other.start()
        until(lambda: self.cluster.kubectl.attempt("get", "nodes").returncode == 0, "answers")
        self.cluster.wait()

    def _pods(self) -> list[dict[str, Any]]:
        return [
            one
            for one in self.cluster.pods(_SELECTION)
            if not one["metadata"].get("deletionTimestamp")
        ]

    def _sample(self) -> None:
        node = self.cluster.nodes[0]
        for process in daemons.processes(node):
            moment = time.monotonic() - self._start
            self.samples.append(
                Sample(
                    seconds=moment,
                    pods=len(storm.addresses(node)),
                    container=process.container,
                    resident=process.resident,
                    threads=process.threads,
                    files=process.files,
                )
            )


def soaked(cluster: Cluster, *, seconds: float, seed: int) -> Soak:
    """Bring disorder to a cluster with multus-py; return how it went. Nothing is left of it.

    In the second half the daemon is spared, as only who lives for a while can grow.
    """
    node = cluster.nodes[0]
    before = holdings.of(node)
    soak = Soak(cluster, random.Random(seed))
    soak.run(seconds / 2)
    soak.settle()
    soak.run(seconds / 2, spare=True)
    soak.settle()
    soak.clear()
    holdings.wait_for(node, before, patience=_RELEASE_SECONDS, bearing=holdings.forgotten)
    return soak


def main() -> None:
    """Soak a cluster of one's own, and print what it did to the daemon."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.soak", description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with Cluster.up(name="soak") as cluster:
        deployment.deploy(cluster, token_seconds=_TOKEN_SECONDS)
        storm.define(cluster)
        soak = soaked(cluster, seconds=given.minutes * 60, seed=given.seed)
    print(f"{soak.table()}\nmemory at the end, to that at the beginning: {soak.growth():.2f}")
    if soak.growth() > GROWTH:
        raise SystemExit(f"the daemon grows: at most {GROWTH} is flat")


if __name__ == "__main__":
    main()
