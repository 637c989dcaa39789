"""Writing files that are there completely or not at all, whatever happens meanwhile."""

from __future__ import annotations

import os
from contextlib import suppress


def write(
    path: str, content: bytes, *, mode: int = 0o600, temporary: str = "", lasting: bool = True
) -> None:
    """Write a file, synced before it gets its name. It replaces what was there.

    It is prepared as ``temporary``, in the same directory; that is a name of this process's own
    unless the caller knows that nobody else prepares the same file. Without ``lasting`` the caller
    sees to it that it survives a power cut, after which it may be empty else. Raises ``OSError``.
    """
    temporary = temporary or f"{path}.{os.getpid()}"
    try:
        with open(temporary, "wb", opener=_private) as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if lasting:
                os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    if lasting:
        sync_directory(os.path.dirname(path))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def sync_directory(directory: str) -> None:
    """Wait until the names in a directory would survive a power cut. Raises ``OSError``."""
    sync(directory or os.curdir)


def sync(path: str) -> None:
    """Wait until what is in a file, or a directory, would survive that. Raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: str, *, mode: int = 0o700) -> None:
    """Make a directory, with those above it, so that what is in it survives a power cut.

    Nothing happens if it is there. Raises ``OSError``.
    """
    if os.path.isdir(path):
        return
    above = os.path.dirname(path) or os.curdir
    make_directory(above, mode=0o755)
    with suppress(FileExistsError):  # somebody else was faster
        os.mkdir(path, mode)
    sync_directory(above)
