"""A certificate for each node: asked for as the kubelet, approved, signed, and all that is used."""

from __future__ import annotations

import base64
import json
import stat
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from tests.cluster import deployment
from tests.cluster.certificates import write_kubeconfig
from tests.cluster.controlplane import URL
from tests.cluster.nads import ASKED, macvlan
from tests.cluster.pods import pod
from tests.cluster.stays import running
from tests.cluster.storm import status
from tests.deploy.charts import rendered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.cluster import Cluster
    from tests.cluster.node import Node

KUBELET = "/etc/kubernetes/bootstrap/kubelet.conf"
SOCKETS = "/run/multus-py"
VALUES = {
    "perNodeCertificate": {
        "enabled": True,
        "bootstrapKubeconfig": KUBELET,
        "credentials": ["/etc/kubernetes/bootstrap"],
    },
    "certApprover": {"enabled": True},
    "updateStrategy": {"rollingUpdate": {"maxUnavailable": "100%"}},
}


@pytest.fixture(scope="module")
def certified(deployed: Cluster) -> Iterator[Cluster]:
    """The cluster with certificates for a while, and no rights for the service account."""
    for node in deployed.nodes:
        _leave_kubeconfig(deployed, node)
    objects = rendered(VALUES).objects
    for one in objects:
        if one["kind"] == "ClusterRoleBinding" and one["metadata"]["name"] == "multus-py":
            one["subjects"] = [who for who in one["subjects"] if who["kind"] == "Group"]
    deployed.kubectl.apply(*objects)
    deployment.wait(deployed)
    yield deployed
    deployed.kubectl("apply", f"--filename={deployment.MANIFEST}")
    usual = [_identity(one) for one in rendered({}).objects]
    more = [one for one in objects if _identity(one) not in usual]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": more})
    deployed.kubectl("delete", "--filename=-", "--timeout=120s", stdin=listed)
    deployment.wait(deployed)


def _identity(one: dict[str, Any]) -> tuple[str, str]:
    return one["kind"], one["metadata"]["name"]


def _leave_kubeconfig(cluster: Cluster, node: Node) -> None:
    """Leave a node's own credential where its kubelet would have it."""
    place = node.own("/etc/kubernetes/bootstrap")
    place.mkdir(exist_ok=True)
    user = cluster.control.authority.issue(
        f"{node.name}-bootstrap", f"system:node:{node.name}", groups=["system:nodes"]
    )
    for file in (user.certificate, user.key, cluster.control.authority.pair.certificate):
        (place / file.name).write_bytes(file.read_bytes())
    inside = KUBELET.rpartition("/")[0]
    path = write_kubeconfig(
        place / "kubelet.conf",
        server=URL,
        authority=cluster.control.authority.pair.certificate,
        user=user,
    )
    path.write_text(path.read_text().replace(str(cluster.control.pki), inside))


def requests_of(cluster: Cluster, node: Node) -> list[dict[str, Any]]:
    """Return the requests for certificates that were made as a node's kubelet."""
    listed = cluster.kubectl_json("get", "certificatesigningrequests")["items"]
    return [one for one in listed if one["spec"]["username"] == f"system:node:{node.name}"]


def test_each_node_asks_for_its_own_certificate_and_works_with_nothing_else(
    certified: Cluster,
) -> None:
    guests = [
        pod(f"certified-{node.name}", node=node.name, annotations={ASKED: "own"})
        for node in certified.nodes
    ]
    with running(certified, macvlan("own", "10.81.0.0/24"), *guests):
        for guest in guests:
            name = guest["metadata"]["name"]
            told = status(certified.kubectl_json("get", "pod", name))
            assert [one["interface"] for one in told] == ["eth0", "net1"]
    for node in certified.nodes:
        [asked] = requests_of(certified, node)
        assert asked["spec"]["signerName"] == "kubernetes.io/kube-apiserver-client"
        assert [one["type"] for one in asked["status"]["conditions"]] == ["Approved"]
        signed = x509.load_pem_x509_certificate(base64.b64decode(asked["status"]["certificate"]))
        assert signed.subject.rfc4514_string() == f"CN=system:multus:{node.name},O=system:multus"


def test_nobody_else_can_read_what_is_kept_of_it(certified: Cluster) -> None:
    for node in certified.nodes:
        found = node.run("find", SOCKETS, "-type", "f", "-name", "*.pem", "-printf", "%m %p\\n")
        modes = [line.split()[0] for line in found.splitlines()]
        assert modes
        assert {int(mode, 8) & (stat.S_IRWXG | stat.S_IRWXO) for mode in modes} == {0}
        assert node.run("stat", "-f", "-c", "%T", SOCKETS).strip() == "tmpfs"
