"""What the daemon leaves beside its socket, so that the plugin can do without it for a while."""

from __future__ import annotations

from typing import Any

from multus_py.cni import document
from multus_py.cni.errors import Code
from multus_py.models.decoding import Decoded, decoded

FILE = "standby.json"


class Standby(Decoded):
    """See :mod:`multus_py.daemon.standby`."""

    kubernetes: bool = True
    """Whether the daemon's pods have a cluster, which then has to be asked."""
    kubeconfig: str = ""
    """Path of credentials for it; nothing if the daemon has not been able to leave any.

    A relative one begins at this file's directory, which daemons may see under another path.
    """
    over: dict[str, Any] = {}
    """Keys of the plugin's configuration that hold for every request."""


def parse(raw: bytes) -> Standby:
    """Return the content of the file."""
    value = document.decode_object(raw, f"the daemon's file {FILE}")
    return decoded(Standby, value, code=Code.DECODING_FAILURE, hint="start the daemon again")


def encode(standby: Standby) -> bytes:
    """Return the content of the file."""
    return document.encode(standby.model_dump())
