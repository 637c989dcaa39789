"""STATUS, and waiting until the default network says by a file that it is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code
from multus_py.core import networks
from multus_py.core.execution import Executor

if TYPE_CHECKING:
    from multus_py.core.session import Session

PATIENCE = 45.0
"""Seconds, as Multus has it."""


def wait(session: Session) -> None:
    """Wait for ``readinessindicatorfile``, if there is one; an error (code 11) if it stays away."""
    path = session.config.readiness_indicator
    if path and not session.host.wait_for_file(path, min(PATIENCE, session.budget.forward())):
        raise CniError(
            Code.TRY_AGAIN_LATER,
            f"still waiting for readinessindicatorfile {path}",
            "see why the default network is not ready on this node",
        )


def status(session: Session) -> None:
    """Answer STATUS: ask the plugins of the cluster network, which every pod needs."""
    wait(session)
    delegates = networks.of_node(session)
    if delegates:
        first = networks.complete(session, delegates[:1])[0]
        Executor(session, seconds=session.budget.forward).status(first)
