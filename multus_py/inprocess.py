"""The plugin in one process: a request of a container runtime, answered without a daemon.

Composition root and main. It wires the core to this node and, if the configuration has one, to a
cluster; standard output, exit code and logging belong to it alone. Imported only after it is known
that the process is a plugin.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from multus_py import output
from multus_py.adapters import locks, logfile
from multus_py.adapters.absent import AbsentCluster
from multus_py.adapters.disk import Disk
from multus_py.adapters.localhost import LocalHost
from multus_py.cni import arguments, document, request
from multus_py.cni.errors import CniError, Code
from multus_py.core import answer, mishaps
from multus_py.core.budget import Budget
from multus_py.core.session import Session
from multus_py.models import config as configuration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from multus_py.adapters.apiserver import ApiServer
    from multus_py.adapters.credentials import Access
    from multus_py.adapters.manifests import Manifests
    from multus_py.cni.document import JsonObject
    from multus_py.cni.request import Request
    from multus_py.models.config import MultusConfig
    from multus_py.models.device import Devices
    from multus_py.models.objects import Pod
    from multus_py.models.standby import Standby

_SOCKET_DIRECTORY = "MULTUS_PY_SOCKET_DIR"
"""Set by a shim that became this plugin: where the daemon that it did not reach has its socket."""

_API_SHARE = 0.25
"""Of a request's time: for one question to an API server that does not answer."""


def main() -> int:
    """Answer the request in environment and standard input; return the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    started = time.monotonic()
    asked: Request | None = None
    said: JsonObject | None
    failure: CniError | None = None
    try:
        mishaps.refuse_nested(os.environ)
        asked = request.parse(os.environ, _stdin())
        said = _answer(asked, os.environ)
    except Exception as error:  # noqa: BLE001 - a runtime gets an error object, whatever happens
        failure = answer.failure(error)
        said = answer.described(failure, asked)
    answer.log(asked, failure, milliseconds=round((time.monotonic() - started) * 1000))
    printed = said is None or output.printed(said)
    return 1 if failure or not printed else 0


def _stdin() -> bytes:
    """Return standard input, nothing if it is closed."""
    return sys.stdin.buffer.read(document.MAX_BYTES + 1) if sys.stdin else b""


def _answer(asked: Request, environ: Mapping[str, str]) -> JsonObject | None:
    """Return what the request is answered with on standard output, if anything."""
    left = _standby(environ)
    config = configuration.parse(configuration.overlaid(asked.config, left.over if left else {}))
    logfile.configure(config)
    named = arguments.parse(asked.args)
    cluster = _cluster(config, environ, left)
    if isinstance(cluster, AbsentCluster) and not named.get(arguments.POD_NAME):
        cluster = None  # whoever calls is no kubelet
    session = Session(
        request=asked,
        config=config,
        arguments=named,
        host=LocalHost(environ, own_executables=frozenset({os.path.realpath(sys.argv[0])})),
        cluster=cluster,
        store=Disk(config.cni_dir, lock=locks.held),
        budget=Budget(time.monotonic, config.request_timeout),
        abandoned=_abandoned(environ),
    )
    try:
        return answer.to(session)
    finally:
        if cluster:
            cluster.close()


def _abandoned(environ: Mapping[str, str]) -> bool:
    """Tell whether the daemon that was not reached is gone for good, by all that can be seen."""
    directory = environ.get(_SOCKET_DIRECTORY)
    if not directory:
        return False
    from multus_py.adapters import presence  # milliseconds for a socket that others do not need

    return presence.missed(directory) >= presence.GONE_SECONDS


def _standby(environ: Mapping[str, str]) -> Standby | None:
    """Return what a daemon that does not answer left behind, None if it is a node without one."""
    directory = environ.get(_SOCKET_DIRECTORY)
    if not directory:
        return None
    from multus_py.models import standby  # milliseconds for a model that others do not need

    try:
        with open(os.path.join(directory, standby.FILE), "rb") as file:
            return standby.parse(file.read())
    except OSError:
        return standby.Standby()


def _cluster(
    config: MultusConfig, environ: Mapping[str, str], left: Standby | None
) -> ApiServer | Manifests | AbsentCluster | None:
    """Return the cluster that configuration, daemon or, inside a pod, environment names."""
    if config.manifests:
        from multus_py.adapters.manifests import Manifests  # for tests and trials

        return Manifests(config.manifests, status_directory=config.status_dir)
    in_cluster = environ.get("KUBERNETES_SERVICE_HOST") and environ.get("KUBERNETES_SERVICE_PORT")
    kubeconfig = config.kubeconfig
    if not kubeconfig and left and left.kubeconfig:
        kubeconfig = os.path.join(environ[_SOCKET_DIRECTORY], left.kubeconfig)
    if not kubeconfig and not in_cluster:
        return AbsentCluster(_without_daemon()) if left and left.kubernetes else None
    from multus_py.adapters import (  # stand-alone has none of them
        apiserver,
        connection,
        credentials,
    )

    def connect() -> Access:
        if kubeconfig:
            return credentials.from_kubeconfig(kubeconfig)
        return credentials.from_service_account(environ)

    return apiserver.ApiServer(
        connection.Connection(connect),
        devices=_devices,
        patience=min(apiserver.PATIENCE, config.request_timeout * _API_SHARE),
    )


def _devices(pod: Pod) -> Devices:
    """Return what the kubelet allocated to a pod."""
    from multus_py.adapters import kubelet  # few pods have devices

    return kubelet.Kubelet().devices(pod)


def _without_daemon() -> CniError:
    """Return the error for a pod whose networks nobody can be asked for."""
    return CniError(
        Code.API_REFUSED,
        "the daemon of multus-py has not been up on this node, so the pod's networks are unknown",
        "see why its pod does not run; or name a kubeconfig in the CNI configuration",
    )


def _end(number: int, frame: object) -> NoReturn:
    """Turn a signal into an exception, so that what was begun is undone."""
    del frame
    cause = f"ended by {signal.Signals(number).name}"
    raise CniError(Code.TRY_AGAIN_LATER, cause, "the runtime tries again")
