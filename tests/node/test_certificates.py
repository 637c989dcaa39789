"""A node's certificate: asked for, used, renewed."""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography import x509

from multus_py.adapters import credentials
from multus_py.adapters.connection import Connection, RefusedError
from multus_py.cni.errors import CniError, Code
from multus_py.node.certificates import Certificates, Pace
from tests.kubecerts import REQUESTS, CertApi
from tests.processes import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kubeapi import Certificate

WEB = "/api/v1/namespaces/default/pods/web"
QUICK = Pace(
    first_delay=0.01, last_delay=0.05, first_look=0.01, last_look=0.05, signing=5.0, step=0.05
)


@pytest.fixture
def api(certificate: Certificate) -> Iterator[CertApi]:
    with CertApi(certificate) as api:
        api.add("Pod", "web", uid="uid-1")
        yield api


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory in memory."""
    with tempfile.TemporaryDirectory(prefix="certs-", dir="/dev/shm") as made:
        yield Path(made) / "certs"


class Node:
    """A node with a bootstrap kubeconfig."""

    def __init__(self, api: CertApi, directory: Path, tmp_path: Path) -> None:
        self.bootstrap = api.kubeconfig(tmp_path)
        self.directory = directory

    def certificates(self, pace: Pace = QUICK) -> Certificates:
        return Certificates(
            bootstrap=str(self.bootstrap),
            directory=str(self.directory),
            node="node",
            duration=600.0,
            pace=pace,
        )

    @contextmanager
    def running(self, pace: Pace = QUICK) -> Iterator[Certificates]:
        certificates = self.certificates(pace)
        certificates.start()
        try:
            yield certificates
        finally:
            certificates.stop()


@pytest.fixture
def node(api: CertApi, directory: Path, tmp_path: Path) -> Node:
    return Node(api, directory, tmp_path)


def askers(api: CertApi) -> list[str]:
    """Return who asked for certificates, in their order."""
    return [value["spec"]["username"] for value in api.asked_for()]


def user_of_web(api: CertApi, link: Connection) -> str:
    """Return as whom the API server sees who asks for a pod."""
    link.ask("GET", WEB, seconds=PATIENCE)
    return api.requests[-1].user


def test_what_is_asked_for_is_what_multus_asks_for(api: CertApi, node: Node) -> None:
    with node.running() as certificates:
        assert certificates.wait(PATIENCE)
    (request,) = api.asked_for()
    spec = request["spec"]
    assert {key: spec[key] for key in ("signerName", "usages", "expirationSeconds")} == {
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["digital signature", "client auth"],
        "expirationSeconds": 600,
    }
    subject = x509.load_pem_x509_csr(base64.b64decode(spec["request"])).subject
    assert subject.rfc4514_string() == "CN=system:multus:node,O=system:multus"


def test_the_certificate_is_what_requests_are_made_with(api: CertApi, node: Node) -> None:
    with node.running() as certificates:
        assert certificates.wait(PATIENCE)
        assert user_of_web(api, Connection(certificates.access)) == "system:multus:node"
    assert "Bearer" not in Path(certificates.path).read_text()


def test_the_bootstrap_kubeconfigs_credentials_are_not_used_beside_it(
    api: CertApi, node: Node
) -> None:
    with node.running() as certificates:
        assert certificates.wait(PATIENCE)
        client = certificates.access().client
    assert client.configuration.api_key == {}
    assert client.configuration.cert_file == client.configuration.key_file == certificates.path


def test_plugins_get_a_kubeconfig_that_needs_no_other_file(
    api: CertApi, node: Node, directory: Path, tmp_path: Path
) -> None:
    with node.running() as certificates:
        assert certificates.wait(PATIENCE)
        content = certificates.kubeconfig()
    (tmp_path / "left").write_bytes(content)
    for path in directory.iterdir():
        path.unlink()
    link = Connection(lambda: credentials.from_kubeconfig(str(tmp_path / "left")))
    assert user_of_web(api, link) == "system:multus:node"
    assert set(yaml.safe_load(content)["users"][0]["user"]) == {
        "client-certificate-data",
        "client-key-data",
    }


def test_it_is_renewed_before_it_ends_and_nobody_notices(api: CertApi, node: Node) -> None:
    api.life = 8.0
    with node.running() as certificates:
        assert certificates.wait(PATIENCE)
        link = Connection(certificates.access)
        deadline = time.monotonic() + 1.3 * api.life
        while time.monotonic() < deadline:
            time.sleep(0.01)
            assert user_of_web(api, link) == "system:multus:node"
    assert askers(api)[0] == "system:node:node"
    assert set(askers(api)[1:]) == {"system:multus:node"}
    assert len(askers(api)) >= 2


def test_the_moment_of_renewal_is_between_70_and_90_percent_of_the_life(
    api: CertApi, node: Node
) -> None:
    with node.running() as certificates:
        assert certificates.wait(PATIENCE)
        pair = certificates._pair
        assert pair
        moments = set()
        for _ in range(50):
            certificates._use(pair)
            moments.add((certificates._due - pair.begins) / (pair.ends - pair.begins))
    assert len(moments) == 50
    assert 0.7 <= min(moments) < 0.75
    assert 0.85 < max(moments) <= 0.9


def test_a_restart_uses_the_certificate_that_is_there(api: CertApi, node: Node) -> None:
    with node.running() as first:
        assert first.wait(PATIENCE)
    target = os.readlink(first.path)
    with node.running() as second:
        assert second.wait(0)
        assert user_of_web(api, Connection(second.access)) == "system:multus:node"
    assert (os.readlink(second.path), len(askers(api))) == (target, 1)


def test_a_restart_after_its_end_begins_with_the_bootstrap_kubeconfig(
    api: CertApi, node: Node
) -> None:
    api.life = 1.0
    with node.running(replace(QUICK, step=PATIENCE)) as first:
        assert first.wait(PATIENCE)
    eventually(lambda: first._store.load() is None)
    api.life = 3600.0
    asked = len(askers(api))
    with node.running() as second:
        assert second.wait(PATIENCE)
    assert askers(api)[asked:] == ["system:node:node"]


def test_a_certificate_that_is_refused_is_replaced_by_the_bootstrap_kubeconfig(
    api: CertApi, node: Node
) -> None:
    api.life = 2.0
    with node.running() as certificates:
        assert certificates.wait(PATIENCE)
        api.fault(f"POST {REQUESTS}", status=401, times=2)
        eventually(lambda: len(askers(api)) == 2)
        eventually(lambda: not api.faults[0].times)
    assert askers(api) == ["system:node:node"] * 2


def test_a_bootstrap_kubeconfig_that_changes_is_read_again(api: CertApi, node: Node) -> None:
    api.token = "the-second-token"
    with node.running() as certificates:
        eventually(lambda: api.requests)
        assert not certificates.wait(0.05)
        api.kubeconfig(node.bootstrap.parent)
        assert certificates.wait(PATIENCE)


def test_a_request_waits_to_be_approved(api: CertApi, node: Node) -> None:
    api.willing = False
    with node.running() as certificates:
        eventually(lambda: len(api.asked("^GET")) > 3)
        (request,) = api.asked_for()
        api.approve(f"{REQUESTS}/{request['metadata']['name']}")
        assert certificates.wait(PATIENCE)
    assert len(askers(api)) == 1


def test_a_denied_request_is_told_and_made_again(
    api: CertApi, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    api.willing = False
    with node.running() as certificates:
        eventually(api.asked_for)
        api.deny(f"{REQUESTS}/{api.asked_for()[0]['metadata']['name']}", "not on Sundays")
        eventually(lambda: len(askers(api)) == 2)
        api.approve(f"{REQUESTS}/{api.asked_for()[1]['metadata']['name']}")
        assert certificates.wait(PATIENCE)
    assert "is denied: not on Sundays" in caplog.text


def test_a_request_that_nobody_looks_at_is_told_and_made_again(
    api: CertApi, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    api.willing = False
    with node.running(replace(QUICK, signing=0.1)):
        eventually(lambda: len(askers(api)) == 2)
    assert "neither approved nor denied" in caplog.text
    assert "kubectl certificate approve" in caplog.text


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 409}, {"reset": True}])
def test_failures_pass(api: CertApi, node: Node, fault: dict[str, Any]) -> None:
    api.fault("POST", times=3, **fault)
    api.fault("GET", times=3, **fault)
    with node.running() as certificates:
        assert certificates.wait(PATIENCE)
        assert user_of_web(api, Connection(certificates.access)) == "system:multus:node"


def test_an_api_server_that_is_away_is_waited_for(api: CertApi, node: Node) -> None:
    with api.away(), node.running() as certificates:
        assert not certificates.wait(0.2)
    with node.running() as certificates:
        assert certificates.wait(PATIENCE)


def test_what_another_authority_signed_for_another_key_is_not_used(
    api: CertApi, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    with node.running() as first:
        assert first.wait(PATIENCE)
    (request,) = api.asked_for()
    stale = request["status"]
    Path(first.path).unlink()
    api.willing = False
    with node.running() as second:
        eventually(lambda: len(askers(api)) == 2)
        path = f"{REQUESTS}/{api.asked_for()[1]['metadata']['name']}"
        api.put(path, {**api.objects[path], "status": stale})
        eventually(lambda: len(askers(api)) > 2)
        assert not second.wait(0)
    assert "do not fit together" in caplog.text


def test_before_the_first_one_that_is_said(node: Node) -> None:
    certificates = node.certificates()
    for ask in (certificates.access, certificates.kubeconfig):
        with pytest.raises(CniError, match="no certificate") as caught:
            ask()
        assert caught.value.code == Code.TRY_AGAIN_LATER
        assert "kubectl get csr" in caught.value.hint


def test_a_refusal_names_the_certificate(api: CertApi, node: Node) -> None:
    with node.running() as certificates:
        assert certificates.wait(PATIENCE)
    link = Connection(certificates.access)
    api.fault("GET", status=401, times=2)
    with pytest.raises(RefusedError) as caught:
        link.ask("GET", WEB, seconds=PATIENCE)
    assert f"the certificate {certificates.path} is refused" in caught.value.cause


def test_one_that_ended_is_refused_on_connections_that_are_old(api: CertApi, node: Node) -> None:
    """The stand-in does as API servers do, so that these tests see what really happens."""
    api.life = 2.0
    with node.running(replace(QUICK, step=PATIENCE)) as certificates:
        assert certificates.wait(PATIENCE)
        link = Connection(certificates.access)
        assert user_of_web(api, link) == "system:multus:node"
        until = certificates._pair
        assert until
        certificates._stopping.set()
    eventually(lambda: time.time() > until.ends.timestamp() + 0.1)
    with pytest.raises((RefusedError, ssl.SSLError)):
        link.ask("GET", WEB, seconds=PATIENCE)


@pytest.mark.usefixtures("node_of_tests")
def test_keys_on_a_disk_are_warned_of(
    api: CertApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Path("/var/lib") / tmp_path.name
    disk.mkdir()
    with Node(api, disk / "certs", tmp_path).running() as certificates:
        assert certificates.wait(PATIENCE)
    assert "keys are kept on a disk" in caplog.text


@pytest.fixture
def node_of_tests(request: pytest.FixtureRequest) -> None:
    """The machine, on which this module's nodes are."""
    assert os.environ.get("MULTUS_PY_TEST_NODE") == "1", "run it with `make test`"
