"""Where directories of this container are on the host, as far as a container can know.

An executable and a kubeconfig name paths of the host, while this process sees them where they are
mounted: usually below ``/host``.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Iterator

_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_PREFIX = "/host"
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of ``/proc/self/mountinfo``."""

    root: str
    """The directory of the file system that is mounted."""
    point: str
    kind: str


def on_host(path: str) -> str:
    """Return the host's name for a path, by the custom that the host is mounted at ``/host``."""
    return path.removeprefix(_PREFIX) if path.startswith(f"{_PREFIX}/") else path


def is_in_memory(directory: str) -> bool:
    """Tell whether this is a file system in memory that is mounted right here; "" is none.

    What lies deeper in one may be the container's own, which nobody on the host can see.
    """
    mount = _enclosing(directory)
    here = bool(directory) and mount.point == os.path.realpath(directory)
    return here and mount.kind in _IN_MEMORY


def is_on_disk(directory: str) -> bool:
    """Tell whether what is written here may still be there when the machine was switched off."""
    return _enclosing(directory).kind not in _IN_MEMORY


def require_same(path: str, host_path: str, flag: str) -> None:
    """Raise an error, which names the flag, if ``path`` is another directory than the host's.

    A mounted directory's path within its file system ends as its path on the host does, and is
    shorter if the file system is mounted there, longer if it is one of several trees in it.
    """
    mount = _enclosing(path)
    within = os.path.relpath(os.path.realpath(path), mount.point)
    source = os.path.normpath(os.path.join(mount.root, within))
    wanted = os.path.normpath(host_path)
    if not (source == "/" or source.endswith(wanted) or wanted.endswith(source)):
        raise CniError(
            Code.INVALID_CONFIGURATION,
            f"{path} is taken for {wanted} of the host, but {source} is mounted there",
            f"say with {flag} which directory of the host it is",
        )


def link(path: str, host_path: str) -> None:
    """Let the host's path of a directory lead to it in this container as well."""
    if os.path.realpath(host_path) == os.path.realpath(path):
        return
    try:
        os.makedirs(os.path.dirname(host_path), exist_ok=True)
        os.symlink(path, host_path)
    except OSError as error:
        raise CniError(
            Code.IO_FAILURE,
            f"{host_path} cannot be made to lead to {path}: {error.strerror}",
            f"mount the directory at {host_path} in the container, as on the host",
        ) from error


def _enclosing(path: str) -> Mount:
    """Return the mount that a path is on."""
    real = os.path.realpath(path)
    found = Mount("/", "/", "")
    for mount in _mounts():
        if len(mount.point) >= len(found.point) and _is_below(real, mount.point):
            found = mount
    return found


def _is_below(path: str, directory: str) -> bool:
    return f"{path}/".startswith(directory if directory == "/" else f"{directory}/")


def _mounts() -> Iterator[Mount]:
    with suppress(FileNotFoundError), open("/proc/self/mountinfo") as file:
        for line in file:
            mount, _, source = line.partition(" - ")
            root, point = (_plain(word) for word in mount.split()[3:5])
            yield Mount(root, point, source.split()[0])


def _plain(word: str) -> str:
    """Return a path without the octal escapes for blanks and line ends."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), word)
