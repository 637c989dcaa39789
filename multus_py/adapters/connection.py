"""The way to an API server: one HTTP client for all threads, made anew when it is refused.

Knows HTTP, credentials and which failures pass; knows no pods and no networks. The ``kubernetes``
client is imported when the first request is made, which most DELs never do.
"""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

from multus_py.cni import document
from multus_py.cni.errors import CniError, Code, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kubernetes.client import ApiClient
    from kubernetes.client.rest import RESTResponse
    from urllib3.response import HTTPResponse

    from multus_py.cni.document import JsonObject

PARALLEL = 16
"""Requests at once; more wait for one of these to end. Streams do not count."""

_PASSING = frozenset({429, 500, 502, 503, 504})
_MERGE_PATCH = "application/merge-patch+json"
_METHODS = {"LIST": "GET", "WATCH": "GET"}
_HEADER_SECONDS = 15.0
"""For the beginning of a stream."""
_LINE_LIMIT = document.MAX_BYTES


class RefusedError(CniError):
    """The API server answered with an error, or not at all."""

    status = 0
    """HTTP's; 0 without an answer."""
    passing = False
    """Whether the same request may succeed a moment later."""
    retry_after = 0.0
    """Seconds that the API server wants to be left alone."""


def _unheard(verb: str, resource: str, status: int) -> None:
    """Do nothing with an answer."""


class Connection:
    """Requests to one API server, from any thread.

    ``connect`` makes a client, and does so again after a 401, as credentials are renewed.
    ``on_answer`` is told verb, resource and HTTP status (0 without an answer) of every request.
    """

    def __init__(
        self,
        connect: Callable[[], ApiClient],
        *,
        on_answer: Callable[[str, str, int], None] = _unheard,
        parallel: int = PARALLEL,
    ) -> None:
        self._connect = connect
        self._on_answer = on_answer
        self._slots = threading.BoundedSemaphore(parallel)
        self._lock = threading.Lock()
        self._client: ApiClient | None = None

    def ask(
        self,
        verb: str,
        path: str,
        body: JsonObject | None = None,
        *,
        seconds: float,
        query: Sequence[tuple[str, str]] = (),
    ) -> JsonObject:
        """Return the answer to one request; ``verb`` is HTTP's, or ``LIST``.

        A refused credential is renewed, and the request made once more.
        """
        from urllib3.exceptions import HTTPError

        with self._slot(seconds):
            client, answer = self._sent(verb, path, body, seconds=seconds, query=query)
            try:
                content = answer.read(document.MAX_BYTES + 1)
            except HTTPError as error:
                raise _unreachable(client, error) from error
            finally:
                if not answer.isclosed():  # there is more of it than is wanted
                    answer.close()
        return document.decode_object(content, "the API server's answer")

    def follow(self, path: str, query: Sequence[tuple[str, str]], *, quiet: float) -> Lines:
        """Return a watch as it goes on. It fails after ``quiet`` seconds without a word."""
        client, answer = self._sent("WATCH", path, None, seconds=_HEADER_SECONDS, query=query)
        return Lines(client, answer, quiet)

    @contextmanager
    def _slot(self, seconds: float) -> Iterator[None]:
        if not self._slots.acquire(timeout=seconds):
            busy = RefusedError(
                Code.TRY_AGAIN_LATER,
                "too many requests to the API server are under way",
                "the runtime tries again",
            )
            busy.passing = True
            raise busy
        try:
            yield
        finally:
            self._slots.release()

    def _sent(
        self,
        verb: str,
        path: str,
        body: JsonObject | None,
        *,
        seconds: float,
        query: Sequence[tuple[str, str]],
    ) -> tuple[ApiClient, HTTPResponse]:
        def send(client: ApiClient) -> tuple[ApiClient, HTTPResponse]:
            status = 0
            try:
                answer = _response(client, verb, path, body, seconds=seconds, query=query)
                status = answer.status
                _check(client, answer)
            finally:
                self._on_answer(verb, _resource(path), status)
            return client, answer.response

        client = self._current()
        try:
            return send(client)
        except RefusedError as error:
            if error.status != HTTPStatus.UNAUTHORIZED:
                raise
        return send(self._current(instead_of=client))

    def _current(self, *, instead_of: ApiClient | None = None) -> ApiClient:
        """Return the client, a new one if it is still the one that was refused."""
        with self._lock:
            if self._client is None or self._client is instead_of:
                self._client = self._connect()
            return self._client


class Lines:
    """An answer that goes on, line by line. Used as context, which ends it."""

    def __init__(self, client: ApiClient, answer: HTTPResponse, quiet: float) -> None:
        self._client = client
        self._answer = answer
        connection = answer.connection
        self._socket = getattr(connection, "sock", None)  # gone if the answer is complete already
        if self._socket is not None:
            self._socket.settimeout(quiet)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._answer.close()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the lines until the server ends the answer; an error if it just stops."""
        from urllib3.exceptions import HTTPError

        begun: list[bytes] = []
        chunks = iter(self._answer.stream())
        while True:
            try:
                chunk = next(chunks, None)
            except (HTTPError, OSError) as error:
                raise _unreachable(self._client, error) from error
            if chunk is None:
                return
            first, *others = chunk.split(b"\n")
            begun.append(first)
            for start in others:
                yield b"".join(begun)
                begun = [start]
            if len(begun) > 1 and sum(map(len, begun)) > _LINE_LIMIT:
                raise CniError(Code.DECODING_FAILURE, "the API server's line has no end")

    def cut(self) -> None:
        """End it from another thread, even while that waits for the next line."""
        if self._socket is not None:
            try:
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # TLS stays usable
            except OSError:
                return  # it is closed already


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
    _check_server(client.configuration.host, path)
    return _adjusted(client)


def _check_server(server: object, path: str) -> None:
    """Refuse what is no address of a server. A request to it would look like one that passes."""
    from urllib3.exceptions import LocationValueError
    from urllib3.util import parse_url

    try:
        url = parse_url(str(server))
        usable = url.scheme in {"http", "https"} and bool(url.host)
    except LocationValueError:
        usable = False
    if not usable:
        raise CniError(
            Code.API_REFUSED,
            f"the kubeconfig {path} names {str(server)!r} as server, which is no address of one",
            "write https://NAME-OR-ADDRESS:PORT",
        )


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
    return _adjusted(client.ApiClient(configuration))


def _adjusted(client: ApiClient) -> ApiClient:
    """Switch the HTTP library's own repetitions off, which know no deadline.

    Connections are kept for all that ask at once, and probed, as some die without a word.
    """
    client.configuration.retries = False
    client.configuration.keep_alive = True
    client.configuration.connection_pool_maxsize = PARALLEL + 4
    return type(client)(client.configuration)


def _response(
    client: ApiClient,
    verb: str,
    path: str,
    body: JsonObject | None,
    *,
    seconds: float,
    query: Sequence[tuple[str, str]],
) -> RESTResponse:
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    headers = {"Accept": "application/json", **_authorization(client)}
    if body is not None:
        headers["Content-Type"] = _MERGE_PATCH if verb == "PATCH" else "application/json"
    request = client.param_serialize(
        _METHODS.get(verb, verb), path, query_params=list(query), header_params=headers, body=body
    )
    try:
        return client.call_api(*request, _request_timeout=seconds)
    except HTTPError as error:
        raise _unreachable(client, getattr(error, "reason", error)) from error
    except UnicodeError as error:
        raise CniError(
            Code.API_REFUSED,
            "the credential for the API server has characters that no token has",
            "renew the token of the kubeconfig",
        ) from error
    except ApiException as error:  # what the client makes of errors of TLS
        raise _unreachable(client, error.__context__) from error


def _authorization(client: ApiClient) -> dict[str, str]:
    """Return the header with the client's token.

    The library would send it as it stands in a file, line end included, after a small ``bearer``.
    """
    key: str | None = client.configuration.get_api_key_with_prefix("BearerToken", "authorization")
    words = key.split() if key else []
    return {"Authorization": f"Bearer {words[-1]}"} if words else {}


def _resource(path: str) -> str:
    """Return the resource in a path below ``/api/VERSION`` or ``/apis/GROUP/VERSION``."""
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    inner = rest[2:] if rest[0] == "namespaces" and len(rest) > 2 else rest  # noqa: PLR2004 - what follows the name
    return inner[0]


def _check(client: ApiClient, answer: RESTResponse) -> None:
    """Raise what an answer that is no success says."""
    from urllib3.exceptions import HTTPError

    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    try:
        content = answer.read()
    except HTTPError as error:
        raise _unreachable(client, error) from error
    try:
        said = document.decode_object(content, "the API server's answer")
    except CniError:
        said = {}
    retry_after = answer.headers.get("Retry-After", "")
    raise refusal(
        {**said, "code": answer.status},
        f"from {client.configuration.host}",
        float(retry_after) if retry_after.isdigit() else 0.0,
    )


def refusal(said: JsonObject, source: str, retry_after: float = 0.0) -> CniError:
    """Return the error for an object of the kind Status, wherever it comes from."""
    status = int(said.get("code") or 0)
    cause = f"{said.get('message') or 'no reason given'} (HTTP {status} {source})"
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(Code.NETWORK_NOT_FOUND, cause)
    code = Code.API_REFUSED if status in _REFUSAL_HINTS else Code.API_FAILURE
    hint = _REFUSAL_HINTS.get(status, "see what the API server's log says")
    refused = RefusedError(code, cause, hint)
    refused.status = status
    refused.passing = status in _PASSING
    refused.retry_after = retry_after
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
    refused = RefusedError(
        Code.TRY_AGAIN_LATER if passing else Code.API_FAILURE,
        f"the API server {client.configuration.host} cannot be reached: {reason}",
        "see that the API server runs and its address and certificate are right",
    )
    refused.passing = passing
    return refused
