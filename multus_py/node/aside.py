"""The primary network's file, renamed so that nobody takes it for the node's configuration.

Multus's ``--rename-conf-file``. What is renamed is kept in a directory of its own, under the name
that it had: ours is generated from there, also after a restart. If the primary network writes its
file again that one counts, and is renamed in turn.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from multus_py.adapters import atomic
from multus_py.cni import document
from multus_py.cni.errors import CniError
from multus_py.core import primary
from multus_py.core.ports import ConfigFile
from multus_py.node import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multus_py.core.primary import Primary
    from multus_py.node.launchers import OwnTypes

STAGE = "multus.d/renamed"
"""In the directory of the configuration."""

_RENAMED = ".old"


class Aside:
    """The files of ``directory``, of which the primary network's is kept in ``stage``."""

    def __init__(self, directory: str, stage: str, *, own_types: OwnTypes, named: str = "") -> None:
        self._directory = directory
        self._stage = stage
        self._own_types = own_types
        self._named = named

    def look(self) -> None:
        """Bring the stage up to date. It stays as it is while the primary network's file is wrong.

        Raises ``OSError``.
        """
        os.makedirs(self._stage, mode=0o755, exist_ok=True)
        staged = self._staged()
        there = self._files()
        files = there | {name: file for name in staged if (file := self._renamed(name, there))}
        try:
            for name in staged & files.keys():
                primary.read(files[name], own_types=self._own_types())
            found = self._choice(list(files.values()))
        except CniError:
            keep = staged & files.keys()
        else:
            keep = {found.name}
            self._write(found)
        for name in staged - keep:
            os.unlink(os.path.join(self._stage, name))

    def rename(self) -> None:
        """Rename the file; ours has to be in its place already."""
        for name in self._staged():
            path = os.path.join(self._directory, name)
            with suppress(FileNotFoundError):
                os.rename(path, path + _RENAMED)

    def undo(self) -> None:
        """Give the file its name back."""
        for name in self._staged():
            path = os.path.join(self._directory, name)
            with suppress(FileNotFoundError):
                if not os.path.lexists(path):
                    os.rename(path + _RENAMED, path)
            os.unlink(os.path.join(self._stage, name))
        with suppress(OSError):
            os.rmdir(self._stage)

    def _staged(self) -> set[str]:
        return {os.path.basename(file.path) for file in listing.beside(self._stage, "")}

    def _files(self) -> dict[str, ConfigFile]:
        """Return the files that may be the primary network's, by name."""
        return {os.path.basename(file.path): file for file in listing.files(self._directory)}

    def _renamed(self, name: str, there: dict[str, ConfigFile]) -> ConfigFile | None:
        """Return a file under the name that it had before we renamed it."""
        path = os.path.join(self._directory, name)
        content = listing.read(path + _RENAMED)
        return there.get(name) or (None if content is None else ConfigFile(path, content))

    def _choice(self, files: Sequence[ConfigFile]) -> Primary:
        """Return the primary network; the stage does not have the directory beside it."""
        beside = partial(listing.beside, self._directory)
        return primary.choose(files, own_types=self._own_types(), named=self._named, beside=beside)

    def _write(self, found: Primary) -> None:
        """Write the whole network, with what its directory adds, under the name of its file."""
        config = found.config
        if found.network.chained:
            config = {**config, "loadOnlyInlinedPlugins": True}
        path, content = os.path.join(self._stage, found.name), document.encode(config)
        if listing.read(path) != content:
            atomic.write(path, content, temporary=f"{path}.new")
