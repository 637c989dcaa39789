"""Where a node's configuration comes from: the primary network's file, or one that is given."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code
from multus_py.core import nodeconfig
from multus_py.core.nodeconfig import NodeConfig
from multus_py.core.primary import SUFFIXES
from multus_py.node import listing
from multus_py.node.following import Follower

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from multus_py.core.ports import ConfigFile
    from multus_py.node.task import Task


class Source:
    """Reads what a task names. ``expected`` is the name of the network that is embedded by now."""

    def __init__(
        self,
        task: Task,
        *,
        own_types: Callable[[], frozenset[str]],
        settle: float,
        clock: Callable[[], float],
        expected: str = "",
    ) -> None:
        self._task = task
        self._own_types = own_types
        self._follower = Follower(named=task.named, settle=settle, clock=clock, expected=expected)

    def config(self, ours: Collection[str]) -> NodeConfig:
        """Return the configuration as it should be now; an error if it cannot be made now.

        ``ours`` are the names of our own files in the runtime's directory.
        """
        if self._task.copied:
            return self._copy()
        chosen = self._follower.choose(
            self._files(ours),
            own_types=self._own_types(),
            beside=lambda name: listing.beside(self._task.primaries, name),
        )
        return nodeconfig.generate(chosen, self._task.wanted)

    def _copy(self) -> NodeConfig:
        content = listing.read(self._task.copied)
        if content is None:
            raise CniError(
                Code.IO_FAILURE,
                f"{self._task.copied} is not there",
                "correct multusConfigFile, or install the file",
            )
        name = os.path.basename(self._task.copied)
        return nodeconfig.checked(NodeConfig(name, content), self._own_types())

    def _files(self, ours: Collection[str]) -> list[ConfigFile]:
        """Return what may be the primary network's."""
        directory = self._task.primaries
        named = (self._task.named,) if self._task.named else ()
        try:
            files = listing.files(directory, suffixes=(*SUFFIXES, *named))
        except OSError as error:
            raise CniError(
                Code.IO_FAILURE,
                f"cannot read {directory}: {error.strerror}",
                "correct multusAutoconfigDir, or install the primary network",
            ) from error
        hidden = ours if _same(directory, self._task.directory) else ()
        return [file for file in files if os.path.basename(file.path) not in hidden]


def _same(directory: str, other: str) -> bool:
    try:
        return os.path.samefile(directory, other)
    except OSError:
        return False
