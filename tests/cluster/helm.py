"""multus-py on a cluster, deployed and left by its chart."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.cluster import deployment
from tests.cluster.deployment import IMAGE, PROJECT
from tests.cluster.places import ENVIRONMENT
from tests.cluster.waiting import ClusterError

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster

_HELM = PROJECT / ".cache/bin/helm"
_CHART = PROJECT / "deploy/chart"
_RELEASE = "multus-py"


def install(cluster: Cluster) -> None:
    """Install the release, and wait until every node has it."""
    for node in cluster.nodes:
        node.import_image(IMAGE)
    _run(cluster, "install", _RELEASE, str(_CHART))
    deployment.wait(cluster)


def upgrade(cluster: Cluster, *values: str) -> None:
    """Set values of the release besides those that it has, and wait until every node has it so."""
    settings = [f"--set={value}" for value in values]
    _run(cluster, "upgrade", _RELEASE, str(_CHART), "--reuse-values", *settings)
    deployment.wait(cluster)


def uninstall(cluster: Cluster) -> None:
    """Uninstall the release."""
    _run(cluster, "uninstall", _RELEASE)


def _run(cluster: Cluster, *arguments: str) -> None:
    control = cluster.control
    home = cluster.directory / "helm"
    done = subprocess.run(
        [
            *("nsenter", f"--net=/proc/{control.machine.pid}/ns/net", str(_HELM)),
            *("--namespace=kube-system", f"--kubeconfig={control.kubeconfig}", *arguments),
        ],
        check=False,
        capture_output=True,
        text=True,
        env=ENVIRONMENT | {f"HELM_{kind}_HOME": str(home) for kind in ("CACHE", "CONFIG", "DATA")},
    )
    if done.returncode:
        raise ClusterError(f"helm {' '.join(arguments)}: {done.stderr.strip()}")
