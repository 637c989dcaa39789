"""What a container runtime finds in a directory of configurations.

Files may come, go and change at any moment. What is gone between listing and reading was not there.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from multus_py.cni import document
from multus_py.core.ports import ConfigFile
from multus_py.core.primary import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence


def files(directory: str, *, suffixes: tuple[str, ...] = SUFFIXES) -> list[ConfigFile]:
    """Return what a runtime takes for configurations, in byte order of the names.

    What cannot be read is empty: a runtime trips over it as well. Raises ``OSError``.
    """
    found = []
    with os.scandir(directory) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.name.endswith(suffixes) and not entry.is_dir(follow_symlinks=False)
        ]
    for name in sorted(names, key=os.fsencode):
        content = read(os.path.join(directory, name))
        if content is not None:
            found.append(ConfigFile(os.path.join(directory, name), content))
    return found


def beside(directory: str, name: str) -> Sequence[ConfigFile]:
    """Return the files of a sub-directory; none if there is none."""
    try:
        return files(os.path.join(directory, name))
    except OSError:
        return ()


def read(path: str) -> bytes | None:
    """Return a file's content, empty if it cannot be read, None if it is not there at all."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would have us wait
            return b""
        with open(path, "rb", opener=_at_once) as file:
            return file.read(document.MAX_BYTES + 1)
    except OSError:
        return b"" if os.path.lexists(path) else None


def same_content(directory: str, content: bytes) -> list[str]:
    """Return the names of all files of a directory with exactly this content."""
    with os.scandir(directory) as entries:
        alike = [entry.name for entry in entries if _has_size(entry, len(content))]
    return sorted(name for name in alike if read(os.path.join(directory, name)) == content)


def _has_size(entry: os.DirEntry[str], size: int) -> bool:
    try:
        return entry.is_file() and entry.stat().st_size == size
    except OSError:
        return False


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
