"""A collection of the API server, kept here: listed once, then watched.

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

from multus_py.adapters.connection import RefusedError, refusal
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
"""For one page."""


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
    page: int = 500
    """Objects in one answer to a list."""

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row."""
        return backoff.delay(failures, first=self.first_delay, last=self.last_delay)


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
        failures, complained = 0, False
        while not self._stopping.wait(self._pace.delay(failures)):
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

    def _try(self) -> Exception | None:
        """List if necessary, then watch until that ends; return why if that was a failure."""
        try:
            if not self._version:
                self._list()
            self._follow()
        except Exception as error:  # noqa: BLE001 - this is the main of its thread
            if _lost_track(error):
                self._version = ""
            if not isinstance(error, CniError):
                _LOG.exception("watch of %s begins again", self.name)
            return error
        return None

    def _list(self) -> None:
        """Take the whole collection, and tell what is different."""
        found: dict[ObjectRef, T] = {}
        token = ""
        try:
            while True:
                answer = self._get_page(token)
                metadata = answer.get("metadata") or {}
                for value in answer.get("items") or []:
                    self._keep(found, value)
                token = metadata.get("continue") or ""
                if not token:
                    break
        except NotFoundError:
            self._replace({})
            self.absent = True
            self._settled.set()
            raise
        self._page = self._pace.page
        self._replace(found)
        self.absent, self.synced = False, True
        self._settled.set()
        self._version = str(metadata.get("resourceVersion") or "")
        if not self._version:
            raise CniError(Code.DECODING_FAILURE, "the API server's list has no resourceVersion")

    def _get_page(self, token: str) -> JsonObject:
        query = [*self._selector, ("limit", str(self._page))]
        query += [("continue", token)] if token else []
        try:
            answer = self._connection.ask("LIST", self._path, query=query, seconds=_LIST_SECONDS)
        except CniError as error:
            if error.code == Code.DECODING_FAILURE:  # perhaps it was too large
                self._page = max(self._page // 4, 1)
            raise
        self._heard = time.monotonic()
        return answer

    def _follow(self) -> None:
        """Take changes until the API server or :meth:`stop` ends the watch."""
        lifetime = self._pace.lifetime * random.uniform(0.7, 1.3)  # noqa: S311 - no secret
        query = [
            *self._selector,
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", self._version),
            ("timeoutSeconds", str(max(round(lifetime), 1))),
        ]
        with self._connection.follow(self._path, query, quiet=self._pace.quiet) as lines:
            self._lines, self._heard = lines, time.monotonic()
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


def _lost_track(error: Exception) -> bool:
    """Tell whether it takes a new list to go on: changes are forgotten, or were not understood."""
    if isinstance(error, RefusedError):
        return error.status == HTTPStatus.GONE
    if isinstance(error, CniError):
        return isinstance(error, NotFoundError) or error.code == Code.DECODING_FAILURE
    return True
