"""A client certificate of the node's own: asked for, kept, renewed long before it ends.

Multus's perNodeCertificate. The first request is made with the bootstrap kubeconfig, later ones
with the certificate, and with the kubeconfig again if that does not work. What is done with the
certificate is others' business: it is a file, and an access to the bootstrap's cluster.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import itertools
import logging
import random
import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multus_py.adapters import credentials
from multus_py.adapters.connection import Connection, RefusedError
from multus_py.cni.errors import CniError, Code
from multus_py.core import backoff
from multus_py.models import kubeconfig
from multus_py.node import mounts
from multus_py.node.keystore import Keystore

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from multus_py.adapters.credentials import Access
    from multus_py.cni.document import JsonObject
    from multus_py.node.keystore import Pair

_LOG = logging.getLogger(__name__)

REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
SIGNER = "kubernetes.io/kube-apiserver-client"
USAGES = ("digital signature", "client auth")
GROUP = "system:multus"

_JOIN_SECONDS = 2.0
_RENEWAL = (0.7, 0.9)
"""Of a certificate's life. By chance, so that the nodes of a cluster do not renew together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds between tries, and how long a request may wait to be approved and signed."""

    first_delay: float = 1.0
    last_delay: float = 60.0
    first_look: float = 0.2
    last_look: float = 5.0
    signing: float = 900.0
    question: float = 15.0
    step: float = 30.0
    """The clock is looked at so often, as it may be set."""


def common_name(node: str) -> str:
    """Return what the certificate of a node says that its owner is called."""
    return f"{GROUP}:{node}"


class Certificates:
    """Keeps a certificate for a node in a directory.

    ``bootstrap`` is the path of a kubeconfig; ``duration`` the life to ask for, in seconds.
    """

    def __init__(
        self,
        *,
        bootstrap: str,
        directory: str,
        node: str,
        duration: float,
        pace: Pace = Pace(),
    ) -> None:
        self._bootstrap = bootstrap
        self._directory = directory
        self._name = common_name(node)
        self._duration = round(duration)
        self._pace = pace
        self._store = Keystore(directory, name=self._name)
        self._pair: Pair | None = None
        self._due = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._stopping = threading.Event()
        self._there = threading.Event()
        self._thread = threading.Thread(target=self._run, name="certificates", daemon=True)

    @property
    def path(self) -> str:
        """The file with the certificate in use and its key."""
        return self._store.path

    def start(self) -> None:
        """Use the certificate of an earlier process, and go on renewing."""
        if mounts.is_on_disk(self._directory):
            _LOG.warning("keys are kept on a disk, in %s: use a directory below /run", self.path)
        pair = self._store.load()
        if pair:
            self._use(pair)
        self._thread.start()

    def stop(self) -> None:
        """Stop renewing. The certificate stays, for the next process."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)  # it may wait for an API server; nothing is half done

    def wait(self, seconds: float) -> bool:
        """Wait for the first certificate; tell whether there is one."""
        return self._there.wait(seconds)

    def access(self) -> Access:
        """Return access to the bootstrap's cluster by the certificate, and by nothing else."""
        self._demand()
        return credentials.from_kubeconfig(self._bootstrap, certificate=self.path)

    def kubeconfig(self) -> bytes:
        """Return a kubeconfig that holds the certificate and its key."""
        pem = base64.b64encode(self._demand().pem).decode()
        user = {"client-certificate-data": pem, "client-key-data": pem}
        return kubeconfig.encode(credentials.cluster(self._bootstrap), user)

    def _demand(self) -> Pair:
        """Return the pair in use; an error if there never was one."""
        pair = self._pair
        if pair is None:
            raise CniError(
                Code.TRY_AGAIN_LATER,
                f"there is no certificate {self.path} for this node yet",
                "see that its request is approved: kubectl get csr",
            )
        return pair

    # -- renewing, in a thread of its own

    def _run(self) -> None:
        failures = 0
        while not self._stopping.wait(self._pause(failures)):
            if dt.datetime.now(dt.UTC) < self._due:
                continue
            try:
                self._renew()
                failures = 0
            except CniError as error:
                failures += 1
                _LOG.error("no certificate for %s: %s", self._name, error)
            except Exception:  # noqa: BLE001 - this is the main of its thread
                failures += 1
                _LOG.exception("no certificate for %s", self._name)

    def _pause(self, failures: int) -> float:
        if failures:
            pace = self._pace
            return backoff.delay(failures, first=pace.first_delay, last=pace.last_delay)
        left = (self._due - dt.datetime.now(dt.UTC)).total_seconds()
        return min(max(left, 0.0), self._pace.step)

    def _renew(self) -> None:
        key = _new_key()
        pem = self._signed(_signing_request(key, self._name)) + _key_pem(key)
        if not self._stopping.is_set():
            self._use(self._store.save(pem))

    def _use(self, pair: Pair) -> None:
        """Take a pair into use, and decide when to renew it."""
        self._pair = pair
        self._due = pair.begins + (pair.ends - pair.begins) * random.uniform(*_RENEWAL)  # noqa: S311 - no secret
        self._there.set()
        _LOG.info("certificate for %s until %s, renewed at %s", self._name, pair.ends, self._due)

    # -- one request

    def _signed(self, request: bytes) -> bytes:
        """Return the certificate for a request, as PEM."""
        name = f"multus-{secrets.token_hex(10)}"
        connection = self._ask(request, name)
        deadline = time.monotonic() + self._pace.signing
        for looks in itertools.count(1):
            answer = connection.ask("GET", f"{REQUESTS}/{name}", seconds=self._pace.question)
            certificate = _certificate(answer, name)
            if certificate:
                return certificate
            delay = backoff.delay(looks, first=self._pace.first_look, last=self._pace.last_look)
            if time.monotonic() > deadline or self._stopping.wait(delay):
                raise _unsigned(name)
        raise AssertionError("the loop ends by return or raise")

    def _ask(self, request: bytes, name: str) -> Connection:
        """Create a request for a certificate; return the connection by which that worked."""
        body = {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": name},
            "spec": {
                "request": base64.b64encode(request).decode(),
                "signerName": SIGNER,
                "usages": list(USAGES),
                "expirationSeconds": self._duration,
            },
        }
        if self._store.load():
            try:
                return self._asked(self.access, body)
            except CniError as error:
                _LOG.warning("%s is asked for with the bootstrap kubeconfig: %s", name, error)
        return self._asked(lambda: credentials.from_kubeconfig(self._bootstrap), body)

    def _asked(self, connect: Callable[[], Access], body: JsonObject) -> Connection:
        connection = Connection(connect)
        connection.ask("POST", REQUESTS, body, seconds=self._pace.question)
        return connection


def _certificate(request: JsonObject, name: str) -> bytes:
    """Return the certificate of a request, nothing as long as it is not signed."""
    status = request.get("status") or {}
    for condition in status.get("conditions") or []:
        if condition.get("type") in {"Denied", "Failed"}:
            raise CniError(
                Code.API_REFUSED,
                f"the certificate request {name} is {condition['type'].lower()}:"
                f" {condition.get('message') or condition.get('reason') or 'no reason given'}",
                f"see the rules of who approves: kubectl describe csr {name}",
            )
    try:
        return base64.b64decode(status.get("certificate") or "")
    except (binascii.Error, TypeError) as error:
        raise CniError(Code.DECODING_FAILURE, f"the certificate of {name} is no base64") from error


def _unsigned(name: str) -> CniError:
    error = RefusedError(
        Code.TRY_AGAIN_LATER,
        f"the certificate request {name} is neither approved nor denied",
        f"run the cert-approver, or kubectl certificate approve {name}",
    )
    error.passing = True
    return error


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _signing_request(key: EllipticCurvePrivateKey, name: str) -> bytes:
    """Return what is to be signed, as PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, GROUP),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _key_pem(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
