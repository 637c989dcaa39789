"""The cluster behind an API server, asked by single requests.

Requests that fail for a reason that passes (overload, restarts, lost connections) are repeated
until their time is over; the answer of the last one is reported. The ``kubernetes`` client is
imported when the first request is made, which most DELs never do.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
import secrets
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from multus_py.cni import document
from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.models import objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from kubernetes.client import ApiClient

    from multus_py.cni.document import JsonObject
    from multus_py.core.ports import Event
    from multus_py.models.device import Devices
    from multus_py.models.objects import NetworkDefinition, ObjectRef, Pod

_LOG = logging.getLogger(__name__)

PATIENCE = 15.0
"""Seconds for one question, repetitions included."""

_EVENT_SECONDS = 3.0
"""For all events of a request together; they are a courtesy."""

_FIRST_DELAY, _LAST_DELAY = 0.1, 2.0
_PASSING = frozenset({429, 500, 502, 503, 504})
_MERGE_PATCH = "application/merge-patch+json"

_PODS = "/api/v1/namespaces/{0.namespace}/pods/{0.name}"
_EVENTS = "/api/v1/namespaces/{}/events"
_NETWORKS = (
    "/apis/k8s.cni.cncf.io/v1/namespaces/{0.namespace}/network-attachment-definitions/{0.name}"
)
_FIRST_GENERATION = (
    "/apis/kubernetes-network.cni.cncf.io/v1/namespaces/{0.namespace}/networks/{0.name}"
)


class _RefusedError(CniError):
    """The API server answered with an error."""

    status = 0
    """HTTP's; 0 without an answer."""
    passing = False
    """Whether the same request may succeed a moment later."""
    retry_after = 0.0
    """Seconds that the API server wants to be left alone."""


class ApiServer:
    """See :class:`multus_py.core.ports.Cluster`.

    ``connect`` makes a client, and does so again after a 401, as credentials are renewed.
    """

    def __init__(
        self,
        connect: Callable[[], ApiClient],
        *,
        devices: Callable[[Pod], Devices],
        patience: float = PATIENCE,
    ) -> None:
        self._connect = connect
        self._devices = devices
        self._patience = patience
        self._client: ApiClient | None = None
        self._events: list[JsonObject] = []

    def get_pod(self, ref: ObjectRef) -> Pod:
        """Return a pod."""
        return objects.pod(self._ask("GET", _PODS.format(ref)))

    def get_network(self, ref: ObjectRef) -> NetworkDefinition:
        """Return a NetworkAttachmentDefinition."""
        return objects.network_definition(self._ask("GET", _NETWORKS.format(ref)))

    def get_first_generation_network(self, ref: ObjectRef) -> NetworkDefinition:
        """Return an object Network of the first generation."""
        return objects.first_generation_network(self._ask("GET", _FIRST_GENERATION.format(ref)))

    def devices(self, pod: Pod) -> Devices:
        """Return the devices that the kubelet allocated to the pod."""
        return self._devices(pod)

    def publish_status(self, pod: Pod, annotation: str) -> None:
        """Write the network-status annotation with one patch that holds for this UID only.

        Where the service account may only update, as Multus's does, the whole object is written.
        """
        path = _PODS.format(pod.ref) + "/status"
        change = {objects.NETWORK_STATUS: annotation}
        body = {"metadata": {"uid": pod.uid, "annotations": change}}
        deadline = time.monotonic() + self._patience
        try:
            self._repeat_conflicts(pod, deadline, lambda: self._ask("PATCH", path, body))
        except _RefusedError as refusal:
            if refusal.status != HTTPStatus.FORBIDDEN:
                raise
            try:
                self._repeat_conflicts(pod, deadline, lambda: self._update(pod, path, change))
            except _RefusedError as again:
                raise (refusal if again.status == HTTPStatus.FORBIDDEN else again) from again

    def emit(self, pod: Pod, event: Event) -> None:
        """Note an event; it is sent by :meth:`close`, when nobody waits for it."""
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        reference = {"kind": "Pod", "apiVersion": "v1", "uid": pod.uid}
        self._events.append(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {
                    "name": f"{pod.ref.name[:220]}.{secrets.token_hex(8)}",
                    "namespace": pod.ref.namespace,
                },
                "involvedObject": {
                    **reference,
                    "namespace": pod.ref.namespace,
                    "name": pod.ref.name,
                },
                "source": {"component": "multus"},
                "type": event.type,
                "reason": event.reason,
                "message": event.message[:1024],
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
            }
        )

    def close(self) -> None:
        """Send the events. One that cannot be sent is logged, and so are those after it."""
        deadline = time.monotonic() + _EVENT_SECONDS
        for event in self._events:
            path = _EVENTS.format(event["metadata"]["namespace"])
            try:
                self._once("POST", path, event, seconds=max(deadline - time.monotonic(), 0.1))
            except CniError as error:
                _LOG.error("event %r is lost: %s", event["message"], error)
        self._events.clear()

    def _repeat_conflicts(self, pod: Pod, deadline: float, write: Callable[[], JsonObject]) -> None:
        """Write until nobody writes at the same time. A pod of another UID is not written to."""
        for delay in _delays(deadline):
            try:
                write()
            except _RefusedError as error:
                if error.status != HTTPStatus.CONFLICT or delay is None:
                    raise
                current = self.get_pod(pod.ref)
                if current.uid != pod.uid:
                    raise _replaced(pod, current) from error
                time.sleep(delay)
            else:
                return

    def _update(self, pod: Pod, path: str, change: Mapping[str, str]) -> JsonObject:
        current = self._ask("GET", _PODS.format(pod.ref))
        if (current.get("metadata") or {}).get("uid") != pod.uid:
            raise _replaced(pod, objects.pod(current))
        metadata = current["metadata"]
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **change}
        return self._ask("PUT", path, current)

    def _ask(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        """Return the answer to a request, repeated while it fails for a reason that passes."""
        deadline = time.monotonic() + self._patience
        renewed = False
        for delay in _delays(deadline):
            try:
                return self._once(method, path, body, seconds=max(deadline - time.monotonic(), 1))
            except _RefusedError as error:
                if error.status == HTTPStatus.UNAUTHORIZED and not renewed and delay is not None:
                    renewed, self._client = True, None
                elif not error.passing or delay is None:
                    raise
                else:
                    time.sleep(min(max(delay, error.retry_after), _LAST_DELAY))
        raise AssertionError("the last try returns or raises")

    def _once(
        self, method: str, path: str, body: JsonObject | None, *, seconds: float
    ) -> JsonObject:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        client = self._client = self._client or self._connect()
        headers = {"Accept": "application/json", **_authorization(client)}
        if body is not None:
            headers["Content-Type"] = _MERGE_PATCH if method == "PATCH" else "application/json"
        request = client.param_serialize(method, path, header_params=headers, body=body)
        try:
            response = client.call_api(*request, _request_timeout=seconds)
            content = response.read()
        except HTTPError as error:
            raise _unreachable(client, getattr(error, "reason", error)) from error
        except ApiException as error:  # what the client makes of errors of TLS
            raise _unreachable(client, error.__context__) from error
        if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
            retry_after = response.headers.get("Retry-After", "")
            raise _refusal(client, response.status, content, retry_after)
        return document.decode_object(content, "the API server's answer")


def from_kubeconfig(path: str) -> ApiClient:
    """Return a client for the current context of a kubeconfig."""
    from kubernetes import config
    from yaml import YAMLError

    malformed = (config.ConfigException, YAMLError, ValueError, TypeError, AttributeError)
    try:
        client: ApiClient = config.new_client_from_config(config_file=path, persist_config=False)
    except (OSError, *malformed) as error:
        raise CniError(
            Code.API_REFUSED,
            f"failed to get context for the kubeconfig {path}: {error}",
            "see that the file exists and names a cluster and a user",
        ) from error
    return _without_retries(client)


def from_service_account() -> ApiClient:
    """Return a client for the service account of the pod that this process is in."""
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException as error:
        raise CniError(
            Code.API_REFUSED,
            f"there is a cluster in the environment, but no service account: {error}",
            "set kubeconfig, or mount the service account's token",
        ) from error
    return _without_retries(client.ApiClient(configuration))


def _without_retries(client: ApiClient) -> ApiClient:
    """Switch the HTTP library's own repetitions off, which know no deadline."""
    client.configuration.retries = False
    return type(client)(client.configuration)


def _authorization(client: ApiClient) -> dict[str, str]:
    """Return the header with the client's token.

    The library would send it as it stands in a file, line end included, after a small ``bearer``.
    """
    key: str | None = client.configuration.get_api_key_with_prefix("BearerToken", "authorization")
    words = key.split() if key else []
    return {"Authorization": f"Bearer {words[-1]}"} if words else {}


def _delays(deadline: float) -> Iterator[float | None]:
    """Yield the seconds to wait after each failure, None if there is no time for another try."""
    delay = _FIRST_DELAY
    while True:
        jittered = delay * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        if time.monotonic() + jittered > deadline:
            yield None
            return
        yield jittered
        delay = min(delay * 2, _LAST_DELAY)


def _refusal(client: ApiClient, status: int, content: bytes, retry_after: str) -> CniError:
    try:
        said = document.decode_object(content, "the API server's answer").get("message")
    except CniError:
        said = None
    cause = f"{said or 'no reason given'} (HTTP {status} from {client.configuration.host})"
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(Code.NETWORK_NOT_FOUND, cause)
    code = Code.API_REFUSED if status in _REFUSAL_HINTS else Code.API_FAILURE
    hint = _REFUSAL_HINTS.get(status, "see what the API server's log says")
    refused = _RefusedError(code, cause, hint)
    refused.status = status
    refused.passing = status in _PASSING
    refused.retry_after = float(retry_after) if retry_after.isdigit() else 0.0
    return refused


_REFUSAL_HINTS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "the API server refuses the credential of the kubeconfig: renew it",
    HTTPStatus.FORBIDDEN: "grant the verb to the service account (docs/errors.md)",
}


def _unreachable(client: ApiClient, reason: BaseException | None) -> CniError:
    """Return the error for a request without an answer.

    Lost connections pass, even if they end while hands are shaken; certificates stay what they are.
    """
    import ssl

    from urllib3.exceptions import SSLError

    passing = not isinstance(reason, SSLError) or isinstance(reason.args[0], ssl.SSLEOFError)
    refused = _RefusedError(
        Code.TRY_AGAIN_LATER if passing else Code.API_FAILURE,
        f"the API server {client.configuration.host} cannot be reached: {reason}",
        "see that the API server runs and its address and certificate are right",
    )
    refused.passing = passing
    return refused


def _replaced(pod: Pod, current: Pod) -> CniError:
    return CniError(
        Code.POD_REPLACED,
        f"expected pod UID {pod.uid}, but the API server has UID {current.uid} by now",
        "nothing: the runtime cleans up",
    )
