"""A node: a machine with containerd, a kubelet and a primary network of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from tests.cluster import network
from tests.cluster.certificates import write_kubeconfig
from tests.cluster.controlplane import URL, ControlPlane
from tests.cluster.images import PAUSE
from tests.cluster.machine import Machine, Program
from tests.cluster.places import BIN, ENVIRONMENT, PLUGINS
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterable

OWN = (
    *("/etc/cni", "/etc/kubernetes", "/opt/cni", "/var/lib/cni"),
    *("/var/lib/containerd", "/var/lib/kubelet", "/var/log"),
)
PRIMARY = "/etc/cni/net.d/10-primary.conflist"
_CONTAINERD = "/run/containerd/containerd.sock"
_MANIFESTS = "/etc/kubernetes/manifests"


class Node:
    """A node. It is off at first, and furnished."""

    def __init__(self, control: ControlPlane, directory: Path, number: int, nodes: int) -> None:
        self.number = number
        self.name = f"node{number}"
        self._control = control
        self._nodes = nodes
        cgroup = Path(control.machine.cgroup).parent.name
        self.machine = Machine(self.name, directory, own=OWN, cgroup=cgroup)
        self._furnish()
        self.containerd = Program(
            self.machine,
            str(BIN / "containerd"),
            f"--config={self._write('containerd.toml', self._containerd_config())}",
            environment=ENVIRONMENT,
            ready=self._containerd_answers,
        )
        self.kubelet = Program(
            self.machine,
            str(BIN / "kubelet"),
            f"--config={self._write('kubelet.json', json.dumps(self._kubelet_config()))}",
            f"--kubeconfig={self._kubeconfig()}",
            f"--hostname-override={self.name}",
            f"--node-ip={network.address(number)}",
            environment=ENVIRONMENT,
            ready=lambda: network.listens(self.machine, 10250),
        )

    @property
    def root(self) -> Path:
        """The node's root directory, while it is on."""
        return self.machine.root

    @property
    def static_pods(self) -> Path:
        """The directory with the manifests of static pods."""
        return self.own(_MANIFESTS)

    def own(self, place: str) -> Path:
        """Return where a directory of the node's own lies on this machine, also while it is off."""
        return self.machine.directory / "own" / place.lstrip("/")

    def run(self, *command: str, stdin: str | None = None) -> str:
        """Run a command that has to succeed on the node; return what it printed."""
        return self.machine.run(*command, stdin=stdin)

    def ctr(self, *arguments: str) -> str:
        """Ask containerd about the containers of Kubernetes."""
        return self.run(str(BIN / "ctr"), "--namespace=k8s.io", *arguments)

    def import_image(self, archive: Path, *names: str) -> None:
        """Give the node an image, also under other names."""
        imported = self.ctr("images", "import", str(archive.absolute()))
        for name in names:
            self.ctr("images", "tag", "--force", imported.split()[0], name)

    def start(self, archives: Iterable[Path] = ()) -> None:
        """Switch the node on: as it was, but for what lives in memory, and with these images."""
        self.machine.start()
        network.connect(self._control.machine, self.machine, self.number, self._nodes)
        self.containerd.start()
        for archive in archives:
            self.import_image(archive)
        self.kubelet.start()

    def stop(self) -> None:
        """Pull the node's plug."""
        self.machine.stop()

    def ready(self) -> bool:
        """Tell whether pods are scheduled on the node."""
        done = self._control.kubectl.attempt("get", "node", self.name, "--output=json")
        if done.returncode:
            return False
        node = json.loads(done.stdout)
        conditions = {one["type"]: one["status"] for one in node["status"]["conditions"]}
        return conditions.get("Ready") == "True" and not node["spec"].get("taints")

    def wait(self) -> None:
        """Wait until pods are scheduled on the node."""
        until(self.ready, f"{self.name} to be ready", self.kubelet.said)

    def _furnish(self) -> None:
        for place in OWN:
            self.own(place).mkdir(parents=True)
        self.static_pods.mkdir()
        shutil.copytree(PLUGINS, self.own("/opt/cni/bin"))
        primary = self.own(PRIMARY)
        primary.parent.mkdir()
        primary.write_text(json.dumps(primary_network(self.number), indent=2))
        self._write("resolv.conf", "# there is nobody to ask\n")

    def _write(self, name: str, text: str) -> Path:
        path = self.machine.directory / name
        path.write_text(text)
        return path

    def _kubeconfig(self) -> Path:
        user = self._control.authority.issue(
            self.name, f"system:node:{self.name}", groups=["system:nodes"]
        )
        return write_kubeconfig(
            self._control.pki / f"{self.name}.kubeconfig",
            server=URL,
            authority=self._control.authority.pair.certificate,
            user=user,
        )

    def _containerd_answers(self) -> bool:
        """Tell whether it has begun to serve kubelets: one that it puts off at its start ends."""
        with grpc.insecure_channel(f"unix:{self.root}{_CONTAINERD}") as channel:
            version: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/runtime.v1.RuntimeService/Version"
            )
            try:
                version(b"", timeout=1.0)
            except grpc.RpcError:
                return False
        return True

    def _containerd_config(self) -> str:
        runtime = "plugins.'io.containerd.cri.v1.runtime'"
        return f"""\
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
address = "{_CONTAINERD}"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE}"
[{runtime}]
restrict_oom_score_adj = true
[{runtime}.cni]
bin_dirs = ["/opt/cni/bin"]
conf_dir = "/etc/cni/net.d"
max_conf_num = 1
[{runtime}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{runtime}.containerd.runtimes.runc.options]
BinaryName = "{shutil.which("runc", path=ENVIRONMENT["PATH"])}"
SystemdCgroup = false
"""

    def _kubelet_config(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "x509": {"clientCAFile": str(self._control.authority.pair.certificate)},
            },
            "containerRuntimeEndpoint": f"unix://{_CONTAINERD}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.machine.cgroup,
            "failCgroupV1": False,
            "enforceNodeAllocatable": [],
            "localStorageCapacityIsolation": False,
            "failSwapOn": False,
            # This machine's disk is not the node's: a full one is no reason to end pods.
            "evictionHard": {},
            "imageGCHighThresholdPercent": 100,
            "clusterDNS": ["10.96.0.10"],
            "clusterDomain": "cluster.local",
            "resolvConf": str(self.machine.directory / "resolv.conf"),
            "staticPodPath": _MANIFESTS,
            "syncFrequency": "10s",  # or what failed once is left for more than a minute
            "volumePluginDir": "/var/lib/kubelet/volume-plugins",
            "maxPods": 250,
        }


def primary_network(number: int) -> dict[str, Any]:
    """Return the configuration of a node's primary network."""
    return {
        "cniVersion": "1.0.0",
        "name": "primary",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": network.subnet(number)}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
