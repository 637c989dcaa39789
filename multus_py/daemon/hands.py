"""Hands on the host for work that no runtime has asked for: plugins run at the far end of these."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multus_py.daemon.requests import LockingHost


@dataclass(frozen=True, slots=True)
class Hands:
    """Somebody on the host who runs plugins."""

    host: LockingHost
    path: tuple[str, ...]
    """The ``CNI_PATH`` that its runtime gave it."""


Borrowing = Callable[[], AbstractContextManager[Hands | None]]
"""Lends hands for the time of a ``with``; None while there are none.

If they are lost meanwhile, :class:`multus_py.wire.LostError` flies.
"""
