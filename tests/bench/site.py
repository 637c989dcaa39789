"""The node that all peers share: delegates, a pod's namespace, an API server, pods, definitions."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.bench.apiserver import Api
from tests.bench.turns import Call
from tests.nodes import network_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.kubeapi import Certificate

NODE = "node"
PROGRAMS = Path(".cache/bin").absolute()
"""Where ``make bench`` has put Multus and the delegate."""
NETWORKS = ("a", "b", "c")
ANNOTATION = "k8s.v1.cni.cncf.io/networks"
PLUGIN = {"cniVersion": "1.0.0", "type": "noop"}
PRIMARY = {"cniVersion": "1.0.0", "name": "primary", "plugins": [{"type": "noop"}]}


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, by its name, that asks for so many networks; without a name there is no Kubernetes."""

    name: str
    networks: int

    @property
    def annotation(self) -> str:
        return ",".join(NETWORKS[: self.networks])


@dataclass(frozen=True, slots=True)
class Site:
    """One node below a directory; ``sockets`` is short, as paths of unix sockets have to be."""

    directory: Path
    sockets: Path
    netns: str
    api: Api

    @property
    def bin_dir(self) -> Path:
        return self.directory / "bin"

    @property
    def delegate(self) -> Path:
        return self.bin_dir / PLUGIN["type"]

    @property
    def stamps(self) -> Path:
        """Where the delegate writes when it began and ended, if the file is there."""
        return self.bin_dir / "stamps"

    def add_definitions(self, count: int) -> None:
        """Add the networks that pods ask for, and others, so many in all."""
        names = [*NETWORKS, *(f"n{number}" for number in range(count))][:count]
        for name in names:
            config = json.dumps({**PLUGIN, "name": name})
            self.api.add(
                "NetworkAttachmentDefinition",
                name,
                apiVersion="k8s.cni.cncf.io/v1",
                spec={"config": config},
            )

    def add_pods(self, kind: str, count: int, networks: int) -> list[Pod]:
        """Add pods of this node that ask for so many networks."""
        pods = [Pod(f"{kind}-{number}", networks) for number in range(count)]
        for pod in pods:
            self.api.add(
                "Pod",
                pod.name,
                apiVersion="v1",
                uid=f"uid-{pod.name}",
                annotations={ANNOTATION: pod.annotation} if networks else {},
                spec={"nodeName": NODE, "containers": [{"name": "main", "image": "pause"}]},
                status={"phase": "Pending"},
            )
        return pods

    def remove_pods(self, pods: Sequence[Pod]) -> None:
        """Remove pods."""
        for pod in pods:
            self.api.delete(f"/api/v1/namespaces/default/pods/{pod.name}")

    def call(
        self,
        program: Path,
        config: dict[str, Any],
        command: str,
        container: str,
        pod: Pod,
        ifname: str = "eth0",
    ) -> Call:
        """Return the call of a plugin as container runtimes make it."""
        arguments = {"IgnoreUnknown": "1"}
        if pod.name:
            arguments |= {
                "K8S_POD_NAMESPACE": "default",
                "K8S_POD_NAME": pod.name,
                "K8S_POD_INFRA_CONTAINER_ID": container,
                "K8S_POD_UID": f"uid-{pod.name}",
            }
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_NETNS": self.netns,
            "CNI_IFNAME": ifname,
            "CNI_PATH": str(self.bin_dir),
            "CNI_ARGS": ";".join(f"{key}={value}" for key, value in arguments.items()),
        }
        return Call((str(program),), environment, json.dumps(config))

    def bare(self, command: str = "ADD") -> Call:
        """Return the call of the delegate by itself."""
        return self.call(self.delegate, {**PLUGIN, "name": "a"}, command, "bare", Pod("bare", 0))


@contextmanager
def site(certificate: Certificate) -> Iterator[Site]:
    """Have a site with the delegate, and nothing else."""
    with (
        TemporaryDirectory(prefix="bench-") as directory,
        TemporaryDirectory(prefix="b", dir="/run") as sockets,
        network_namespace() as netns,
        Api(certificate) as api,
    ):
        made = Site(Path(directory), Path(sockets), netns.path, api)
        made.bin_dir.mkdir()
        shutil.copy(PROGRAMS / PLUGIN["type"], made.delegate)
        yield made


def extra(count: int) -> str:
    """Say how many networks a pod asks for besides the primary one."""
    return f"{count} extra network{'' if count == 1 else 's'}"


def container(kind: str, numbers: Sequence[object]) -> str:
    """Return an ID for a container."""
    return "-".join([kind, *map(str, numbers)])
