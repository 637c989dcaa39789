"""What a pod costs, beside Multus 4.3.0 and a bare interpreter: ``make bench``.

All peers take turns in one run, on the same delegates and the same API server, so that a noisy
machine is noisy for all of them. Times are wall-clock milliseconds from start to exit, memory is
the peak resident set in MiB; both are medians, and only the ratios compare between machines.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.kubeapi import Certificate, KubeApi
from tests.nodes import network_namespace

if TYPE_CHECKING:
    from collections.abc import Iterable

ROUNDS = 15
MULTUS = str(Path(".cache/bin/multus").absolute())
OURS = str(Path(sys.executable).parent / "multus-py")
NOOP = """\
#!/bin/sh
test $CNI_COMMAND = DEL || echo '{"cniVersion": "1.0.0", "interfaces": [{"name": "'$CNI_IFNAME'"}]}'
"""
"""A delegate that takes no time of its own."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took: milliseconds and MiB."""

    time: float
    memory: float


@dataclass(slots=True)
class Costs:
    """What one kind of process took, in all rounds."""

    all: list[Cost] = field(default_factory=list)

    @property
    def time(self) -> float:
        return statistics.median(cost.time for cost in self.all)

    @property
    def memory(self) -> float:
        return statistics.median(cost.memory for cost in self.all)


def measured(command: Iterable[str], environment: dict[str, str], config: Any = None) -> Cost:
    """Run a process, which must succeed, and return what it took."""
    started = time.perf_counter()
    with subprocess.Popen(
        list(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | environment,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(config).encode())
        process.stdin.close()
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said.decode()
    return Cost((time.perf_counter() - started) * 1000, usage.ru_maxrss / 1024)


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked of the peers: these commands, for a pod, with a configuration."""

    title: str
    commands: tuple[str, ...] = ("ADD", "DEL")
    pod: str = "plain"
    config: dict[str, Any] = field(default_factory=dict)


def compared(cases: Iterable[Case], directory: Path, netns: str) -> None:
    """Measure all cases in turn and print a table."""
    print(f"{'':34}{'multus-py':>18}{'Multus 4.3.0':>18}{'ratio':>14}")
    bare = Costs([measured([sys.executable, "-c", ""], {}) for _ in range(ROUNDS)])
    print(f"{'a bare interpreter':34}{bare.time:>8.0f} ms{bare.memory:>4.0f} MiB")
    for case in cases:
        costs: dict[tuple[str, str], Costs] = {}
        for turn in range(ROUNDS):
            for command, peer in itertools.product(case.commands, (OURS, MULTUS)):
                config = {"cniDir": str(directory / Path(peer).name), **case.config}
                variables = {
                    "CNI_COMMAND": command,
                    "CNI_CONTAINERID": f"bench{turn}",
                    "CNI_NETNS": netns,
                    "CNI_IFNAME": "eth0",
                    "CNI_PATH": str(directory / "bin"),
                    "CNI_ARGS": f"K8S_POD_NAMESPACE=default;K8S_POD_NAME={case.pod}",
                }
                cost = measured([peer], variables, config)
                costs.setdefault((command, peer), Costs()).all.append(cost)
        for command in case.commands:
            ours, theirs = costs[command, OURS], costs[command, MULTUS]
            print(
                f"{f'{command} {case.title}':34}"
                f"{ours.time:>8.0f} ms{ours.memory:>4.0f} MiB"
                f"{theirs.time:>8.0f} ms{theirs.memory:>4.0f} MiB"
                f"{ours.time / theirs.time:>7.2f}{ours.memory / theirs.memory:>7.2f}"
            )


def main() -> None:
    """Set up a node, measure, and print."""
    with tempfile.TemporaryDirectory() as name, network_namespace() as netns:
        directory = Path(name)
        plugin = directory / "bin" / "noop"
        plugin.parent.mkdir()
        plugin.write_text(NOOP)
        plugin.chmod(0o755)
        with KubeApi(Certificate.made(directory)) as api:
            noop = {"cniVersion": "1.0.0", "type": "noop"}
            networks = ["a", "b", "c"]
            for network in networks:
                config = json.dumps({**noop, "name": network})
                api.add("NetworkAttachmentDefinition", network, spec={"config": config})
            asked = {"k8s.v1.cni.cncf.io/networks": ",".join(networks)}
            api.add("Pod", "plain", uid="1")
            api.add("Pod", "networks", uid="2", annotations=asked)
            alone = {
                "cniVersion": "1.0.0",
                "name": "multus",
                "type": "multus",
                "delegates": [{**noop, "name": "primary"}],
            }
            cluster = {**alone, "kubeconfig": str(api.kubeconfig(directory))}
            compared(
                [
                    Case("", commands=("VERSION",)),
                    Case("without a cluster", config=alone),
                    Case("of a plain pod", config=cluster),
                    Case("of a pod with 3 networks", pod="networks", config=cluster),
                ],
                directory,
                netns.path,
            )
            written = api.asked("(PUT|PATCH) /.*/status$")
            assert len(written) == 2 * 2 * ROUNDS, "a peer has not attached what was asked for"


if __name__ == "__main__":
    main()
