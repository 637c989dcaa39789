"""What goes wrong with a cluster, and waiting for what takes its time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PATIENCE = 120.0
"""Seconds after which something is not going to happen."""


class ClusterError(Exception):
    """Something of a cluster failed; the message says which part, and what it said last."""


def until(
    question: Callable[[], T | None],
    what: str,
    details: Callable[[], str] = lambda: "",
    *,
    patience: float = PATIENCE,
) -> T:
    """Return the first answer that is true; asking may raise, which ends the waiting."""
    deadline = time.monotonic() + patience
    pause = 0.02
    while not (answer := question()):
        if time.monotonic() > deadline:
            raise ClusterError(f"waited {patience:.0f} s for {what}\n{details()}".rstrip())
        time.sleep(pause)
        pause = min(pause * 1.2, 0.25)
    return answer
