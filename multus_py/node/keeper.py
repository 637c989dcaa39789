"""Keeping a node's CNI configuration: there is always one of ours, complete, and the first.

One step looks at the directories, decides, and writes what differs. It is right whatever it finds,
so it may be cut short at any moment. It removes nothing but what a newer file of ours replaces:
the configuration outlives the daemon, and only ``uninstall`` takes it away.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError
from multus_py.core import nodeconfig
from multus_py.node.following import SettlingError
from multus_py.node.launchers import OwnTypes
from multus_py.node.place import Place
from multus_py.node.quarrel import Quarrel, Temper
from multus_py.node.source import Source
from multus_py.node.task import Pace, Silent, State
from multus_py.node.watching import Watching

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from multus_py.core.nodeconfig import NodeConfig
    from multus_py.node.task import Task, Witness

_LOG = logging.getLogger(__name__)

_SILENT = Silent()
_PACE = Pace()
_TEMPER = Temper()

_LEVELS = {
    State.KEPT: logging.INFO,
    State.LEFT: logging.INFO,
    State.HELD: logging.WARNING,
    State.WAITING: logging.WARNING,
    State.CONTESTED: logging.ERROR,
    State.FAILED: logging.ERROR,
}


class Keeper:
    """Keeps one configuration. Who starts it sees to it that it is the only one."""

    def __init__(
        self,
        task: Task,
        *,
        witness: Witness = _SILENT,
        pace: Pace = _PACE,
        temper: Temper = _TEMPER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._task = task
        self._witness = witness
        self._pace = pace
        self._clock = clock
        self._own_types = OwnTypes(task.bin_dir)
        self._place = Place(
            task.directory, own_types=self._own_types, fixed=os.path.basename(task.copied)
        )
        self._quarrel = Quarrel(temper)
        self._source: Source | None = None
        self._good: NodeConfig | None = None
        self._ready = not task.readiness_file
        self._rival = ""
        self._told: tuple[State, str] = (State.WAITING, "")
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._watching = Watching(self._awake.set)
        self._thread = threading.Thread(target=self._run, name="configuration", daemon=True)

    @property
    def state(self) -> State:
        """How the configuration is."""
        return self._told[0]

    @property
    def trouble(self) -> str:
        """Why it is not as it should be; nothing if it is."""
        return self._told[1]

    @property
    def path(self) -> str:
        """The path of our file, nothing before there is one."""
        return self._place.path

    def start(self) -> None:
        """Begin to keep it."""
        self._thread.start()

    def stop(self) -> None:
        """End. The configuration stays as it is."""
        self._stopping.set()
        self._awake.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._watching.stop()

    def step(self) -> float:
        """Look once, and write what has to be written; return the seconds until the next look."""
        try:
            return self._look()
        except CniError as error:
            self._enter(State.FAILED, str(error))
        except OSError as error:
            why = f"cannot keep a configuration in {self._task.directory}: {error.strerror}"
            self._enter(State.FAILED, why)
        return self._pace.interval

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._awake.clear()
            seconds = self._pace.interval
            try:
                self._watching.cover((self._task.directory, self._task.primaries))
                seconds = self.step()
            except Exception:  # noqa: BLE001 - the main of this thread
                _LOG.exception("keeping the configuration: unexpected")
            if self._awake.wait(seconds):
                self._stopping.wait(self._pace.debounce)

    def _look(self) -> float:
        if self._task.leaving and os.path.lexists(self._task.leaving):
            self._enter(State.LEFT, "the node is being left: its configuration is not kept")
            return self._pace.interval
        self._ready = self._ready or os.path.exists(self._task.readiness_file)
        if not self._ready:
            self._enter(State.WAITING, f"{self._task.readiness_file} is not there yet")
            return self._pace.interval
        shown = self._place.shown()
        source = self._source = self._source or self._begun(shown)
        seconds, trouble = self._decide(source, shown)
        if self._good is None:
            self._enter(State.WAITING, trouble)
            return seconds
        self._put(self._good, shown, trouble)
        return seconds

    def _begun(self, shown: Mapping[str, bytes]) -> Source:
        """Take over what an earlier daemon has left, until something better is known."""
        self._good = None if self._task.copied else self._place.adopt(shown)
        return Source(
            self._task,
            own_types=self._own_types,
            settle=self._pace.settle,
            clock=self._clock,
            expected=nodeconfig.network_name(self._good.content) if self._good else "",
        )

    def _decide(self, source: Source, shown: Mapping[str, bytes]) -> tuple[float, str]:
        """Find out what is to be in place; return when to look again, and why it is as before."""
        seconds = self._pace.interval
        try:
            self._good = source.config(self._place.ours(shown))
        except SettlingError as error:
            return min(error.seconds, seconds), str(error)
        except CniError as error:
            return seconds, str(error)
        return seconds, ""

    def _put(self, config: NodeConfig, shown: Mapping[str, bytes], trouble: str) -> None:
        """Have it in place, unless in a quarrel it is not its turn yet."""
        now = self._clock()
        disturbed = self._place.disturbed(shown)
        if disturbed:
            self._rival = self._place.rival(shown)
            if self._quarrel.wait(now):
                self._enter(State.CONTESTED, self._complaint())
                return
        elif self._quarrel.settled(now):
            self._witness.contested(self.path, "")
        first = self._place.standing is None
        if self._place.put(config, shown):
            self._wrote("restored" if disturbed else "first" if first else "changed")
        if disturbed and self._quarrel.restored(now):
            self._witness.contested(self.path, self._rival)
        self._judge(shown, trouble)

    def _wrote(self, reason: str) -> None:
        by = f" ({_printable(self._rival)} had its place)" if reason == "restored" else ""
        _LOG.info("%s is written: %s%s", self.path, reason, by)
        self._witness.wrote(self.path, reason)

    def _judge(self, shown: Mapping[str, bytes], trouble: str) -> None:
        """Say how things are, the worst first."""
        before = self._place.before(shown)
        if before:
            why = f"runtimes take {before} before {self.path}; rename or remove it"
            self._enter(State.FAILED, why)
        elif self._quarrel.on:
            self._enter(State.CONTESTED, self._complaint())
        else:
            self._enter(State.HELD if trouble else State.KEPT, trouble)

    def _complaint(self) -> str:
        return (
            f"another program takes {self.path} away as often as it is restored: there is"
            f" {self._rival} instead; end that program, or set it up to leave other files alone"
        )

    def _enter(self, state: State, why: str) -> None:
        """Tell how things are, if that is news."""
        if (state, why) == self._told:
            return
        if state != self._told[0]:
            self._witness.entered(state)
        self._told = (state, why)
        told = _printable(why) or f"{self.path} is kept"
        _LOG.log(_LEVELS[state], "configuration: %s", told)


def _printable(text: str) -> str:
    """Return a text that any log takes: a file's name need not be Unicode."""
    return text.encode(errors="backslashreplace").decode()
