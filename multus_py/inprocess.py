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

from multus_py.adapters import locks, logfile, process
from multus_py.adapters.disk import Disk
from multus_py.adapters.netlink import Namespaces
from multus_py.cni import arguments, document, request, version
from multus_py.cni.errors import CniError, Code, located
from multus_py.core import add, collect, readiness, release
from multus_py.core.budget import Budget
from multus_py.core.session import Session
from multus_py.models import config as configuration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from kubernetes.client import ApiClient

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
    answer: JsonObject | None
    try:
        process.refuse_nested(os.environ)
        asked = request.parse(os.environ, _stdin())
        answer = _answer(asked, os.environ)
        status, outcome = 0, "ok"
    except CniError as error:
        answer, status = _described(error, asked), 1
        outcome = error.message()
    except Exception as error:  # noqa: BLE001 - a runtime gets an error object, whatever happens
        _LOG.debug("unexpected", exc_info=True)
        bug = CniError(Code.INTERNAL, f"{type(error).__name__}: {error}", "report this as a bug")
        answer, status, outcome = _described(bug, asked), 1, bug.message()
    _LOG.log(logging.ERROR if status else logging.INFO, "%s", _line(asked, started, outcome))
    return status if _print(answer) else 1


def _stdin() -> bytes:
    """Return standard input, nothing if it is closed."""
    return sys.stdin.buffer.read(document.MAX_BYTES + 1) if sys.stdin else b""


def _print(answer: JsonObject | None) -> bool:
    """Print an answer; tell whether there was somebody to read it."""
    try:
        if answer is not None:
            sys.stdout.write(json.dumps(answer, indent=4))
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return False
    return True


def _answer(asked: Request, environ: Mapping[str, str]) -> JsonObject | None:
    """Return what the request is answered with on standard output, if anything."""
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
            pass  # VERSION never gets here
    return None


def _cluster(config: MultusConfig, environ: Mapping[str, str]) -> ApiServer | Manifests | None:
    """Return the cluster that the configuration or, inside a pod, the environment names."""
    if config.manifests:
        from multus_py.adapters.manifests import Manifests  # for tests and trials

        return Manifests(config.manifests, status_directory=config.status_dir)
    in_cluster = environ.get("KUBERNETES_SERVICE_HOST") and environ.get("KUBERNETES_SERVICE_PORT")
    if not config.kubeconfig and not in_cluster:
        return None
    from multus_py.adapters import apiserver, kubelet  # stand-alone has neither

    def connect() -> ApiClient:
        if config.kubeconfig:
            return apiserver.from_kubeconfig(config.kubeconfig)
        return apiserver.from_service_account()

    return apiserver.ApiServer(connect, devices=kubelet.Kubelet().devices)


def _described(error: CniError, asked: Request | None) -> JsonObject:
    """Return the error object for an error, which begins with the command it is about."""
    named = error.at(asked.command) if asked else error
    return named.document(asked.cni_version if asked else version.CURRENT)


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
