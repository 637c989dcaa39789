"""The plugin in one process: a request of a container runtime, answered without a daemon.

Composition root and main. It wires the core to this node and, if the configuration has one, to a
cluster; standard output, exit code and logging belong to it alone. Imported only after it is known
that the process is a plugin.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from multus_py.adapters import apiserver, kubelet, locks, logfile, manifests, process
from multus_py.adapters.disk import Disk
from multus_py.adapters.netlink import Namespaces
from multus_py.cni import arguments, request, version
from multus_py.cni.errors import CniError, Code, located
from multus_py.core import add, collect, readiness, release
from multus_py.core.budget import Budget
from multus_py.core.session import Session
from multus_py.models import config as configuration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from multus_py.adapters.apiserver import ApiServer
    from multus_py.adapters.manifests import Manifests
    from multus_py.cni.document import JsonObject
    from multus_py.cni.request import Request
    from multus_py.models.config import MultusConfig

_LOG = logging.getLogger(__name__)


class LocalHost(process.Plugins, Namespaces):
    """This node, as this process sees it."""

    def wait_for_file(self, path: str, seconds: float) -> bool:
        """Wait until the file exists; tell whether it does."""
        deadline = time.monotonic() + seconds
        while not os.path.exists(path):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True


def main() -> int:
    """Answer the request in environment and standard input; return the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    started = time.monotonic()
    asked: Request | None = None
    try:
        process.refuse_nested(os.environ)
        asked = request.parse(os.environ, sys.stdin.buffer.read())
        answer = _answer(asked, os.environ)
    except CniError as error:
        return _report(error.at(os.environ.get("CNI_COMMAND", "")), asked, started)
    except Exception as error:  # noqa: BLE001 - the last resort: a runtime gets an error object, whatever happens
        _LOG.debug("unexpected", exc_info=True)
        cause = f"{type(error).__name__}: {error}"
        return _report(CniError(Code.INTERNAL, cause, "report this as a bug"), asked, started)
    if answer is not None:
        sys.stdout.write(json.dumps(answer, indent=4))
        sys.stdout.flush()
    _LOG.info("%s", _line(asked, started, "ok"))
    return 0


def _answer(asked: Request, environ: Mapping[str, str]) -> JsonObject | None:
    """Return what the request is answered with on standard output, if anything."""
    if asked.command == "VERSION":
        return {"cniVersion": version.CURRENT, "supportedVersions": list(version.SUPPORTED)}
    config = configuration.parse(asked.config)
    logfile.configure(config)
    pairs = arguments.parse(asked.args)
    cluster = _cluster(config, environ)
    session = Session(
        request=asked,
        config=config,
        arguments=pairs,
        host=LocalHost(environ, own_executables=frozenset({os.path.realpath(sys.argv[0])})),
        cluster=cluster,
        store=Disk(config.cni_dir, lock=locks.held),
        budget=Budget(time.monotonic, config.request_timeout),
    )
    try:
        with located(session.place):
            return _run(session)
    finally:
        if cluster:
            cluster.close()


def _run(session: Session) -> JsonObject | None:
    match session.request.command:
        case "ADD":
            return add.add(session).document
        case "DEL":
            release.delete(session)
        case "CHECK":
            release.check(session)
        case "STATUS":
            readiness.status(session)
        case "GC":
            collect.collect(session)
        case _:
            pass  # VERSION was answered without a session
    return None


def _cluster(config: MultusConfig, environ: Mapping[str, str]) -> ApiServer | Manifests | None:
    """Return the cluster that the configuration or, inside a pod, the environment names."""
    if config.manifests:
        return manifests.Manifests(config.manifests, status_directory=config.status_dir)
    if config.kubeconfig:
        path = config.kubeconfig
        return apiserver.ApiServer(lambda: apiserver.from_kubeconfig(path), devices=kubelet.devices)
    if environ.get("KUBERNETES_SERVICE_HOST") and environ.get("KUBERNETES_SERVICE_PORT"):
        return apiserver.ApiServer(apiserver.from_service_account, devices=kubelet.devices)
    return None


def _report(error: CniError, asked: Request | None, started: float) -> int:
    """Print the error object and return the exit code of a failure."""
    _LOG.error("%s", _line(asked, started, error.message()))
    sys.stdout.write(json.dumps(error.document(asked.cni_version if asked else version.CURRENT)))
    sys.stdout.flush()
    return 1


def _line(asked: Request | None, started: float, outcome: str) -> str:
    """Return the one line that a request leaves in the log."""
    milliseconds = round((time.monotonic() - started) * 1000)
    if asked is None:
        return f"request ms={milliseconds}: {outcome}"
    return (
        f"{asked.command} container={asked.container_id} ifname={asked.ifname} "
        f"netns={asked.netns} ms={milliseconds}: {outcome}"
    )


def _end(number: int, frame: object) -> NoReturn:
    """Turn a signal into an exception, so that what was begun is undone."""
    del frame
    cause = f"ended by {signal.Signals(number).name}"
    raise CniError(Code.TRY_AGAIN_LATER, cause, "the runtime tries again")
