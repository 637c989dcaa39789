"""What is left beside the socket for the time that the daemon is away: settings and a credential.

While the daemon restarts, plugins do its work with them. The credential is the service account's
own short-lived token, copied as it rotates onto the file system of the socket, which is a tmpfs;
nothing that lives long is written.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import threading
from typing import TYPE_CHECKING

from multus_py.models import standby
from multus_py.models.standby import Standby

if TYPE_CHECKING:
    from multus_py.cni.document import JsonObject

_LOG = logging.getLogger(__name__)

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

_SECONDS = 20.0
"""The kubelet renews a token when a fifth of its life is left, which is two minutes at least."""


class StandbyFiles:
    """Keeps the files up to date."""

    def __init__(
        self,
        directory: str,
        *,
        over: JsonObject,
        kubeconfig: str,
        server: str,
        account: str = SERVICE_ACCOUNT,
        seconds: float = _SECONDS,
    ) -> None:
        """``kubeconfig`` is a file on this node, or ``server`` the URL for the service account.

        Both are empty without a cluster. The token is looked at every so many ``seconds``.
        """
        self._seconds = seconds
        self._directory = directory
        self._account = account
        self._server = server
        own = os.path.join(directory, "kubeconfig") if server else ""
        self._standby = Standby(
            kubernetes=bool(kubeconfig or server), kubeconfig=kubeconfig or own, over=over
        )
        self._written = b""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="standby", daemon=True)

    def start(self) -> None:
        """Write the files, and go on as the token rotates."""
        write(os.path.join(self._directory, standby.FILE), standby.encode(self._standby))
        if self._server:
            self._renew()
            self._thread.start()

    def stop(self) -> None:
        """Stop renewing. The files stay: they are for the time after this."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            self._renew()

    def _renew(self) -> None:
        try:
            content = self._kubeconfig()
            if content != self._written:
                write(self._standby.kubeconfig, content)
                self._written = content
        except OSError as error:
            _LOG.error("cannot leave a credential for plugins: %s", error)

    def _kubeconfig(self) -> bytes:
        with open(os.path.join(self._account, "token")) as file:
            token = file.read().strip()
        with open(os.path.join(self._account, "ca.crt"), "rb") as file:
            authority = base64.b64encode(file.read()).decode()
        cluster = {"server": self._server, "certificate-authority-data": authority}
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "cluster", "cluster": cluster}],
                "users": [{"name": "multus-py", "user": {"token": token}}],
                "contexts": [
                    {"name": "node", "context": {"cluster": "cluster", "user": "multus-py"}}
                ],
                "current-context": "node",
            }
        ).encode()


def write(path: str, content: bytes) -> None:
    """Write a file for its owner only, complete from the first moment."""
    made = f"{path}.{os.getpid()}"
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.rename(made, path)
