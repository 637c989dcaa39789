"""Whose a configuration of the container runtime is, told by what is in it and never by its name.

Somebody may have renamed it, and it may be anybody's who has called this plugin by hand.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from multus_py.cni import document
from multus_py.cni.errors import CniError
from multus_py.core import nodeconfig
from multus_py.node import listing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


def generated(directory: str) -> tuple[str, ...]:
    """Return the configurations that we generated."""
    return tuple(path for path, content in _files(directory) if nodeconfig.is_generated(content))


def calling(directory: str, types: Collection[str]) -> tuple[str, ...]:
    """Return the configurations of others that call plugins of these types."""
    return tuple(
        path
        for path, content in _files(directory)
        if _types(content) & set(types) and not nodeconfig.is_generated(content)
    )


def _files(directory: str) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of every file, whatever its name is."""
    try:
        names = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        path = os.path.join(directory, name)
        if os.path.isfile(path) and (content := listing.read(path)):
            yield path, content


def _types(content: bytes) -> set[str]:
    """Return the types of the plugins that a runtime calls; none if it is no configuration."""
    try:
        config = document.decode_object(content, "the file")
    except CniError:
        return set()
    listed = config.get("plugins")
    chained = listed if isinstance(listed, list) else []
    plugins = [plugin for plugin in (config, *chained) if isinstance(plugin, dict)]
    return {kind for plugin in plugins if isinstance(kind := plugin.get("type"), str)}
