"""The node daemon, put together: reads its configuration, starts its parts, ends in good order."""

from __future__ import annotations

import logging
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING

from multus_py.adapters import credentials, kubelet, logfile, presence
from multus_py.adapters.localhost import LocalHost
from multus_py.cni.errors import CniError, Code
from multus_py.daemon import keeping, repairs, standby
from multus_py.daemon.carrier import Carriers
from multus_py.daemon.cluster import CachedCluster
from multus_py.daemon.hands import Hands
from multus_py.daemon.livepods import NoPods
from multus_py.daemon.metrics import Metrics
from multus_py.daemon.multusapi import MultusApi
from multus_py.daemon.patrol import Patrol
from multus_py.daemon.repairs import Repairs
from multus_py.daemon.requests import Requests, Seen
from multus_py.daemon.server import Server
from multus_py.daemon.sight import Sight
from multus_py.daemon.standby import StandbyFiles
from multus_py.daemon.turns import Turns
from multus_py.models import settings as settings_model
from multus_py.node.certificates import Certificates
from multus_py.node.keeper import Keeper

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from multus_py.adapters.credentials import Access
    from multus_py.cni.document import JsonObject
    from multus_py.cni.request import Request
    from multus_py.core.ports import Event
    from multus_py.models.settings import Settings

_LOG = logging.getLogger(__name__)

_BUSY_SECONDS = 10.0
"""How long repairs wait for hands that are at work."""
_QUEUE_SECONDS = 30.0
"""How long a hot attachment waits for its turn, and for hands."""


def run(config: str, *, kubeconfig: str, environ: Mapping[str, str]) -> None:
    """Run the daemon with the configuration in a file, until a signal ends it."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    settings, over = _read(config)
    logfile.configure(settings, per_request=True)
    lock = presence.claim(settings.socket_dir)
    daemon = Daemon(settings, over, kubeconfig=kubeconfig, environ=environ)
    daemon.start()
    _LOG.info("ready on %s", settings.socket_dir)
    stopped.wait()
    _LOG.info("stopping: what runs is finished, nothing new is accepted")
    daemon.stop()
    os.close(lock)


class Daemon:
    """All parts of a running daemon."""

    def __init__(
        self, settings: Settings, over: JsonObject, *, kubeconfig: str, environ: Mapping[str, str]
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._stopping = False
        metrics = Metrics()
        at_once = settings.in_flight(os.cpu_count() or 1)
        turns = Turns(at_once, metrics)
        seen = Seen(over, path=os.path.join(settings.socket_dir, "seen.json"))
        self._carriers = Carriers(idle_seconds=0 if settings.on_host else settings.carrier_idle)
        self._certificates = _certificates(settings, environ)
        self._cluster = (
            _cluster(_connector(self._certificates, kubeconfig, environ), environ, metrics)
            if settings.kubernetes
            else None
        )
        requests = Requests(
            settings=settings,
            over=over,
            cluster=self._cluster,
            turns=turns,
            metrics=metrics,
            seen=seen,
            beside=ThreadPoolExecutor(at_once, thread_name_prefix="sync"),
            on_release=self._released,
        )
        pods = self._cluster or NoPods()
        self._repairs = Repairs(
            store=seen.store,
            pods=pods,
            hands=lambda: self._hands(_BUSY_SECONDS),
            session=requests.session,
            config=lambda: seen.config,
            metrics=metrics,
            pace=repairs.Pace(interval=settings.repair_interval, grace=settings.repair_grace),
        )
        self._carriers.on_arrival(self._repairs.wake)
        self._patrol = Patrol(
            store=seen.store,
            pods=pods,
            multus_namespace=lambda: seen.parsed.multus_namespace,
            metrics=metrics,
        )
        self._server = Server(settings.socket_dir, requests=requests, carriers=self._carriers)
        self._api = MultusApi(
            settings.socket_dir,
            run=requests.run,
            session=requests.session,
            config=lambda: seen.config,
            hands=lambda: self._hands(_QUEUE_SECONDS),
            turn=lambda: turns.taken(_QUEUE_SECONDS),
            ready=self._unready,
            metrics=metrics,
        )
        self._sight = Sight(
            metrics_port=settings.metrics_port,
            health_port=settings.health_port,
            alive=self._dead,
            ready=self._unready,
            metrics=metrics,
            enable_pprof=settings.enable_pprof,
        )
        self._standby = StandbyFiles(
            settings.socket_dir,
            over=over,
            kubeconfig="" if self._certificates else kubeconfig,
            credential=_left(self._certificates, environ) if settings.kubernetes else None,
        )

        task = keeping.task(settings, over)
        witness = keeping.Witness(metrics, self._tell_of_node)
        self._keeper = Keeper(task, witness=witness) if task else None

    def start(self) -> None:
        """Start all parts. Requests are answered at once, if need be without a cache."""
        if self._certificates:
            self._certificates.start()
        if self._cluster:
            self._cluster.start()
        for part in (
            self._standby,
            self._server,
            self._api,
            self._sight,
            self._repairs,
            self._patrol,
        ):
            part.start()
        if self._keeper:  # last: who is sent here by it is answered
            self._keeper.start()

    def stop(self) -> None:
        """Finish what runs, and stop all parts."""
        self._stopping = True
        if self._keeper:
            self._keeper.stop()
        unfinished = self._server.stop(self._settings.drain_timeout)
        if unfinished:
            _LOG.error("%d requests did not finish in time; the runtime tries again", unfinished)
        self._carriers.close()  # ends a repair at once, and loses nothing of it
        for part in (self._api, self._repairs, self._patrol, self._sight, self._standby):
            part.stop()
        if self._cluster:
            self._cluster.stop()
        if self._certificates:
            self._certificates.stop()

    def _hands(self, seconds: float = 0.0) -> AbstractContextManager[Hands | None]:
        """Lend hands on the host: our own where we are on the host, else the carrier's."""
        if self._settings.on_host:
            host = LocalHost(self._environ, own_executables=frozenset())
            return nullcontext(Hands(host, ()))
        return self._carriers.borrowed(seconds)

    def _tell_of_node(self, event: Event) -> None:
        if self._cluster:
            self._cluster.emit_on_node(event)

    def _released(self, asked: Request) -> None:
        self._repairs.noticed(asked)

    def _dead(self) -> list[str]:
        return [] if self._server.alive else ["no thread accepts connections any more"]

    def _unready(self) -> list[str]:
        """Return the reasons why pods would have to wait."""
        reasons = {
            "the daemon is ending": self._stopping,
            "the socket is not there": not self._server.listening,
            "the pods of this node are not known yet": (
                self._cluster is not None and not self._cluster.ready
            ),
        }
        return [reason for reason, holds in reasons.items() if holds]


def _read(path: str) -> tuple[Settings, JsonObject]:
    try:
        with open(path, "rb") as file:
            return settings_model.parse(file.read())
    except OSError as error:
        raise CniError(
            Code.IO_FAILURE,
            f"cannot read the daemon's configuration {path}: {error.strerror}",
            "name an existing file with --config; {} is a complete one",
        ) from error


def _cluster(
    connect: Callable[[], Access], environ: Mapping[str, str], metrics: Metrics
) -> CachedCluster:
    return CachedCluster(
        connect=connect,
        node=_node(environ),
        devices=kubelet.Kubelet().devices,
        metrics=metrics,
    )


def _node(environ: Mapping[str, str]) -> str:
    node = environ.get("MULTUS_NODE_NAME") or environ.get("NODE_NAME")
    if not node:
        raise CniError(
            Code.INVALID_CONFIGURATION,
            "neither MULTUS_NODE_NAME nor NODE_NAME names the node whose pods are served",
            "set it from spec.nodeName in the manifest of the daemon",
        )
    return node


def _certificates(settings: Settings, environ: Mapping[str, str]) -> Certificates | None:
    wanted = settings.per_node_certificate
    if not (wanted.enabled and settings.kubernetes):
        return None
    return Certificates(
        bootstrap=wanted.bootstrap_kubeconfig,
        directory=wanted.cert_dir,
        node=_node(environ),
        duration=wanted.seconds,
    )


def _connector(
    certificates: Certificates | None, kubeconfig: str, environ: Mapping[str, str]
) -> Callable[[], Access]:
    """Return how a client for the API server is made."""
    if certificates:
        return certificates.access
    hint = 'name one, or set "kubernetes": false for networks of the configuration alone'
    return credentials.source(kubeconfig, environ, otherwise=hint)


def _left(certificates: Certificates | None, environ: Mapping[str, str]) -> Callable[[], bytes]:
    """Return what makes a kubeconfig for plugins of the daemon's own credential."""
    if certificates:
        return certificates.kubeconfig
    return lambda: standby.of_service_account(credentials.server_url(environ))
