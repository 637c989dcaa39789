"""Who gets a certificate, and who does not."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from multus_py.adapters import credentials
from multus_py.adapters.connection import Connection
from multus_py.cni.errors import CniError
from multus_py.node import approver
from multus_py.node.approver import Approver
from multus_py.node.certificates import Certificates, Pace
from tests.kubecerts import REQUESTS, CertApi
from tests.processes import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kubeapi import Certificate

YEAR = 365 * 24 * 3600
NODE = [("O", "system:multus"), ("CN", "system:multus:node")]
_NAMES = {"CN": NameOID.COMMON_NAME, "O": NameOID.ORGANIZATION_NAME}


def pem(subject: list[tuple[str, str]], *, broken: bool = False) -> str:
    """Return a request, perhaps with a common name that is no text."""
    names = x509.Name([x509.NameAttribute(_NAMES[kind], value) for kind, value in subject])
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(names).sign(key, hashes.SHA256())
    content = request.public_bytes(Encoding.PEM)
    if broken:
        der = request.public_bytes(Encoding.DER).replace(b":node", b"\xff\xff\xff\xff\xff")
        body = base64.encodebytes(der)
        content = b"-----BEGIN CERTIFICATE REQUEST-----\n%s-----END CERTIFICATE REQUEST-----" % body
    return base64.b64encode(content).decode()


def request(
    name: str = "csr-1",
    *,
    subject: list[tuple[str, str]] = NODE,
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """Return a request that the rules allow, but for what is said here."""
    asked = {
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["digital signature", "client auth"],
        "username": "system:node:node",
        "groups": ["system:nodes", "system:authenticated"],
        "expirationSeconds": 600,
        "request": pem(subject),
        **spec,
    }
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": {key: value for key, value in asked.items() if value is not None},
        "status": status or {},
    }


# -- rules


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"username": "system:multus:node", "groups": ["system:multus", "system:authenticated"]},
        {"groups": []},
        {"usages": ["client auth", "digital signature"]},
        {"expirationSeconds": YEAR},
        {
            "username": "system:node:node.example-1.org",
            "subject": [("O", "system:multus"), ("CN", "system:multus:node.example-1.org")],
        },
    ],
)
def test_what_is_approved(spec: dict[str, Any]) -> None:
    assert approver.judged(approver.opened(request(**spec))).reason == ""


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"username": "system:node:another"}, "it is not for system:multus:another"),
        ({"username": "system:serviceaccount:kube-system:node"}, "kube-system may not ask"),
        ({"username": "admin:node"}, "admin may not ask"),
        ({"username": "system:node:Node"}, "'Node' is no name of a node"),
        ({"username": "system:node:"}, "'' is no name of a node"),
        ({"usages": ["digital signature"]}, "usages"),
        ({"usages": ["digital signature", "client auth", "server auth"]}, "usages"),
        ({"usages": ["client auth", "client auth"]}, "usages"),
        ({"usages": None}, "usages"),
        ({"groups": ["system:nodes", "system:masters"]}, "groups"),
        ({"expirationSeconds": None}, "no expirationSeconds"),
        ({"expirationSeconds": YEAR + 1}, "365 days"),
        ({"subject": [("CN", "system:multus:node")]}, "organization"),
        ({"subject": [("O", "system:masters"), *NODE]}, "organization"),
        ({"subject": [("O", "system:masters"), NODE[1]]}, "organization"),
        ({"subject": [NODE[0], ("CN", "system:multus:admin")]}, "it is not for"),
        ({"subject": [NODE[0], ("CN", "system:multusnode")]}, "it is not for"),
        ({"subject": [*NODE, ("CN", "system:multus:admin")]}, "it is not for"),
    ],
)
def test_what_is_denied(spec: dict[str, Any], words: str) -> None:
    verdict = approver.judged(approver.opened(request(**spec)))
    assert not verdict.approved
    assert words in verdict.reason


def test_all_reasons_are_told() -> None:
    broken = approver.opened(request(usages=[], groups=["a"], expirationSeconds=None))
    assert approver.judged(broken).reason.count(";") == 2


@pytest.mark.parametrize(
    "value",
    [
        request(signerName="kubernetes.io/kubelet-serving"),
        request(subject=[("CN", "system:node:node")]),
        request(subject=[("O", "system:multus")]),
        request(status={"conditions": [{"type": "Approved"}]}),
        request(status={"conditions": [{"type": "Denied"}]}),
        request(status={"certificate": "abc"}),
        request(request="no base64!"),
        request(request=base64.b64encode(b"no PEM").decode()),
        request(request=None),
        request(request=pem(NODE, broken=True)),
        {"metadata": {"name": "empty"}},
    ],
)
def test_what_is_nobodys_business_here(value: dict[str, Any]) -> None:
    with pytest.raises(CniError):
        approver.opened(value)


def test_a_name_that_is_none_of_a_nodes_is_an_error() -> None:
    with pytest.raises(CniError, match="'admin' asks") as caught:
        approver.judged(approver.opened(request(username="admin")))
    assert "decide yourself" in caught.value.hint


# -- on an API server


@pytest.fixture
def api(certificate: Certificate) -> Iterator[CertApi]:
    with CertApi(certificate) as api:
        api.willing = False
        yield api


@pytest.fixture
def running(api: CertApi, tmp_path: Path) -> Iterator[Approver]:
    kubeconfig = str(api.kubeconfig(tmp_path))
    connection = Connection(lambda: credentials.from_kubeconfig(kubeconfig))
    running = Approver(connection, first_delay=0.01, last_delay=0.05)
    add(api, "before")
    running.start()
    yield running
    running.stop()


def add(api: CertApi, name: str, **what: Any) -> None:
    api.put(f"{REQUESTS}/{name}", request(name, **what))


def condition(api: CertApi, name: str) -> dict[str, Any]:
    conditions = api.objects[f"{REQUESTS}/{name}"]["status"].get("conditions")
    return conditions[0] if conditions else {}


@pytest.mark.usefixtures("running")
def test_requests_that_are_there_and_that_come_are_approved_and_signed(api: CertApi) -> None:
    eventually(lambda: condition(api, "before"))
    add(api, "after")
    eventually(lambda: condition(api, "after"))
    assert condition(api, "after") == {
        "type": "Approved",
        "status": "True",
        "reason": "AutoApproved",
        "message": 'Auto-approved CSR "after"',
    }
    eventually(lambda: api.objects[f"{REQUESTS}/after"]["status"].get("certificate"))
    assert len(api.asked("^PUT")) == 2


@pytest.mark.usefixtures("running")
def test_a_request_against_the_rules_is_denied(api: CertApi) -> None:
    add(api, "bad", username="system:node:another")
    eventually(lambda: condition(api, "bad"))
    found = condition(api, "bad")
    assert (found["type"], found["reason"]) == ("Denied", "CSRDenied")
    assert "it is not for system:multus:another" in found["message"]
    assert "certificate" not in api.objects[f"{REQUESTS}/bad"]["status"]


@pytest.mark.usefixtures("running")
def test_events_tell_of_decisions(api: CertApi) -> None:
    eventually(lambda: len(api.events()) == 1)
    add(api, "bad", groups=["system:masters"])
    eventually(lambda: len(api.events()) == 2)
    approved, denied = api.events()
    assert approved["message"] == 'CSR "before" has been approved by csr-approver'
    assert (approved["type"], approved["reason"]) == ("Normal", "CSRApproved")
    assert (denied["type"], denied["reason"]) == ("Warning", "CSRDenied")
    assert 'CSR "bad" has been denied: who asks is in groups' in denied["message"]
    assert {event["source"]["component"] for event in api.events()} == {"cert-approver"}
    assert denied["involvedObject"] == {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "name": "bad",
        "uid": "uid-bad",
    }


@pytest.mark.usefixtures("running")
def test_other_requests_stay_as_they_are(api: CertApi, caplog: pytest.LogCaptureFixture) -> None:
    add(api, "foreign", signerName="kubernetes.io/kubelet-serving")
    add(api, "unreadable", request="////")
    add(api, "nobody", username="nobody")
    add(api, "last")
    eventually(lambda: condition(api, "last"))
    names = ("foreign", "unreadable", "nobody")
    assert [condition(api, name) for name in names] == [{}, {}, {}]
    assert caplog.text.count("request nobody stays as it is") == 1


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("status", [403, 500])
def test_a_decision_that_cannot_be_written_is_written_later(api: CertApi, status: int) -> None:
    eventually(lambda: condition(api, "before"))
    api.fault("^PUT.*stuck", status=status, times=3)
    add(api, "stuck")
    add(api, "after")
    eventually(lambda: condition(api, "after"))
    eventually(lambda: condition(api, "stuck"))


@pytest.mark.usefixtures("running")
def test_a_decision_of_somebody_else_stays(api: CertApi, caplog: pytest.LogCaptureFixture) -> None:
    eventually(lambda: condition(api, "before"))
    late = api.fault("^PUT.*contested", delay=0.3)
    add(api, "contested")
    eventually(lambda: not late.times)
    api.deny(f"{REQUESTS}/contested", "by a person")
    add(api, "after")
    eventually(lambda: condition(api, "after"))
    assert condition(api, "contested")["message"] == "by a person"
    assert not [event for event in api.events() if "contested" in event["message"]]
    assert "contested" not in caplog.text


@pytest.mark.usefixtures("running")
def test_a_request_that_is_gone_is_forgotten(api: CertApi) -> None:
    eventually(lambda: condition(api, "before"))
    late = api.fault("^PUT.*gone", delay=0.3)
    add(api, "gone")
    eventually(lambda: not late.times)
    api.delete(f"{REQUESTS}/gone")
    add(api, "after")
    eventually(lambda: condition(api, "after"))
    assert len(api.asked("^PUT.*gone")) == 1


@pytest.mark.usefixtures("running")
def test_an_event_that_is_lost_changes_nothing(
    api: CertApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.fault("^POST", status=403, times=100)
    add(api, "after")
    eventually(lambda: "no event about after" in caplog.text)
    assert condition(api, "after")["type"] == "Approved"


@pytest.mark.usefixtures("running")
def test_a_node_gets_its_certificate_and_another_one_with_it(api: CertApi, tmp_path: Path) -> None:
    api.life = 4.0
    pace = Pace(first_look=0.01, last_look=0.05, step=0.1)
    certificates = Certificates(
        bootstrap=str(api.kubeconfig(tmp_path)),
        directory=str(tmp_path / "certs"),
        node="node",
        duration=600,
        pace=pace,
    )
    certificates.start()
    assert certificates.wait(PATIENCE)
    eventually(lambda: len(api.asked_for()) == 3)
    certificates.stop()
    assert [value["spec"]["username"] for value in api.asked_for()[1:]] == [
        "system:node:node",
        "system:multus:node",
    ]
