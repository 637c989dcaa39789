"""A collection of the API server, kept here: listed once, then watched.

Thousands of nodes do the same, often at the same moment. So lists come out of the API server's
memory and not from etcd, and who loses a watch waits for a time of its own before it goes on.

Answers are as fresh as the last word of the API server; ``age`` tells how long ago that was. What
is kept of an object is ``trim``'s decision, made as soon as the object is read. Nothing fails here:
a server that is away, refuses or does not know the collection is asked again, ever more rarely.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Generic, TypeVar

from multus_py.adapters.connection import RefusedError, TooLargeError, refusal
from multus_py.cni import document
from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.core import backoff
from multus_py.models import objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from multus_py.adapters.connection import Connection, Lines
    from multus_py.cni.document import JsonObject
    from multus_py.models.objects import ObjectRef

_LOG = logging.getLogger(__name__)

PODS = "/api/v1/pods"
NETWORKS = "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions"

T = TypeVar("T")

_JOIN_SECONDS = 2.0
_LIST_SECONDS = 30.0
"""For one answer."""
_ANY_VERSION = "0"
_LIVES = (0.7, 1.3)
"""Of a watch, by chance: of what it is to live."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often, how long and how much; in seconds, each somewhat varied by chance."""

    first_delay: float = 0.5
    """After a first failure; doubled with each that follows."""
    last_delay: float = 30.0
    quiet: float = 150.0
    """Without a word for so long, a watch counts as lost: there is a bookmark every minute."""
    lifetime: float = 420.0
    """The server is asked to end a watch then, so that load is spread over its replicas."""
    spread: float = 5.0
    """A watch that ends before its time goes on after up to so much more: when an API server goes,
    all nodes of a cluster lose theirs."""
    whole: int = 4 * 1024 * 1024
    """Bytes of a collection that is taken in one answer: to decode it takes six times that."""
    page: int = 500
    """Objects in one answer, if the collection is larger."""

    def delay(self, failures: int, *, at_least: float = 0.0) -> float:
        """Return the seconds to wait after so many failures in a row."""
        return backoff.delay(
            failures, first=self.first_delay, last=self.last_delay, at_least=at_least
        )

    def life(self) -> int:
        """Return the seconds after which the server is to end a watch."""
        return max(round(self.lifetime * random.uniform(*_LIVES)), 1)  # noqa: S311 - no secret

    def stray(self) -> float:
        """Return the seconds to wait besides, so that not all go on at once."""
        return random.uniform(0.0, self.spread)  # noqa: S311 - no secret


class Watch(Generic[T]):
    """The objects of one collection, as ``trim`` makes them; those it refuses are left out.

    ``on_change`` is told what an object was and what it is, None before it came and after it went.
    It is called by the thread that watches, which it must not keep.
    """

    def __init__(
        self,
        connection: Connection,
        path: str,
        *,
        trim: Callable[[JsonObject], T],
        selector: str = "",
        on_change: Callable[[T | None, T | None], None] = lambda _was, _is: None,
        pace: Pace = Pace(),
    ) -> None:
        self._connection = connection
        self._path = path
        self._selector = [("fieldSelector", selector)] if selector else []
        self._trim = trim
        self._on_change = on_change
        self._pace = pace
        self._page = pace.page
        self._whole = True
        """Whether a list in one answer is small enough, as far as is known."""
        self._known = _ANY_VERSION
        """The newest version that was here: no list may be older."""
        self._doubtful = False
        """Whether the server had forgotten already what it listed from memory."""
        self._due = 0.0
        """When the server is to end the watch that has begun; 0 if none has."""
        self.name = path.rpartition("/")[2]
        self._lock = threading.Lock()
        self._objects: dict[ObjectRef, T] = {}
        self._version = ""
        self._lines: Lines | None = None
        self._heard = time.monotonic()
        self._followed = 0.0
        self._stopping = threading.Event()
        self._settled = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {self.name}", daemon=True)
        self.synced = False
        """Whether all objects were here once, so that what is missing was probably not there."""
        self.absent = False
        """Whether the API server does not know the collection at all."""

    def start(self) -> None:
        """Begin to list and watch."""
        self._thread.start()

    def stop(self) -> None:
        """End it, even while it waits for the API server."""
        self._stopping.set()
        lines = self._lines
        if lines is not None:
            lines.cut()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_SECONDS)

    def wait(self, seconds: float) -> bool:
        """Wait until it is known what there is, or that the collection is absent; tell whether."""
        return self._settled.wait(seconds)

    def get(self, ref: ObjectRef) -> T | None:
        """Return an object, None if it is not here."""
        with self._lock:
            return self._objects.get(ref)

    def items(self) -> list[T]:
        """Return all objects."""
        with self._lock:
            return list(self._objects.values())

    @property
    def fresh(self) -> bool:
        """Whether all objects are here, as far as is known a few minutes later."""
        return self.synced and self.age < 2 * self._pace.quiet

    @property
    def age(self) -> float:
        """Seconds since the API server last said anything."""
        return time.monotonic() - self._heard

    def _run(self) -> None:
        failures, complained, pause = 0, False, self._pace.delay(0)
        while not self._stopping.wait(pause):
            began = time.monotonic()
            error = self._try()
            now = time.monotonic()
            progress = self._followed >= began or now - began > self._pace.last_delay
            complained = complained and not progress  # once for each outage
            if error and not self._stopping.is_set():
                level = logging.DEBUG if complained or progress else logging.WARNING
                _LOG.log(level, "watch of %s: %s", self.name, error)
                complained = not progress
            failures = 1 if progress else failures + 1
            asked = error.retry_after if isinstance(error, RefusedError) else 0.0
            pause = self._pace.delay(failures, at_least=asked)
            if now < self._due:
                pause += self._pace.stray()

    def _try(self) -> Exception | None:
        """List if necessary, then watch until that ends; return why if that was a failure."""
        began, listed, self._due = time.monotonic(), not self._version, 0.0
        try:
            if listed:
                self._list()
            self._follow()
        except Exception as error:  # noqa: BLE001 - this is the main of its thread
            if _lost_track(error):
                self._known, self._version = self._version or self._known, ""
                self._doubtful = listed and _is_gone(error) and self._followed < began
            if not isinstance(error, CniError):
                _LOG.exception("watch of %s begins again", self.name)
            return error
        return None

    def _list(self) -> None:
        """Take the whole collection, and tell what is different."""
        try:
            found, version = self._collection()
        except NotFoundError:
            self._replace({})
            self.absent = True
            self._settled.set()
            raise
        self._replace(found)
        self.absent, self.synced = False, True
        self._settled.set()
        if not version:
            raise CniError(Code.DECODING_FAILURE, "the API server's list has no resourceVersion")
        self._version = version

    def _collection(self) -> tuple[dict[ObjectRef, T], str]:
        """Return all objects and the version they are of.

        Without a version in the question, as in one for pages, older API servers read all pods of
        the cluster from etcd to find those of one node.
        """
        if self._whole and not self._doubtful:
            query = [("resourceVersion", self._known), ("resourceVersionMatch", "NotOlderThan")]
            try:
                return self._taken(self._ask(query, limit=self._pace.whole))
            except TooLargeError:
                self._whole = False
            except RefusedError as error:
                if error.status in {HTTPStatus.GONE, HTTPStatus.GATEWAY_TIMEOUT}:
                    self._known = _ANY_VERSION  # it is far behind, or etcd comes out of a backup
                raise
        return self._pages()

    def _pages(self) -> tuple[dict[ObjectRef, T], str]:
        """Return all objects as they are now, of which little is in memory at any time."""
        found: dict[ObjectRef, T] = {}
        token: list[tuple[str, str]] = []
        while True:
            try:
                answer = self._ask([("limit", str(self._page)), *token])
            except CniError as error:
                if error.code == Code.DECODING_FAILURE:  # perhaps it was too large
                    self._page = max(self._page // 4, 1)
                raise
            more, version = self._taken(answer)
            found |= more
            rest = (answer.get("metadata") or {}).get("continue")
            if not rest:
                self._page = self._pace.page
                return found, version
            token = [("continue", rest)]

    def _ask(self, query: list[tuple[str, str]], *, limit: int = document.MAX_BYTES) -> JsonObject:
        query = [*self._selector, *query]
        answer = self._connection.ask(
            "LIST", self._path, query=query, seconds=_LIST_SECONDS, limit=limit
        )
        self._heard = time.monotonic()
        return answer

    def _taken(self, answer: JsonObject) -> tuple[dict[ObjectRef, T], str]:
        found: dict[ObjectRef, T] = {}
        for value in answer.get("items") or []:
            self._keep(found, value)
        return found, str((answer.get("metadata") or {}).get("resourceVersion") or "")

    def _follow(self) -> None:
        """Take changes until the API server or :meth:`stop` ends the watch."""
        seconds = self._pace.life()
        query = [
            *self._selector,
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", self._version),
            ("timeoutSeconds", str(seconds)),
        ]
        due = time.monotonic() + seconds
        with self._connection.follow(self._path, query, quiet=self._pace.quiet) as lines:
            self._lines, self._heard = lines, time.monotonic()
            self._due = due
            try:
                if not self._stopping.is_set():
                    for line in lines:
                        self._hear(document.decode_object(line, "the API server's event"))
            finally:
                self._lines = None

    def _hear(self, event: JsonObject) -> None:
        kind, value = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            raise refusal(value, "in a watch")
        self._heard = self._followed = time.monotonic()  # a list alone is no progress: it is dear
        if kind != "BOOKMARK":
            with self._lock:
                ref = objects.reference(value)
                was = self._objects.get(ref)
                if kind == "DELETED":
                    self._objects.pop(ref, None)
                else:
                    self._keep(self._objects, value)
                now = self._objects.get(ref)
            self._tell(was, now)
        self._version = str((value.get("metadata") or {}).get("resourceVersion") or self._version)

    def _keep(self, found: dict[ObjectRef, T], value: JsonObject) -> None:
        ref = objects.reference(value)
        try:
            found[ref] = self._trim(value)
        except CniError as error:
            found.pop(ref, None)  # who asks for it gets to see the error
            _LOG.debug("%s %s is of no use: %s", self.name, ref, error)

    def _replace(self, found: dict[ObjectRef, T]) -> None:
        with self._lock:
            before, self._objects = self._objects, found
            changed = [(before.get(ref), found.get(ref)) for ref in before.keys() | found.keys()]
        for was, now in changed:
            self._tell(was, now)

    def _tell(self, was: T | None, now: T | None) -> None:
        if was != now:
            self._on_change(was, now)


def _is_gone(error: Exception) -> bool:
    return isinstance(error, RefusedError) and error.status == HTTPStatus.GONE


def _lost_track(error: Exception) -> bool:
    """Tell whether it takes a new list to go on: changes are forgotten, or were not understood."""
    if isinstance(error, RefusedError):
        return _is_gone(error)
    if isinstance(error, CniError):
        return isinstance(error, NotFoundError) or error.code == Code.DECODING_FAILURE
    return True
