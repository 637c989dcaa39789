"""What is left beside the socket for the time that the daemon is away: settings and a credential.

While the daemon restarts, plugins do its work with them. The credential is the daemon's own, which
is short-lived: the service account's token or the node's certificate, copied as they rotate onto
the file system of the socket. That has to be in memory: on a disk no credential is left.
"""

from __future__ import annotations

import base64
import logging
import os
import threading
from typing import TYPE_CHECKING

from multus_py.adapters import atomic
from multus_py.adapters.credentials import SERVICE_ACCOUNT
from multus_py.cni.errors import CniError
from multus_py.models import kubeconfig as kubeconfigs
from multus_py.models import standby
from multus_py.models.standby import Standby
from multus_py.node import mounts

if TYPE_CHECKING:
    from collections.abc import Callable

    from multus_py.cni.document import JsonObject

_LOG = logging.getLogger(__name__)

_SECONDS = 2.0
"""The kubelet renews a token when a fifth of its life is left, which is two minutes at least."""


class StandbyFiles:
    """Keeps the files up to date.

    ``kubeconfig`` is a file of this node that the plugin can use as well as the daemon. Without one
    ``credential`` returns the content of a kubeconfig, which is looked at every so many
    ``seconds``. Without a cluster there is neither.
    """

    def __init__(
        self,
        directory: str,
        *,
        over: JsonObject,
        kubeconfig: str = "",
        credential: Callable[[], bytes] | None = None,
        seconds: float = _SECONDS,
    ) -> None:
        self._seconds = seconds
        self._directory = directory
        self._over = over
        self._kubeconfig = kubeconfig
        self._kubernetes = bool(kubeconfig or credential)
        self._credential = None if kubeconfig else credential
        self._own = os.path.join(directory, "kubeconfig")
        self._written = b""
        self._complaint = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="standby", daemon=True)

    def start(self) -> None:
        """Write the files, and go on as the credential rotates."""
        if self._credential and mounts.is_on_disk(self._directory):
            _LOG.error(
                "no credential is left for plugins: %s is on a disk; name a socketDir below /run",
                self._directory,
            )
            self._credential = None
        if self._credential:
            self._renew()
            self._thread.start()
        self._tell()

    def stop(self) -> None:
        """Stop renewing. The files stay: they are for the time after this."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            self._renew()

    def _renew(self) -> None:
        assert self._credential
        try:
            content = self._credential()
            if content != self._written:
                first = not self._written
                atomic.write(self._own, content)
                self._written = content
                if first:
                    self._tell()
            self._complaint = ""
        except (OSError, ValueError, CniError) as error:  # a token need not be a text
            if str(error) != self._complaint:
                self._complaint = str(error)
                _LOG.error("cannot leave a credential for plugins: %s", error)

    def _tell(self) -> None:
        """Write the settings, and where the credential is as soon as there is one."""
        there = self._credential and os.path.exists(self._own)
        own = os.path.basename(self._own) if there else ""
        told = Standby(
            kubernetes=self._kubernetes,
            kubeconfig=self._kubeconfig or own,
            over=self._over,
        )
        atomic.write(os.path.join(self._directory, standby.FILE), standby.encode(told))


def of_service_account(server: str, directory: str = SERVICE_ACCOUNT) -> bytes:
    """Return a kubeconfig that holds the service account's token."""
    with open(os.path.join(directory, "token")) as file:
        token = file.read().strip()
    with open(os.path.join(directory, "ca.crt"), "rb") as file:
        authority = base64.b64encode(file.read()).decode()
    cluster = {"server": server, "certificate-authority-data": authority}
    return kubeconfigs.encode(cluster, {"token": token}, name="multus-py")
