"""The place of our file in the directory that container runtimes read: written, first, and alone.

At every instant a complete one is there and is the first: a new one is in place before an older
one, of another name, goes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from multus_py.adapters import atomic
from multus_py.cni.errors import CniError
from multus_py.core import nodeconfig, primary
from multus_py.core.nodeconfig import NodeConfig
from multus_py.core.ports import ConfigFile
from multus_py.core.primary import LeadsBackError
from multus_py.node import listing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Shown = Mapping[str, bytes]

TEMPORARY = ".multus-py.new"
"""Where a file is prepared: one name for all, which no runtime reads, so that nothing piles up."""

REPLACED = ".multus-py-replaced"
"""The directory below, with what Multus and people had in our place."""


class Place:
    """One directory, and what was put there. ``fixed`` says that the name of our file is given."""

    def __init__(
        self, directory: str, *, own_types: Callable[[], frozenset[str]], fixed: str = ""
    ) -> None:
        self._directory = directory
        self._own_types = own_types
        self._fixed = fixed
        self.standing: NodeConfig | None = None
        """What is in place, under the name that it got."""

    @property
    def path(self) -> str:
        """The path of our file, nothing before there is one."""
        return os.path.join(self._directory, self.standing.name) if self.standing else ""

    def shown(self) -> dict[str, bytes]:
        """Return what a runtime sees at the moment, in its order."""
        return {os.path.basename(f.path): f.content for f in listing.files(self._directory)}

    def adopt(self, shown: Shown) -> NodeConfig | None:
        """Return what an earlier life has left and can still be used; it is what stands now."""
        for name, content in shown.items():
            if nodeconfig.is_generated(content):
                with suppress(CniError):
                    found = NodeConfig(name, content)
                    self.standing = nodeconfig.checked(found, self._own_types())
                    return self.standing
        return None

    def ours(self, shown: Shown) -> set[str]:
        """Return the names of the files that are ours to replace and to remove."""
        return {name for name, content in shown.items() if self._is_ours(name, content)}

    def disturbed(self, shown: Shown) -> bool:
        """Tell whether somebody has taken away or changed what was put here."""
        return self.standing is not None and shown.get(self.standing.name) != self.standing.content

    def rival(self, shown: Shown) -> str:
        """Return the name of the file that has to do with a disturbance."""
        assert self.standing
        copies = listing.same_content(self._directory, self.standing.content)
        if copies or self.standing.name in shown:
            return copies[0] if copies else self.standing.name
        return next(iter(shown), "nothing")

    def put(self, config: NodeConfig, shown: Shown) -> bool:
        """Have a configuration in place; tell whether it had to be written. Raises ``OSError``."""
        ours = self.ours(shown)
        others = shown.keys() - ours
        name = self._fixed or nodeconfig.leading(config.name, others)
        differs = shown.get(name) != config.content
        if differs:
            self._keep_copy(name, shown.get(name, b""))
            self._write(name, config.content)
        self.standing = NodeConfig(name, config.content)
        for stale in ours - {name}:
            self._keep_copy(stale, shown[stale])
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(self._directory, stale))
        return differs

    def before(self, shown: Shown) -> str:
        """Return the name of a foreign file that a runtime meets before ours, if there is one."""
        assert self.standing
        others = shown.keys() - self.ours(shown) - {self.standing.name}
        first = min(others, key=os.fsencode, default="")
        return first if first and not nodeconfig.leads(self.standing.name, [first]) else ""

    def _is_ours(self, name: str, content: bytes) -> bool:
        """Tell what is ours: by its content, and by its name if nobody can use it otherwise."""
        if name == self._fixed or (self.standing and name == self.standing.name):
            return True
        if nodeconfig.is_generated(content):
            return True
        return nodeconfig.is_own_name(name) and not self._is_network(name, content)

    def _is_network(self, name: str, content: bytes) -> bool:
        try:
            primary.read(ConfigFile(name, content), own_types=self._own_types())
        except CniError:
            return False
        return True

    def _keep_copy(self, name: str, content: bytes) -> None:
        """Keep a file of Multus, or one that somebody wrote to call us, for who wants it back."""
        if not self._calls_us(name, content) or nodeconfig.is_generated(content):
            return
        os.makedirs(os.path.join(self._directory, REPLACED), mode=0o700, exist_ok=True)
        self._write(os.path.join(REPLACED, name), content)

    def _calls_us(self, name: str, content: bytes) -> bool:
        try:
            primary.read(ConfigFile(name, content), own_types=self._own_types())
        except LeadsBackError:
            return True
        except CniError:
            return False
        return False

    def _write(self, name: str, content: bytes) -> None:
        path = os.path.join(self._directory, name)
        temporary = os.path.join(os.path.dirname(path), TEMPORARY)
        atomic.write(path, content, temporary=temporary)
