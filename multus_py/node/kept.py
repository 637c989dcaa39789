"""Files of somebody else whose place was taken: kept, and put back."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress

from multus_py.adapters import atomic
from multus_py.node.manifest import temporary

DIRECTORY = "replaced"
"""In the directory of the installation."""


def place(lib_dir: str, path: str) -> str:
    """Return where a file is kept."""
    return os.path.join(lib_dir, DIRECTORY, path.lstrip("/"))


def keep(path: str, kept: str) -> None:
    """Keep a file: the same one if it can have two names, else a copy. Raises ``OSError``."""
    os.makedirs(os.path.dirname(kept), mode=0o755, exist_ok=True)
    prepared = temporary(kept)
    with suppress(FileNotFoundError):
        os.unlink(prepared)
    try:
        os.link(path, prepared, follow_symlinks=False)
    except OSError:  # another file system, or one without links
        _copy(path, prepared)
    os.rename(prepared, kept)
    atomic.sync_directory(os.path.dirname(kept))


def put_back(kept: str, path: str) -> None:
    """Put a file in its place again, at once. Raises ``OSError``."""
    try:
        os.rename(kept, path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        prepared = temporary(path)
        with suppress(FileNotFoundError):
            os.unlink(prepared)
        _copy(kept, prepared)
        os.rename(prepared, path)
        os.unlink(kept)
    atomic.sync_directory(os.path.dirname(path))


def _copy(source: str, target: str) -> None:
    """Copy a file, synced, or a link."""
    shutil.copy2(source, target, follow_symlinks=False)
    if os.path.islink(target):
        return
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
