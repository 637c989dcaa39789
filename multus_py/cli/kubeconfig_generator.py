"""``multus-py kubeconfig-generator``: a certificate of the node's for plugins without a daemon."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from multus_py.cni.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multus_py.node.certificates import Certificates

_FIRST_SECONDS = 120.0
"""For the first certificate to be approved and signed; as Multus waits."""
_SECONDS = 2.0
"""Between two looks at what the kubeconfig is made of."""
_STEP = 0.2
"""Seconds between two looks whether the end has come before the first certificate."""


@click.command("kubeconfig-generator", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--certdir",
    default="/tmp",  # noqa: S108 - Multus's, in a container of its own
    show_default=True,
    help="Where certificate and key are kept.",
)
@click.option(
    "--bootstrap-config",
    default="/tmp/kubeconfig",  # noqa: S108 - Multus's, in a container of its own
    show_default=True,
    help="Kubeconfig for the first request, and of the cluster.",
)
@click.option(
    "--kubeconfig",
    default="/run/multus/kubeconfig",
    show_default=True,
    help="The file to write.",
)
@click.option(
    "--cert-duration", default="10m", show_default=True, help="Life of a certificate to ask for."
)
def command(certdir: str, bootstrap_config: str, kubeconfig: str, cert_duration: str) -> None:
    """Keep a kubeconfig with a certificate for this node, until SIGTERM.

    The certificate is renewed long before it ends. The node's name is read from MULTUS_NODE_NAME.
    The kubeconfig is removed at the end; the certificate stays for the next start.
    """
    from multus_py.adapters import logfile  # --help does without
    from multus_py.models.settings import Settings

    logfile.configure(Settings())
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        certificates = _certificates(certdir, bootstrap_config, cert_duration, os.environ)
        certificates.start()
        try:
            _keep(os.path.abspath(kubeconfig), certificates, bootstrap_config, stopped)
        finally:
            certificates.stop()
    except CniError as error:
        raise click.ClickException(error.message()) from error


def _certificates(
    directory: str, bootstrap: str, duration: str, environ: Mapping[str, str]
) -> Certificates:
    from multus_py.models.decoding import decoded
    from multus_py.models.settings import PerNodeCertificate
    from multus_py.node.certificates import Certificates

    node = environ.get("MULTUS_NODE_NAME")
    if not node:
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            "MULTUS_NODE_NAME does not name the node that the certificate is for",
            "set it from spec.nodeName in the manifest",
        )
    flags = {
        "enabled": True,
        "bootstrapKubeconfig": os.path.abspath(bootstrap),
        "certDir": os.path.abspath(directory),
        "certDuration": duration,
    }
    wanted = decoded(PerNodeCertificate, flags, code=Code.INVALID_CONFIGURATION, hint="see --help")
    return Certificates(
        bootstrap=wanted.bootstrap_kubeconfig,
        directory=wanted.cert_dir,
        node=node,
        duration=wanted.seconds,
    )


def _keep(path: str, certificates: Certificates, bootstrap: str, stopped: threading.Event) -> None:
    """Have the kubeconfig at a path from the first certificate on until the end."""
    if not _arrived(certificates, stopped):
        return
    user = {"client-certificate": certificates.path, "client-key": certificates.path}
    try:
        while True:
            _write(path, bootstrap, user)
            if stopped.wait(_SECONDS):
                break
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)


def _arrived(certificates: Certificates, stopped: threading.Event) -> bool:
    """Wait for the first certificate; tell whether it is there, and not the end."""
    waited = 0.0
    while not certificates.wait(_STEP):
        waited += _STEP
        if stopped.is_set():
            return False
        if waited > _FIRST_SECONDS:
            raise CniError(
                Code.TRY_AGAIN_LATER,
                "certificate was not signed in two minutes; the log has the reason",
                "see that requests are approved: kubectl get csr",
            )
    return not stopped.is_set()


def _write(path: str, bootstrap: str, user: dict[str, str]) -> None:
    """Write the kubeconfig if it differs from what it should be, or is missing."""
    from multus_py.adapters import atomic, credentials
    from multus_py.models import kubeconfig

    content = kubeconfig.encode(credentials.cluster(bootstrap), user)
    try:
        with suppress(FileNotFoundError), open(path, "rb") as file:
            if file.read() == content:
                return
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        atomic.write(path, content)
    except OSError as error:
        raise CniError(
            Code.IO_FAILURE,
            f"cannot write the kubeconfig {path}: {error.strerror}",
            "name another file with --kubeconfig, or mount its directory for writing",
        ) from error
