"""The credential of the daemon changes, or is good for nothing any more: nothing is restarted."""

from __future__ import annotations

import base64
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster import daemons, deployment, holdings, storm
from tests.cluster.certificates import Authority
from tests.cluster.controlplane import HOSTS
from tests.cluster.pods import pod, wait_running
from tests.cluster.storm import Storm
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.cluster import Cluster
    from tests.cluster.machine import Program

LIFE = 600
"""Seconds that a token lives; API servers give none a shorter life."""


@pytest.fixture
def hasty(stormy: Cluster) -> Iterator[Cluster]:
    """A cluster whose daemon has a token with the shortest life there is."""
    deployment.deploy(stormy, token_seconds=LIFE)
    yield stormy
    deployment.deploy(stormy)


def test_a_service_account_made_again_is_used_as_soon_as_the_kubelet_has_its_token(
    hasty: Cluster,
) -> None:
    """A kubelet keeps a token for four fifths of its life, unless it starts again.

    Until then networks that the daemon knows are attached. One that starts knows none.
    """
    node, first = hasty.nodes[0], token(hasty)
    known, unknown = Storm(hasty, node, "known", 2), Storm(hasty, node, "unknown", 2)
    assert life(first) == LIFE
    before = holdings.of(node)
    for verb in ("delete", "create"):
        hasty.kubectl("--namespace=kube-system", verb, "serviceaccount", "multus-py")
    hasty.api.restart()  # or what was asked before goes on being answered
    hasty.wait()
    known.measured()
    daemons.kill(hasty)
    unknown.break_out()
    said = until(lambda: "".join(unknown.failures()), "pods to be refused")
    assert "is refused" in said
    hasty.kubectl.apply(pod("plain", node=node.name))
    wait_running(hasty.kubectl, ["plain"])
    assert not any(one["status"].get("podIP") for one in hasty.pods(unknown.selection))
    node.kubelet.restart()
    until(lambda: token(hasty) != first, "the token to be another")
    unknown.wait()
    unknown.check()
    until(lambda: all(map(storm.status, hasty.pods(known.selection))), "statuses to follow")
    known.check()
    for over in (known, unknown):
        over.calm()
    hasty.kubectl("delete", "pod", "plain")
    holdings.wait_for(node, before)
    deployment.wait(hasty)


def test_another_authority_is_followed(stormy: Cluster) -> None:
    """Both are told at first, then the server has a certificate of the new one, which is alone."""
    control = stormy.control
    first = control.authority.pair.certificate
    second = Authority(control.pki / "second", "kubernetes-2")
    server = second.issue("apiserver", "kube-apiserver", hosts=HOSTS)
    signing = control.pki / "signing.crt"  # which is one alone
    signing.write_text(first.read_text())
    set_option(control.controllers, "cluster-signing-cert-file", signing)
    with undisturbed(stormy):
        first.write_text(first.read_text() + second.pair.certificate.read_text())
        for program in (control.controllers, control.scheduler, stormy.nodes[0].kubelet):
            program.restart()
        until(lambda: authority(stormy) == first.read_text(), "both to be told")
        set_option(stormy.api, "tls-cert-file", server.certificate)
        set_option(stormy.api, "tls-private-key-file", server.key)
        stormy.api.restart()
        run(stormy, "of-both")
        set_option(control.controllers, "root-ca-file", second.pair.certificate)
        control.controllers.restart()
        alone = second.pair.certificate.read_text()
        until(lambda: authority(stormy) == alone, "the new one to be alone")
        until(lambda: alone in left(stormy), "plugins to have the new one")
        run(stormy, "of-the-new-one")


@contextmanager
def undisturbed(cluster: Cluster) -> Iterator[None]:
    """See to it that the daemon is the same afterwards, and that nothing stays of pods."""
    node = cluster.nodes[0]
    [daemon] = daemons.of(cluster)
    with holdings.passing(node):
        yield
    until(lambda: daemons.of(cluster) == [daemon], "the daemon to be as it was")


def run(cluster: Cluster, name: str) -> None:
    """Let pods start, check what they have, and delete them."""
    cluster.wait()
    few = Storm(cluster, cluster.nodes[0], name, 3)
    few.measured()
    few.check()
    few.calm()


def token(cluster: Cluster) -> str:
    """Return the token that the daemon reads."""
    return _projected(cluster, "token")


def authority(cluster: Cluster) -> str:
    """Return the certificates by which the daemon knows the API server."""
    return _projected(cluster, "ca.crt")


def left(cluster: Cluster) -> str:
    """Return the authority that the daemon left for plugins."""
    access = json.loads((cluster.nodes[0].root / "run/multus-py/kubeconfig").read_text())
    data = access["clusters"][0]["cluster"]["certificate-authority-data"]
    return base64.b64decode(data).decode()


def life(token: str) -> int:
    """Return how many seconds a token lives in all."""
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return int(claims["exp"]) - int(claims["iat"])


def set_option(program: Program, name: str, value: object) -> None:
    """Give a program another value of an option, from its next start."""
    others = [word for word in program.command if not word.startswith(f"--{name}=")]
    program.command = [*others, f"--{name}={value}"]


def _projected(cluster: Cluster, name: str) -> str:
    volumes = cluster.nodes[0].root / "var/lib/kubelet/pods"
    [daemon] = daemons.of(cluster)
    return (volumes / daemon.uid / "volumes/kubernetes.io~projected/token" / name).read_text()
