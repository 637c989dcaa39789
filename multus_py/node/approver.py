"""Approves and denies the certificate requests of nodes, by what they ask for and who they are.

Rules are Multus's. A node gets a certificate for itself and for nothing else; what is no request of
a node's for such a certificate is nobody's business here. Repeats itself without harm: it looks at
the requests that are open, and its decisions close them.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import logging
import secrets
import threading
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from multus_py.adapters.connection import RefusedError
from multus_py.adapters.watching import Watch
from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.core import backoff
from multus_py.models import objects
from multus_py.node.certificates import GROUP, REQUESTS, SIGNER, USAGES, common_name

if TYPE_CHECKING:
    from cryptography.x509 import CertificateSigningRequest

    from multus_py.adapters.connection import Connection
    from multus_py.cni.document import JsonObject

_LOG = logging.getLogger(__name__)

_EVENTS = "/api/v1/namespaces/default/events"
_ASKERS = frozenset({"system:node", GROUP})
_GROUPS = frozenset({"system:nodes", GROUP, "system:authenticated"})
_LONGEST = 365 * 24 * 3600
_SECONDS = 15.0
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Request:
    """An open request for a certificate of a node."""

    name: str
    value: JsonObject
    """The object, to be written back."""
    subject: CertificateSigningRequest

    @property
    def uid(self) -> str:
        """What no other request ever has; names may come again."""
        return str(self.value["metadata"].get("uid") or self.name)

    @property
    def spec(self) -> JsonObject:
        """What is asked for, and by whom, as the API server found out."""
        spec: JsonObject = self.value["spec"]
        return spec


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is decided about a request; it is approved without ``reason``."""

    reason: str = ""

    @property
    def approved(self) -> bool:
        """Whether it is approved."""
        return not self.reason


def opened(value: JsonObject) -> Request:
    """Return the request in an API object; an error if it is not an open one for us."""
    spec, status = value.get("spec") or {}, value.get("status") or {}
    closed = {condition.get("type") for condition in status.get("conditions") or []}
    if spec.get("signerName") != SIGNER or status.get("certificate") or closed:
        raise _foreign("is another signer's, or decided")
    subject = _subject(spec.get("request"))
    if not _common_name(subject).startswith(GROUP):
        raise _foreign(f"is not for {GROUP}")
    return Request(objects.reference(value).name, value, subject)


def judged(request: Request) -> Verdict:
    """Return what the rules say; an error if the name of who asks is none of a node."""
    asker, colon, node = str(request.spec.get("username") or "").rpartition(":")
    if not colon:
        raise CniError(
            Code.DECODING_FAILURE,
            f"{request.spec.get('username')!r} asks for it, which is no name of a node",
            f"decide yourself: kubectl certificate approve {request.name}",
        )
    usages, groups = _texts(request, "usages"), _texts(request, "groups")
    seconds = request.spec.get("expirationSeconds")
    rules = {
        f"{asker} may not ask": asker in _ASKERS,
        f"{node!r} is no name of a node": objects.is_object_name(node),
        f"its usages are not {', '.join(USAGES)}": (
            set(usages) == set(USAGES) and len(usages) == len(USAGES)
        ),
        "who asks is in groups that no node is in": set(groups) <= _GROUPS,
        f"it is not for {common_name(node)}": (_common_name(request.subject) == common_name(node)),
        f"its organization is not {GROUP}": _organizations(request.subject) == [GROUP],
        "it has no expirationSeconds": isinstance(seconds, int),
        "it would live for more than 365 days": (
            not isinstance(seconds, int) or seconds <= _LONGEST
        ),
    }
    return Verdict("; ".join(cause for cause, kept in rules.items() if not kept))


class Approver:
    """Decides about all open requests, those that are there and those that come."""

    def __init__(
        self, connection: Connection, *, first_delay: float = 0.5, last_delay: float = 60.0
    ) -> None:
        self._connection = connection
        self._delays = first_delay, last_delay
        self._undecidable: set[str] = set()
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._watch: Watch[Request] = Watch(
            connection, REQUESTS, trim=opened, on_change=lambda _was, _is: self._news.set()
        )
        self._thread = threading.Thread(target=self._run, name="approver", daemon=True)

    def start(self) -> None:
        """Begin to decide."""
        self._watch.start()
        self._thread.start()

    def stop(self) -> None:
        """Finish the decision that is being written, and end."""
        self._stopping.set()
        self._news.set()
        self._watch.stop()
        if self._thread.is_alive():
            self._thread.join(_SECONDS)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._news.wait()
            self._news.clear()
            if self._round():
                failures = 0
                continue
            failures += 1
            first, last = self._delays
            self._stopping.wait(backoff.delay(failures, first=first, last=last))
            self._news.set()

    def _round(self) -> bool:
        """Decide about what is open; tell whether there is nothing to try again."""
        done = True
        for request in self._watch.items():
            if self._stopping.is_set():
                break
            try:
                self._decide(request)
            except CniError as error:
                _LOG.warning("request %s: %s", request.name, error)
                done = False
        return done

    def _decide(self, request: Request) -> None:
        if request.uid in self._undecidable:
            return
        try:
            verdict = judged(request)
        except CniError as error:
            self._undecidable.add(request.uid)
            _LOG.error("request %s stays as it is: %s", request.name, error)
            return
        if self._written(request, verdict):
            _LOG.info("request %s: %s", request.name, verdict.reason or "approved")
            self._tell(request, verdict)

    def _written(self, request: Request, verdict: Verdict) -> bool:
        """Write a decision; tell whether it is ours, and not that of somebody who was faster."""
        condition = {
            "type": "Approved" if verdict.approved else "Denied",
            "status": "True",
            "reason": "AutoApproved" if verdict.approved else "CSRDenied",
            "message": verdict.reason or f'Auto-approved CSR "{request.name}"',
        }
        status = {**(request.value.get("status") or {}), "conditions": [condition]}
        path = f"{REQUESTS}/{request.name}/approval"
        try:
            body = {**request.value, "status": status}
            self._connection.ask("PUT", path, body, seconds=_SECONDS)
        except NotFoundError:
            return False
        except RefusedError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            return False  # the watch brings what became of it
        return True

    def _tell(self, request: Request, verdict: Verdict) -> None:
        """Send an event about a decision. One that cannot be sent is logged."""
        try:
            self._connection.ask("POST", _EVENTS, _event(request, verdict), seconds=_SECONDS)
        except CniError as error:
            _LOG.warning("no event about %s: %s", request.name, error)


def _event(request: Request, verdict: Verdict) -> JsonObject:
    now = dt.datetime.now(dt.UTC).strftime(_TIME)
    approved = f'CSR "{request.name}" has been approved by csr-approver'
    denied = f'CSR "{request.name}" has been denied: {verdict.reason}'
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{request.name[:220]}.{secrets.token_hex(8)}",
            "namespace": "default",  # where events about objects without a namespace are kept
        },
        "involvedObject": {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "name": request.name,
            "uid": request.uid,
        },
        "source": {"component": "cert-approver"},
        "type": "Normal" if verdict.approved else "Warning",
        "reason": "CSRApproved" if verdict.approved else "CSRDenied",
        "message": (approved if verdict.approved else denied)[:1024],
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def _texts(request: Request, key: str) -> list[str]:
    return [str(text) for text in request.spec.get(key) or []]


def _subject(content: object) -> CertificateSigningRequest:
    from cryptography import x509

    try:
        request = x509.load_pem_x509_csr(base64.b64decode(str(content)))
        request.subject  # noqa: B018 - it is read now, and raises now
    except (binascii.Error, ValueError) as error:
        raise _foreign(f"cannot be read ({error})") from error
    return request


def _common_name(subject: CertificateSigningRequest) -> str:
    from cryptography.x509.oid import NameOID

    names = subject.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[-1].value) if names else ""


def _organizations(subject: CertificateSigningRequest) -> list[str]:
    from cryptography.x509.oid import NameOID

    names = subject.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return [str(name.value) for name in names]


def _foreign(why: str) -> CniError:
    return CniError(Code.UNSUPPORTED_FIELD, f"the certificate request {why}")
