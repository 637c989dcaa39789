"""The kubeconfig that a plugin without a daemon uses, and the credential in it, kept up to date.

The credential is the short-lived token of the pod that this process is in. It is written beside
the kubeconfig, which names it, where the host has a file system in memory for it: then no disk ever
holds one. Else it stands in the kubeconfig. Knows nothing of the CNI configuration.
"""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from multus_py.adapters import atomic, credentials
from multus_py.cni.errors import CniError, Code
from multus_py.models import kubeconfig as kubeconfigs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PLACE = "multus.d/multus.kubeconfig"
"""In the directory of the configuration; runtimes do not read directories in it."""

_NAME = "multus"
TOKEN_FILE = "multus.token"  # noqa: S105 - the name of a file


class Kubeconfig:
    """The file at ``path``, for ``server``, whose certificate is checked if it is ``verified``.

    The token gets a file of its own in ``token_dir``, which is ``token_dir_on_host`` for the
    plugin, or stands in the kubeconfig if that is empty.
    """

    def __init__(
        self,
        path: str,
        *,
        server: str,
        verified: bool = True,
        token_dir: str = "",
        token_dir_on_host: str = "",
        account: str = credentials.SERVICE_ACCOUNT,
    ) -> None:
        self._path = path
        self._server = server
        self._verified = verified
        self._account = account
        self._token_file = os.path.join(token_dir, TOKEN_FILE) if token_dir else ""
        self._token_file_on_host = os.path.join(token_dir_on_host or token_dir, TOKEN_FILE)

    def renew(self) -> bool:
        """Write what differs from the service account, or is missing; tell whether anything did.

        Raises an error, with nothing written, if the service account cannot be read.
        """
        changed = False
        try:
            for path, content in self._files():
                if _content(path) != content:
                    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
                    atomic.write(path, content, temporary=f"{path}.new")
                    changed = True
        except OSError as error:
            raise CniError(
                Code.IO_FAILURE,
                f"cannot write a credential for the plugin: {error}",
                "mount the directory into the container, for writing",
            ) from error
        return changed

    def remove(self, *, everything: bool) -> None:
        """Remove a token that is on a disk, or ``everything``.

        A token in memory outlives neither its hour nor the node, and serves the pods that start
        while this process is replaced.
        """
        if everything or not self._token_file:
            for path in filter(None, (self._path, self._token_file)):
                _unlink(path)
        if everything:
            with suppress(OSError):  # somebody else's file is in it
                os.rmdir(os.path.dirname(self._path))

    def _files(self) -> Iterator[tuple[str, bytes]]:
        """Yield paths and contents, what is named before that which names it."""
        token = self._read("token").decode("ascii", "replace").strip()
        if not token:
            raise _refused(f"{self._account}/token is empty")
        cluster: dict[str, object] = {"server": self._server}
        if self._verified:
            authority = self._read("ca.crt")
            cluster["certificate-authority-data"] = base64.b64encode(authority).decode()
        else:
            cluster["insecure-skip-tls-verify"] = True
        if not self._token_file:
            yield self._path, kubeconfigs.encode(cluster, {"token": token}, name=_NAME)
            return
        yield self._token_file, token.encode()
        user = {"tokenFile": self._token_file_on_host}
        yield self._path, kubeconfigs.encode(cluster, user, name=_NAME)

    def _read(self, name: str) -> bytes:
        path = os.path.join(self._account, name)
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            raise _refused(f"cannot read {path}: {error.strerror}") from error


def is_ours(path: str) -> bool:
    """Tell whether a kubeconfig was written here; Multus writes one at the same place."""
    try:
        content = _content(path) or b""
    except OSError:
        return False
    return content.startswith(b"{") and f'"{_NAME}-context"'.encode() in content


def server_url(environ: Mapping[str, str]) -> str:
    """Return the address of the API server, by the scheme that Multus reads too."""
    if not environ.get("KUBERNETES_SERVICE_HOST"):
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            "KUBERNETES_SERVICE_HOST is not set: this is not a container of a pod",
            "run it in a pod, or set the variable",
        )
    scheme = environ.get("KUBERNETES_SERVICE_PROTOCOL") or "https"
    return scheme + credentials.server_url(environ).removeprefix("https")


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise CniError(
            Code.IO_FAILURE,
            f"a credential stays in {path}: {error.strerror}",
            "remove the file by hand",
        ) from error


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _refused(cause: str) -> CniError:
    return CniError(Code.API_REFUSED, cause, "mount the token and ca.crt of the service account")
