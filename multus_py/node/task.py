"""What a keeper is asked to do, how fast, and what it says of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from multus_py.core.nodeconfig import Wanted

BIN_DIR = "/opt/cni/bin"
"""Where plugins are on most nodes."""


class State(StrEnum):
    """How the configuration is at the moment."""

    KEPT = "kept"
    HELD = "held"
    """The last good one is in place; the primary network's file cannot be used now."""
    WAITING = "waiting"
    """There is none yet, and nothing to make it from."""
    CONTESTED = "contested"
    """Somebody takes it away as often as it is restored."""
    FAILED = "failed"
    """It cannot be written, or another one comes before it."""
    LEFT = "left"
    """It is not kept any more, as this node is being left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be kept where."""

    directory: str
    """Where runtimes read configurations."""
    primaries: str
    """Where the primary network has its file: often the same directory."""
    wanted: Wanted
    named: str = ""
    """The name of the primary network's file; the first one by name if empty."""
    copied: str = ""
    """A file whose content is kept under its own name, instead of a generated one."""
    readiness_file: str = ""
    """Nothing is written before this file is there."""
    bin_dir: str = BIN_DIR
    """Where names of this plugin may be found, if it can be seen."""
    leaving: str = ""
    """While there is such a file nothing is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """In seconds."""

    interval: float = 2.0
    """From one look to the next where nothing wakes us."""
    debounce: float = 0.1
    """From a change to a look: it seldom comes alone."""
    settle: float = 2.0
    """For how long a primary network is gone before another one is followed."""


class Witness(Protocol):
    """Who is told what happens."""

    def wrote(self, path: str, reason: str) -> None:
        """Hear that a file was written: ``first``, ``changed`` or ``restored``."""

    def entered(self, state: State) -> None:
        """Hear of the state, whenever it is another one."""

    def contested(self, path: str, by: str) -> None:
        """Hear which file takes the place of ours; nothing, once there is peace."""


class Silent:
    """A witness who tells nobody."""

    def wrote(self, path: str, reason: str) -> None:
        """Do nothing."""

    def entered(self, state: State) -> None:
        """Do nothing."""

    def contested(self, path: str, by: str) -> None:
        """Do nothing."""
