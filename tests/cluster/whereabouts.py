"""Addresses for all nodes of a cluster: whereabouts, deployed by the manifests of its module."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.cluster import images
from tests.cluster.places import CACHE
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster

_PARTS = CACHE.absolute() / "whereabouts"
_IMAGE = "ghcr.io/k8snetworkplumbingwg/whereabouts:latest"
_PROGRAMS = ("install-cni.sh", "ip-control-loop", "whereabouts")


def deploy(cluster: Cluster) -> None:
    """Deploy whereabouts, and wait until every node has it."""
    archive = cluster.directory / "whereabouts.tar"
    images.write_with_busybox(archive, _IMAGE, {name: _PARTS / name for name in _PROGRAMS})
    for node in cluster.nodes:
        node.import_image(archive)
    for manifest in sorted(_PARTS.glob("*.yaml")):
        cluster.kubectl("apply", f"--filename={manifest}")
    until(partial(_installed, cluster), "whereabouts to be on every node")


def _installed(cluster: Cluster) -> bool:
    """Tell whether all pods have done their work; they are ready before that."""
    logs = ("logs", "--selector=name=whereabouts", "--tail=-1")
    done = cluster.kubectl.attempt("--namespace=kube-system", *logs)
    return done.stdout.count("Done configuring CNI") == len(cluster.nodes)
