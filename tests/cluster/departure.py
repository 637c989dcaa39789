"""multus-py leaving a cluster, as users have it leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster import deployment
from tests.cluster.deployment import PROJECT
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster

_UNINSTALL = PROJECT / "deploy/uninstall.yaml"
_OURS = "--selector=app.kubernetes.io/instance=multus-py"
_DEFINITIONS = "network-attachment-definitions.k8s.cni.cncf.io"
_REST = ("clusterrolebinding,clusterrole,configmap", "--namespace=kube-system", _OURS)
_KINDS = (
    "clusterrolebindings,clusterroles,configmaps,controllerrevisions,daemonsets,pods,"
    "serviceaccounts,services"
)


def begin(cluster: Cluster, *options: str) -> None:
    """Have all nodes uninstalled, with further options, and wait until that is done or waits."""
    manifest = _UNINSTALL.read_text()
    argument = "            - --lib-dir=/opt/cni/multus-py\n"
    assert argument in manifest
    added = "".join(f"            - {option}\n" for option in options)
    manifest = manifest.replace(argument, argument + added)
    cluster.kubectl("apply", "--filename=-", stdin=manifest)
    deployment.wait(cluster)


def end(cluster: Cluster) -> None:
    """Delete everything but the definitions of networks, and wait until that is gone."""
    cluster.kubectl("delete", f"--filename={_UNINSTALL}")
    cluster.kubectl("delete", *_REST)
    wait(cluster)


def wait(cluster: Cluster) -> None:
    """Wait until there is nothing of multus-py but the definitions of networks."""
    until(lambda: not _left(cluster), "multus-py to be gone", lambda: str(_left(cluster)))


def complete(cluster: Cluster) -> None:
    """Leave nodes on which nothing is attached, and the cluster."""
    begin(cluster)
    end(cluster)
    cluster.kubectl("delete", "customresourcedefinition", _DEFINITIONS)


def _left(cluster: Cluster) -> list[str]:
    """Return the names of the objects of multus-py."""
    listed = cluster.kubectl("get", _KINDS, "--all-namespaces", _OURS, "--output=name")
    return listed.split()
