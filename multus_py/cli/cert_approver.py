"""``multus-py cert-approver``: approves the certificates that nodes ask for."""

from __future__ import annotations

import os
import signal
import threading

import click

from multus_py.cni.errors import CniError


@click.command("cert-approver", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--kubeconfig",
    default="",
    help="Credentials for the API server; the service account of the pod if there is none.",
)
def command(kubeconfig: str) -> None:
    """Approve or deny certificate requests for system:multus:NODE, until SIGTERM."""
    from multus_py.adapters import credentials, logfile  # half a second that --help does not need
    from multus_py.adapters.connection import Connection
    from multus_py.models.settings import Settings
    from multus_py.node.approver import Approver

    logfile.configure(Settings())
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        hint = "run it in a pod, or name a kubeconfig"
        connect = credentials.source(kubeconfig, os.environ, otherwise=hint)
        connect()  # what is missing is said at once
    except CniError as error:
        raise click.ClickException(error.message()) from error
    approver = Approver(Connection(connect))
    approver.start()
    stopped.wait()
    approver.stop()
