"""multus-py on a cluster, deployed as users do it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster

PROJECT = Path(__file__).parents[2]
MANIFEST = PROJECT / "deploy/multus-py.yaml"
IMAGE = PROJECT / "dist/multus-py.oci.tar"
_TOKEN_SECONDS = 3600
DAEMONS = ("--namespace=kube-system", "--selector=app.kubernetes.io/name=multus-py")


def manifest(*, token_seconds: int = _TOKEN_SECONDS) -> str:
    """Return the manifest, with a token that lives as long as asked for."""
    usual = MANIFEST.read_text()
    life = "expirationSeconds: {}"
    assert usual.count(life.format(_TOKEN_SECONDS)) == 1
    return usual.replace(life.format(_TOKEN_SECONDS), life.format(token_seconds))


def deploy(cluster: Cluster, *, token_seconds: int = _TOKEN_SECONDS) -> None:
    """Deploy multus-py, and wait until every node has it."""
    for node in cluster.nodes:
        node.import_image(IMAGE)
    cluster.kubectl("apply", "--filename=-", stdin=manifest(token_seconds=token_seconds))
    wait(cluster)


def wait(cluster: Cluster) -> None:
    """Wait until multus-py is ready on every node."""
    rollout = ("rollout", "status", "daemonset/multus-py", "--timeout=120s")
    cluster.kubectl("--namespace=kube-system", *rollout)
