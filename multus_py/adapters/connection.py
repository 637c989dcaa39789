"""The way to an API server: one HTTP client for all threads, made anew when it has to be.

That is when a file that it was made from has changed, and when it is refused. Knows HTTP and which
failures pass; knows no pods and no networks, and of credentials no more than what they are called.
The ``kubernetes`` client is imported when the first request is made, which most DELs never do.
"""

from __future__ import annotations

import datetime as dt
import logging
import socket
import threading
import time
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

from multus_py.adapters import credentials
from multus_py.cni import document
from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kubernetes.client.rest import RESTResponse
    from urllib3.response import HTTPResponse

    from multus_py.adapters.credentials import Access
    from multus_py.cni.document import JsonObject

_LOG = logging.getLogger(__name__)

_PASSING = frozenset({429, 500, 502, 503, 504})
_OVERLOADED = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""Answers whose Retry-After is about the server, not about one request."""
_LONGEST_REST = 30.0
"""Seconds for which a server is left alone at its word; then it is asked what it says now."""
_MERGE_PATCH = "application/merge-patch+json"
_HEADERS = {"Accept": "application/json", "User-Agent": f"multus-py/{VERSION}"}
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


class TooLargeError(CniError):
    """The answer is larger than who asked can use."""


def _unheard(verb: str, resource: str, status: int) -> None:
    """Do nothing with an answer."""


class Connection:
    """Requests to one API server, from any thread.

    ``connect`` reads credentials and makes a client of them. It does so again when their files
    change, and after a 401. New ones that are of no use yet leave the old ones in place.
    ``on_answer`` is told verb, resource and HTTP status (0 without an answer) of every request.
    A server that wants to be left alone is not asked by anybody for that time: requests fail, in a
    way that passes, without being sent.
    """

    def __init__(
        self,
        connect: Callable[[], Access],
        *,
        on_answer: Callable[[str, str, int], None] = _unheard,
        parallel: int = credentials.PARALLEL,
    ) -> None:
        self._connect = connect
        self._on_answer = on_answer
        self._slots = threading.BoundedSemaphore(parallel)
        self._lock = threading.Lock()
        self._access: Access | None = None
        self._complaint = ""
        self._resting_until = 0.0

    def ask(
        self,
        verb: str,
        path: str,
        body: JsonObject | None = None,
        *,
        seconds: float,
        query: Sequence[tuple[str, str]] = (),
        limit: int = document.MAX_BYTES,
    ) -> JsonObject:
        """Return the answer to one request, of so many bytes at the most.

        ``verb`` is HTTP's, or ``LIST``. A refused credential is renewed, and the request made once
        more.
        """
        from urllib3.exceptions import HTTPError

        with self._slot(seconds):
            access, answer = self._sent(verb, path, body, seconds=seconds, query=query)
            try:
                content = answer.read(limit + 1)
            except HTTPError as error:
                raise _unreachable(access, error) from error
            finally:
                if not answer.isclosed():  # there is more of it than is wanted
                    answer.close()
        if len(content) > limit:
            cause = f"the API server's answer is larger than {limit} bytes"
            raise TooLargeError(Code.DECODING_FAILURE, cause)
        return document.decode_object(content, "the API server's answer")

    def follow(self, path: str, query: Sequence[tuple[str, str]], *, quiet: float) -> Lines:
        """Return a watch as it goes on. It fails after ``quiet`` seconds without a word."""
        access, answer = self._sent("WATCH", path, None, seconds=_HEADER_SECONDS, query=query)
        return Lines(access, answer, quiet)

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
    ) -> tuple[Access, HTTPResponse]:
        def send(access: Access) -> tuple[Access, HTTPResponse]:
            status = 0
            self._refuse_while_resting()
            try:
                answer = _response(access, verb, path, body, seconds=seconds, query=query)
                status = answer.status
                _check(access, answer)
            except RefusedError as error:
                self._note_rest(error)
                raise
            finally:
                self._on_answer(verb, _resource(path), status)
            return access, answer.response

        access = self._current()
        try:
            return send(access)
        except RefusedError as error:
            if error.status != HTTPStatus.UNAUTHORIZED:
                raise
        return send(self._current(instead_of=access))

    def _note_rest(self, error: RefusedError) -> None:
        if error.status in _OVERLOADED:
            end = time.monotonic() + error.retry_after
            self._resting_until = max(self._resting_until, end)

    def _refuse_while_resting(self) -> None:
        left = self._resting_until - time.monotonic()
        if left <= 0:
            return
        refused = RefusedError(
            Code.TRY_AGAIN_LATER,
            f"the API server is overloaded and wants no requests for another {left:.1f} s",
            "the runtime tries again",
        )
        refused.passing = True
        refused.retry_after = left
        raise refused

    def _current(self, *, instead_of: Access | None = None) -> Access:
        """Return the access, a new one if it is still the one that was refused."""
        with self._lock:
            if self._access is None or self._access is instead_of:
                self._access = self._connect()
            elif self._access.stale:
                self._access = self._renewed(self._access)
            return self._access

    def _renewed(self, old: Access) -> Access:
        """Return what the changed files hold; what we have if that is of no use, perhaps yet."""
        try:
            return self._connect()
        except CniError as error:
            if self._complaint != str(error):
                self._complaint = str(error)
                _LOG.warning("%s is used as it was before: %s", old.name, error)
            return old


class Lines:
    """An answer that goes on, line by line. Used as context, which ends it."""

    def __init__(self, access: Access, answer: HTTPResponse, quiet: float) -> None:
        self._access = access
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
                raise _unreachable(self._access, error) from error
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


def _response(
    access: Access,
    verb: str,
    path: str,
    body: JsonObject | None,
    *,
    seconds: float,
    query: Sequence[tuple[str, str]],
) -> RESTResponse:
    from urllib.parse import quote, urlencode

    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    url = access.client.configuration.host + path
    url += f"?{urlencode(query, quote_via=quote)}" if query else ""
    headers = {**_HEADERS, **_authorization(access)}
    if body is not None:
        headers["Content-Type"] = _MERGE_PATCH if verb == "PATCH" else "application/json"
    send: Callable[..., RESTResponse] = access.client.request
    try:
        return send(_METHODS.get(verb, verb), url, headers, body, _request_timeout=seconds)
    except HTTPError as error:
        raise _unreachable(access, getattr(error, "reason", error)) from error
    except UnicodeError as error:
        cause = f"{access.name} has characters that no token has"
        raise CniError(Code.API_REFUSED, cause, access.hint) from error
    except ApiException as error:  # what the client makes of errors of TLS
        raise _unreachable(access, error.__context__) from error


def _authorization(access: Access) -> dict[str, str]:
    """Return the header with token or password, if that is what the access is by.

    The library would send it as it stands in a file, line end included, after a small ``bearer``.
    """
    configuration = access.client.configuration
    words = (configuration.get_api_key_with_prefix("BearerToken", "authorization") or "").split()
    scheme = "Basic" if words[:1] == ["Basic"] else "Bearer"
    return {"Authorization": f"{scheme} {words[-1]}"} if words else {}


def _resource(path: str) -> str:
    """Return the resource in a path below ``/api/VERSION`` or ``/apis/GROUP/VERSION``."""
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    inner = rest[2:] if rest[0] == "namespaces" and len(rest) > 2 else rest  # noqa: PLR2004 - what follows the name
    return inner[0]


def _check(access: Access, answer: RESTResponse) -> None:
    """Raise what an answer that is no success says."""
    from urllib3.exceptions import HTTPError

    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    try:
        content = answer.read()
    except HTTPError as error:
        raise _unreachable(access, error) from error
    try:
        said = document.decode_object(content, "the API server's answer")
    except CniError:
        said = {}
    if answer.status == HTTPStatus.UNAUTHORIZED:
        raise _unauthorized(access, said)
    raise refusal(
        {**said, "code": answer.status},
        f"from {access.client.configuration.host}",
        _seconds(answer.headers.get("Retry-After", "")),
    )


def _seconds(retry_after: str) -> float:
    """Return how long to wait by a header Retry-After (RFC 9110, section 10.2.3); 0 for nonsense.

    API servers give seconds; what stands before them may give a date.
    """
    from email.utils import parsedate_to_datetime

    if retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after), _LONGEST_REST)
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    date = date.replace(tzinfo=date.tzinfo or dt.UTC)  # "-0000" says that it is UTC
    left = (date - dt.datetime.now(dt.UTC)).total_seconds()
    return min(max(left, 0.0), _LONGEST_REST)


def _unauthorized(access: Access, said: JsonObject) -> CniError:
    """Return the error that says which credential it is that is refused."""
    refused = RefusedError(
        Code.API_REFUSED,
        f"{said.get('message') or 'no reason given'}"
        f" (HTTP 401 from {access.client.configuration.host}): {access.name} is refused",
        access.hint,
    )
    refused.status = HTTPStatus.UNAUTHORIZED
    return refused


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
    HTTPStatus.UNAUTHORIZED: "renew the credential for the API server",
    HTTPStatus.FORBIDDEN: "grant the verb to the service account (docs/errors.md)",
}


def _unreachable(access: Access, reason: BaseException | None) -> CniError:
    """Return the error for a request without an answer.

    Lost connections pass, even if they end while hands are shaken; certificates stay what they are.
    """
    import ssl

    from urllib3.exceptions import SSLError

    passing = not isinstance(reason, SSLError) or isinstance(reason.args[0], ssl.SSLEOFError)
    refused = RefusedError(
        Code.TRY_AGAIN_LATER if passing else Code.API_FAILURE,
        f"the API server {access.client.configuration.host} cannot be reached: {reason}",
        "see that the API server runs and its address and certificate are right",
    )
    refused.passing = passing
    return refused
