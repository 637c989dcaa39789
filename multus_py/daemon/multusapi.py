"""Multus's HTTP API on ``multus.sock``: for its shim, and for controllers that attach networks.

What its daemon offers is here under the same paths, in the same form. Multus's shim runs nothing
itself, so plugins run by hands on the host; without any, callers are told to come again.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from multus_py.cni import document, network, request, result
from multus_py.cni.errors import CniError, Code, located
from multus_py.core import answer, hotplug
from multus_py.daemon.httpd import JSON, Answer, RefusedError, Server
from multus_py.daemon.listener import is_trusted, keep, listening
from multus_py.models import multusapi as model
from multus_py.wire import LostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from multus_py.cni.document import JsonObject
    from multus_py.cni.request import Request
    from multus_py.core.session import Session
    from multus_py.daemon.hands import Borrowing, Hands
    from multus_py.daemon.httpd import Asked
    from multus_py.daemon.listener import Listener
    from multus_py.daemon.metrics import Metrics
    from multus_py.daemon.requests import LockingHost
    from multus_py.models.multusapi import Call
    from multus_py.models.requests import Requests

    Run = Callable[[Mapping[str, str], bytes, LockingHost], JsonObject | None]
    Sessions = Callable[[Request, LockingHost], Session]
    Turn = Callable[[], AbstractContextManager[None]]

_LOG = logging.getLogger(__name__)

NAME = "multus.sock"

CNI, DELEGATE, HEALTHZ, READYZ = "/cni", "/delegate", "/healthz", "/readyz"
_METHODS = {
    CNI: {"POST"},
    DELEGATE: {"POST"},
    HEALTHZ: {"GET", "POST"},
    READYZ: {"GET", "POST"},
}
_WITHOUT_RESULT = {"DEL": hotplug.detach, "CHECK": hotplug.check, "STATUS": hotplug.status}
"""What can be done with one network of a pod, beside ADD."""

_KNOWN_METHODS = frozenset(
    {"connect", "delete", "get", "head", "options", "patch", "post", "put", "trace"}
)

_CONNECTIONS = 1024
_REQUEST_SECONDS = 10.0
_USUAL_IFNAME = "eth0"
_PLUGIN_PATH = "/opt/cni/bin"
"""Controllers send no ``CNI_PATH``; this and ``binDir`` count if the hands have none either."""


class MultusApi:
    """Answers on ``<directory>/multus.sock``.

    ``run`` answers a container runtime's request; ``session`` makes one for a hot attachment, under
    ``config``, the plugin's configuration that requests of the daemon's own are made with. ``turn``
    is what a hot attachment waits for, as requests do. ``ready`` returns why the daemon is not.
    """

    def __init__(  # noqa: PLR0913 - one composition, all by keyword
        self,
        directory: str,
        *,
        run: Run,
        session: Sessions,
        config: Callable[[], JsonObject],
        hands: Borrowing,
        turn: Turn,
        ready: Callable[[], list[str]],
        metrics: Metrics,
        seconds: float = _REQUEST_SECONDS,
    ) -> None:
        """A request has to arrive within ``seconds``."""
        self._path = os.path.join(directory, NAME)
        self._run = run
        self._session = session
        self._config = config
        self._hands = hands
        self._turn = turn
        self._ready = ready
        self._metrics = metrics
        self._seconds = seconds
        self._stopping = threading.Event()
        self._listener: Listener | None = None
        self._server: Server | None = None
        self._keeper = threading.Thread(
            target=keep,
            args=(self._path, self._stopping),
            kwargs={"is_there": lambda: self.listening, "renew": self._renew},
            name="keep multus.sock",
            daemon=True,
        )

    def start(self) -> None:
        """Listen."""
        self._listen()
        self._keeper.start()

    def stop(self, seconds: float = 10.0) -> None:
        """Accept no more; wait so long for requests that are being answered."""
        self._stopping.set()
        self._keeper.join()
        if self._listener and self._server:
            if self._listener.reachable:
                os.unlink(self._path)
            self._server.stop(seconds)

    @property
    def listening(self) -> bool:
        """Whether the socket is there and answered."""
        listener, server = self._listener, self._server
        return bool(listener and listener.reachable and server and server.alive)

    def _listen(self) -> None:
        listener = listening(self._path)
        self._server = Server(
            listener.socket,
            self._counted,
            connections=_CONNECTIONS,
            seconds=self._seconds,
            trusted=is_trusted,
        )
        self._server.start()
        self._listener = listener

    def _renew(self) -> None:
        before = self._server
        self._listen()
        if before:
            before.stop(0.0)  # what it is answering goes on

    # -- answers

    def _counted(self, asked: Asked) -> Answer:
        said = Answer(HTTPStatus.INTERNAL_SERVER_ERROR)
        try:
            said = self._answer(asked)
        except RefusedError as refusal:
            said = refusal.answer
        finally:
            method = asked.method.lower()
            self._metrics.http_requests.labels(
                handler=asked.path if asked.path in _METHODS else "NotFound",
                code=str(int(said.status)),
                method=method if method in _KNOWN_METHODS else "unknown",
            ).inc()
        return said

    def _answer(self, asked: Asked) -> Answer:
        if asked.path not in _METHODS:
            return Answer(HTTPStatus.NOT_FOUND)
        if asked.method not in _METHODS[asked.path]:
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, b"Method not allowed\n")
        if asked.path == HEALTHZ:
            return Answer()
        if asked.path == READYZ:
            reasons = self._ready()
            status = HTTPStatus.INTERNAL_SERVER_ERROR if reasons else HTTPStatus.OK
            return Answer(status, "".join(f"{reason}\n" for reason in reasons).encode())
        return self._done(self._cni if asked.path == CNI else self._delegate, asked.body())

    def _done(self, act: Callable[[Call], JsonObject | None], body: bytes) -> Answer:
        """Return the answer to what a body asks for; errors are the caller's to read."""
        try:
            said = act(model.parse(body))
        except Exception as error:  # noqa: BLE001 - a caller gets an error, whatever happens
            content = document.encode(answer.described(_failure(error), None))
            return Answer(HTTPStatus.BAD_REQUEST, content, JSON)
        if said is None:
            return Answer()
        newest = result.checked(said, "").current
        return Answer(HTTPStatus.OK, document.encode({"Result": newest}), JSON)

    def _cni(self, call: Call) -> JsonObject | None:
        """Answer Multus's shim."""
        environment = {"CNI_IFNAME": _USUAL_IFNAME, **call.environment}
        command = environment.get("CNI_COMMAND", "")
        with located(*({command} & {*request.COMMANDS})), self._borrowed() as hands:
            return self._run(environment, call.stdin, hands.host)

    def _delegate(self, call: Call) -> JsonObject | None:
        """Attach a network to a running pod, look at it, or release it."""
        begun = time.monotonic()
        asked: Request | None = None
        failure: CniError | None = None
        try:
            asked = _parsed(call)
            # hands first, as in _cni: who has a turn never waits for who waits for one
            with located(asked.command), self._borrowed() as hands, self._turn():
                path = asked.path or hands.path or (_PLUGIN_PATH,)
                return self._hotplugged(replace(asked, path=path), call.requests, hands.host)
        except Exception as error:
            failure = _failure(error)
            raise
        finally:
            answer.log(asked, failure, milliseconds=round((time.monotonic() - begun) * 1000))

    def _hotplugged(
        self, asked: Request, requests: Requests, host: LockingHost
    ) -> JsonObject | None:
        # The daemon's keys hold for the plugin's configuration, and not for the network's.
        wanted = network.parse(asked.config)
        session = self._session(replace(asked, config=self._config()), host)
        with located(session.place):
            if asked.command == "ADD":
                return hotplug.attach(session, wanted, requests).document
            _WITHOUT_RESULT[asked.command](session, wanted)
        return None

    @contextmanager
    def _borrowed(self) -> Iterator[Hands]:
        with self._hands() as hands:
            if hands is None:
                raise CniError(
                    Code.TRY_AGAIN_LATER,
                    "nobody who could run plugins on the host is at hand",
                    "try again; whatever pod starts or ends next on this node brings somebody",
                )
            yield hands


def _parsed(call: Call) -> Request:
    """Return a request about one network; its path is empty where the caller named none."""
    path = call.environment.get("CNI_PATH", "")
    asked = request.parse({**call.environment, "CNI_PATH": path or _PLUGIN_PATH}, call.stdin)
    if asked.command not in {"ADD", *_WITHOUT_RESULT}:
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            f"{asked.command} is nothing that can be done with one network of a pod",
            f"use ADD, {', '.join(_WITHOUT_RESULT)}",
        )
    return asked if path else replace(asked, path=())


def _failure(error: Exception) -> CniError:
    """Return the error that a caller gets for an exception."""
    if isinstance(error, LostError):
        return CniError(
            Code.TRY_AGAIN_LATER,
            "who ran the plugins on the host was lost; what was begun stays recorded",
            "try again",
        )
    return answer.failure(error)
