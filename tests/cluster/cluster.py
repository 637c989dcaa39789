"""A whole cluster: brought up, held, and removed with everything that belongs to it."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.cluster import cgroups, images, machine, network, pulling
from tests.cluster.controlplane import ControlPlane
from tests.cluster.node import Node
from tests.cluster.places import BIN, CACHE, RUN
from tests.cluster.waiting import ClusterError, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PREFIX = "multus-py"
"""What the control groups of all clusters begin with."""


class Cluster:
    """A cluster, brought up by :meth:`up`."""

    def __init__(self, name: str, nodes: int) -> None:
        self.name = name
        self.directory = RUN / name
        """Everything of the cluster is below it, but for its control groups."""
        self.control = ControlPlane(self.directory, _group(name))
        self.kubectl = self.control.kubectl
        self.kubectl_json = self.kubectl.json
        self.api = self.control.api
        self.nodes = [
            Node(self.control, self.directory / f"machines/node{number}", number, nodes)
            for number in range(1, nodes + 1)
        ]

    @classmethod
    @contextmanager
    def up(cls, *, nodes: int = 1, name: str = "test") -> Iterator[Cluster]:
        """Hold a cluster, all of whose nodes are ready; what a crash left of it is removed first.

        Raises:
            ClusterError: It did not come up; its logs are still there.
        """
        cluster = cls.brought_up(nodes=nodes, name=name)
        try:
            yield cluster
        finally:
            cluster.down()

    @classmethod
    def brought_up(cls, *, nodes: int, name: str) -> Cluster:
        """Bring up a cluster that ends with this process, unless it is detached."""
        _check_machine()
        directory = RUN / name
        if holder := _holder(directory):
            raise ClusterError(f"the cluster {name} is in use by process {holder}")
        remove(name)
        directory.mkdir(parents=True)
        (directory / "holder").write_text(f"{os.getpid()} {machine.started(os.getpid())}")
        cluster = cls(name, nodes)
        try:
            cluster._bring_up()
        except BaseException:
            end(name)
            raise
        return cluster

    def detach(self) -> None:
        """Let the cluster stay when this process ends, until :func:`remove`."""
        for one in self._machines():
            one.detach()
        (self.directory / "holder").unlink()

    def down(self) -> None:
        """End everything, and remove what it kept."""
        for one in self._machines():
            one.stop()
        remove(self.name)

    def wait(self) -> None:
        """Wait until pods are scheduled on every node."""
        for node in self.nodes:
            node.wait()

    def pods(self, *selection: str) -> list[dict[str, Any]]:
        """Return the pods that ``kubectl get pods`` selects."""
        found: list[dict[str, Any]] = self.kubectl_json("get", "pods", *selection)["items"]
        return found

    def _machines(self) -> list[machine.Machine]:
        return [self.control.machine, *(node.machine for node in self.nodes)]

    def _bring_up(self) -> None:
        control = self.control
        archives = images.write_all(self.directory)
        control.machine.start()
        network.lay(control.machine, len(self.nodes))
        control.etcd.launch()
        with ThreadPoolExecutor() as threads:
            furnishing = [threads.submit(node.start, archives) for node in self.nodes]
            control.etcd.wait()
            control.api.start()
            control.controllers.launch()
            control.scheduler.launch()
            pulling.forbid(self.kubectl)
            for one in furnishing:
                one.result()
        control.controllers.wait()
        control.scheduler.wait()
        until(
            lambda: pulling.takes_pods(self.kubectl),
            "the API server to take pods",
            control.controllers.said,
        )
        self.wait()


def remove_abandoned() -> None:
    """Remove the clusters whose holders did not get to it, and the logs of those that failed."""
    for directory in RUN.glob("*"):
        machines = map(machine.pid_of, directory.glob("machines/*"))
        detached = any(machines) and not (directory / "holder").exists()
        begun = not any(directory.iterdir())  # this moment: its holder has yet to say who it is
        if not detached and not begun and not _holder(directory):
            remove(directory.name)


def remove(name: str) -> None:
    """End what runs of a cluster, whoever started it, and remove what it kept."""
    end(name)
    if (RUN / name).exists():
        shutil.rmtree(RUN / name)


def end(name: str) -> None:
    """End what runs of a cluster, whoever started it."""
    directory = RUN / name
    for one in sorted(directory.glob("machines/*")):
        machine.end(one)
        cgroups.remove(f"/{_group(name)}/{one.name}")
    cgroups.remove(f"/{_group(name)}")
    (directory / "holder").unlink(missing_ok=True)


def load(name: str, archive: Path) -> None:
    """Give an image to the nodes of a cluster, whoever brought that up."""
    command = (str(BIN / "ctr"), "--namespace=k8s.io", "images", "import", str(archive.absolute()))
    for directory in sorted((RUN / name).glob("machines/node*")):
        subprocess.run(machine.inside(machine.pid_of(directory), *command), check=True)


def is_up(name: str) -> bool:
    """Tell whether all machines of a cluster are on."""
    machines = list((RUN / name).glob("machines/*"))
    return bool(machines) and all(map(machine.pid_of, machines))


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise ClusterError("clusters are made of namespaces and mounts: become root")
    if not (CACHE / "complete").exists():
        raise ClusterError(f"what clusters are made of is not in {CACHE}: make cluster builds it")


def _holder(directory: Path) -> str:
    """Return the process that a cluster ends with, if that lives; else nothing."""
    try:
        pid, moment = (directory / "holder").read_text().split()
    except FileNotFoundError:
        return ""
    return pid if machine.started(int(pid)) == moment else ""


def _group(name: str) -> str:
    return f"{_PREFIX}-{name}"
