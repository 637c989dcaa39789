"""One request of a container runtime, answered by the daemon.

The core is the same as in :mod:`multus_py.inprocess`; what differs is where plugins run, who knows
the cluster, and that requests wait for their turn.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from multus_py.adapters import atomic, locks, logfile
from multus_py.adapters.disk import Disk
from multus_py.cni import arguments, document, request, version
from multus_py.cni.errors import CniError, Code
from multus_py.cni.network import VALID_ATTACHMENTS
from multus_py.core import answer, mishaps
from multus_py.core.budget import Budget
from multus_py.core.ports import Cluster, Host
from multus_py.core.session import Session
from multus_py.daemon import stages
from multus_py.daemon.stages import StagedCluster, StagedHost, Stages
from multus_py.models import config as configuration
from multus_py.wire import LostError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager

    from multus_py.cni.document import JsonObject
    from multus_py.cni.request import Request
    from multus_py.daemon.metrics import Metrics
    from multus_py.daemon.turns import Turns
    from multus_py.models.config import MultusConfig
    from multus_py.models.settings import Settings

_QUEUE_SHARE = 0.5
"""Of a request's time. What comes to its turn later could hardly be finished."""

_OF_ONE_POD = frozenset({"prevResult", "runtimeConfig", *VALID_ATTACHMENTS})

_UNTIMELY = frozenset({"STATUS", "VERSION"})
"""Commands that do not wait: the runtime asks whether pods can be started at all."""


class LockingHost(Host, Protocol):
    """A host that lets what it runs hold a lock too."""

    def lock(self, path: str, seconds: float) -> AbstractContextManager[object]:
        """Hold the lock at ``path``; see :func:`multus_py.adapters.locks.held`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the runtime gets."""

    status: int
    stdout: bytes


class Seen:
    """The plugin's configuration that the runtime uses, for requests of the daemon's own.

    A guess until the first request; the next daemon goes on with what this one has seen.
    """

    def __init__(self, over: JsonObject, *, path: str = "") -> None:
        """``path`` is the file in which it is kept for the next daemon, if there is to be one."""
        self._over = over
        self._path = path
        usual = {"cniVersion": version.CURRENT, "name": "multus-cni-network", "type": "multus-py"}
        self.config: JsonObject = {**usual, "clusterNetwork": "multus-cni-network"}
        self._parsed: tuple[JsonObject, MultusConfig] | None = None
        with suppress(OSError, CniError), open(path, "rb") as file:
            self.config = document.decode_object(file.read(), path)

    def note(self, config: JsonObject) -> None:
        """Take the configuration of a request; what the runtime says of one pod is left out."""
        kept = {key: item for key, item in config.items() if key not in _OF_ONE_POD}
        if kept != self.config:
            self.config = kept
            self._keep()

    def _keep(self) -> None:
        if self._path:
            with suppress(OSError):  # the next daemon has to wait for a request, then
                atomic.write(self._path, document.encode(self.config))

    @property
    def parsed(self) -> MultusConfig:
        """The configuration with the daemon's keys over it."""
        config, parsed = self.config, self._parsed
        if parsed is None or parsed[0] is not config:
            over = configuration.overlaid(config, self._over)
            parsed = self._parsed = config, configuration.parse(over)
        return parsed[1]

    def store(self) -> Disk:
        """Return what is kept on the disk under it."""
        return Disk(self.parsed.cni_dir, lock=locks.held)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Answers requests, and makes the sessions for those that the daemon has of its own."""

    settings: Settings
    over: JsonObject
    """Keys of the plugin's configuration that hold for every request."""
    cluster: Cluster | None
    turns: Turns
    metrics: Metrics
    seen: Seen
    beside: Executor | None = None
    """Does what can be done while something else is, if there is one."""
    on_release: Callable[[Request], None] = lambda _asked: None
    """Told of every DEL that succeeded."""

    def session(self, asked: Request, host: LockingHost, timed: Stages | None = None) -> Session:
        """Return the session for a request whose plugins run on ``host``."""
        config = configuration.parse(configuration.overlaid(asked.config, self.over))
        timed = timed or Stages()
        cluster = StagedCluster(self.cluster, timed) if self.cluster else None
        return Session(
            request=asked,
            config=config,
            arguments=arguments.parse(asked.args),
            host=StagedHost(host, timed, self.metrics),
            cluster=cluster,
            store=Disk(config.cni_dir, lock=host.lock, beside=self.beside),
            budget=Budget(time.monotonic, max(config.request_timeout - timed.total, 1.0)),
            keeps_pending=True,
        )

    def run(self, environ: Mapping[str, str], stdin: bytes, host: LockingHost) -> JsonObject | None:
        """Return what a request is answered with; a ``CniError`` if it fails."""
        said, error, _ = self._run(environ, stdin, host)
        if error:
            raise error
        return said

    def answer(self, environ: Mapping[str, str], stdin: bytes, host: LockingHost) -> Answer:
        """Return what the plugin prints and its exit code; ``LostError`` if nobody waits for it."""
        said, error, asked = self._run(environ, stdin, host)
        if error:
            said = answer.described(error, asked)
        stdout = b"" if said is None else json.dumps(said, indent=4).encode()
        return Answer(status=1 if error else 0, stdout=stdout)

    def _run(
        self, environ: Mapping[str, str], stdin: bytes, host: LockingHost
    ) -> tuple[JsonObject | None, CniError | None, Request | None]:
        timed = Stages()
        asked: Request | None = None
        said: JsonObject | None = None
        error: CniError | None = None
        outcome = "lost"
        with logfile.also_in() as log_file:
            try:
                mishaps.refuse_nested(environ)
                asked = request.parse(environ, stdin)
                said = self._said(asked, host, timed, log_file)
                outcome = "ok"
                self._note(asked)
            except LostError:
                error = _lost()
                raise
            except Exception as failure:  # noqa: BLE001 - a runtime gets an error in any case
                error, outcome = answer.failure(failure), "error"
            finally:
                self._observe(environ.get("CNI_COMMAND", ""), outcome, timed)
                spent = round(timed.total * 1000)
                answer.log(asked, error, milliseconds=spent, stages=str(timed))
        return said, error, asked

    def _observe(self, verb: str, outcome: str, timed: Stages) -> None:
        known = verb if verb in request.COMMANDS else "unknown"
        self.metrics.requests.labels(known, outcome).inc()
        timed.observe(self.metrics, known)

    def _note(self, asked: Request) -> None:
        if asked.config:
            self.seen.note(asked.config)
        if asked.command == "DEL":
            self.on_release(asked)

    def _said(
        self,
        asked: Request,
        host: LockingHost,
        timed: Stages,
        log_file: Callable[[MultusConfig], None],
    ) -> JsonObject | None:
        if asked.command == "VERSION":
            return version.answer()
        with ExitStack() as turn:
            if asked.command not in _UNTIMELY:
                with timed.of(stages.QUEUE):
                    seconds = self.settings.request_timeout * _QUEUE_SHARE
                    turn.enter_context(self.turns.taken(seconds))
            session = self.session(asked, host, timed)
            log_file(session.config)
            return answer.to(session)


def _lost() -> CniError:
    return CniError(
        Code.TRY_AGAIN_LATER,
        "the shim was lost in the middle of it; what was begun stays recorded",
        "nothing: a DEL or the daemon itself releases it",
    )


def environment(pairs: list[bytes]) -> dict[str, str]:
    """Return the variables in ``NAME=VALUE`` fields."""
    split = (os.fsdecode(pair).partition("=") for pair in pairs)
    return {name: value for name, _, value in split}
