"""A Kubernetes API server that signs certificates for clients, and knows clients by them."""

from __future__ import annotations

import base64
import datetime as dt
import ssl
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.kubeapi import Certificate, KubeApi
from tests.kubeobjects import Request, collection

if TYPE_CHECKING:
    from tests.kubeobjects import JsonObject

REQUESTS = collection("CertificateSigningRequest")


class Authority:
    """Signs certificates for clients."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "clients")])
        self.pem = self._signed(
            self._name, self._key.public_key(), 86400, x509.BasicConstraints(True, None)
        )

    def sign(self, request: bytes, seconds: float) -> bytes:
        """Return a certificate for a request, as PEM."""
        asked = x509.load_pem_x509_csr(request)
        assert asked.is_signature_valid
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._signed(asked.subject, asked.public_key(), seconds, usage)

    def _signed(self, subject: Any, key: Any, seconds: float, extension: Any) -> bytes:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + dt.timedelta(seconds=seconds))
            .add_extension(extension, critical=True)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


class CertApi(KubeApi):
    """See :class:`KubeApi`. Requests for certificates are signed once they are approved."""

    def __init__(self, certificate: Certificate) -> None:
        super().__init__(certificate)
        self.authority = Authority()
        self.life = 3600.0
        """Seconds that certificates live, whatever is asked for."""
        self.willing = True
        """Whether requests are approved at once, by whoever does that here."""

    def security(self) -> ssl.SSLContext:
        context = super().security()
        context.load_verify_locations(cadata=self.authority.pem.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def user(self, authorization: str, certificate: dict[str, Any]) -> str:
        if not certificate:
            return super().user(authorization, certificate)
        if ssl.cert_time_to_seconds(certificate["notAfter"]) < time.time():
            return ""
        names = dict(part for parts in certificate["subject"] for part in parts)
        return str(names["commonName"])

    def answer(self, request: Request) -> tuple[int, JsonObject]:
        if request.path == REQUESTS and request.method == "POST":
            return self._take(request)
        if request.path.startswith(REQUESTS) and request.path.endswith("/approval"):
            return self._decide(request)
        return super().answer(request)

    def asked_for(self) -> list[JsonObject]:
        """Return the requests for certificates, in their order."""
        return [value for path, value in self.objects.items() if path.startswith(REQUESTS)]

    def approve(self, path: str) -> None:
        """Approve a request, and sign it."""
        conditions = [{"type": "Approved", "status": "True"}]
        self.put(path, self._issued({**self.objects[path], "status": {"conditions": conditions}}))

    def deny(self, path: str, message: str) -> None:
        """Deny a request."""
        conditions = [{"type": "Denied", "status": "True", "message": message}]
        self.change(path, status={"conditions": conditions})

    def _take(self, request: Request) -> tuple[int, JsonObject]:
        group = "system:nodes" if request.user.startswith("system:node:") else "system:multus"
        spec = {
            **request.body["spec"],
            "username": request.user,
            "groups": [group, "system:authenticated"],
        }
        name = request.body["metadata"]["name"]
        body = {**request.body, "metadata": {"name": name, "uid": f"uid-{name}"}, "spec": spec}
        taken = super().answer(replace(request, body=body))
        if self.willing and taken[0] == 201:
            self.approve(f"{REQUESTS}/{name}")
        return taken

    def _decide(self, request: Request) -> tuple[int, JsonObject]:
        path = request.path.removesuffix("/approval")
        body = {**request.body, "spec": self.objects.get(path, {}).get("spec")}
        answer = super().answer(replace(request, path=path, body=body))
        decided = answer[1].get("status", {}).get("conditions", [{}])[0].get("type")
        if answer[0] == 200 and decided == "Approved":
            self.put(path, self._issued(self.objects[path]))
        return answer

    def _issued(self, value: JsonObject) -> JsonObject:
        request = base64.b64decode(value["spec"]["request"])
        signed = base64.b64encode(self.authority.sign(request, self.life)).decode()
        return {**value, "status": {**value["status"], "certificate": signed}}
