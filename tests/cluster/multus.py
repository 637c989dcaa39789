"""The peer: Multus, deployed by the manifest of its module for nodes with a daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster import images
from tests.cluster.places import CACHE
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster

_PARTS = CACHE.absolute() / "multus"
_MANIFEST = _PARTS / "multus-daemonset-thick.yml"
_IMAGE = "ghcr.io/k8snetworkplumbingwg/multus-cni:snapshot-thick"
_DIRECTORY = "usr/src/multus-cni/bin"
_PROGRAMS = ("install_multus", "multus-daemon", "multus-shim", "passthru")
_FILES = (
    *("/etc/cni/net.d/00-multus.conf", "/etc/cni/multus", "/opt/cni/bin/multus-shim"),
    *("/opt/cni/bin/passthru", "/run/multus", "/var/lib/cni/multus"),
)
_DAEMONSET = ("--namespace=kube-system", "daemonset/kube-multus-ds")
_PODS = ("--namespace=kube-system", "--selector=app=multus")


def load(cluster: Cluster) -> None:
    """Give the image to all nodes."""
    archive = cluster.directory / "multus.tar"
    programs = {f"{_DIRECTORY}/{name}": _PARTS / name for name in _PROGRAMS}
    images.write_with_busybox(archive, _IMAGE, programs)
    for node in cluster.nodes:
        node.import_image(archive)


def deploy(cluster: Cluster) -> None:
    """Deploy Multus, and wait until it has written its configuration on every node."""
    cluster.kubectl("apply", f"--filename={_MANIFEST}")
    cluster.kubectl("rollout", "status", *_DAEMONSET, "--timeout=120s")
    until(lambda: _written(cluster), "Multus to have written its configuration")


def end(cluster: Cluster) -> None:
    """Delete the daemons of Multus, and nothing else, and wait for their end."""
    cluster.kubectl("delete", *_DAEMONSET, "--ignore-not-found")
    until(lambda: not cluster.pods(*_PODS), "the daemons of Multus to end")


def remove(cluster: Cluster) -> None:
    """Delete Multus with the definitions of networks, and what it leaves on nodes."""
    end(cluster)
    cluster.kubectl("delete", f"--filename={_MANIFEST}", "--ignore-not-found")
    for node in cluster.nodes:
        node.run("rm", "-rf", *_FILES)


def _written(cluster: Cluster) -> bool:
    """Tell whether the configuration is there everywhere; daemons are ready before that."""
    logs = cluster.kubectl.attempt("logs", *_PODS, "--container=kube-multus", "--tail=-1")
    return logs.stdout.count("started to watch file") == len(cluster.nodes)
