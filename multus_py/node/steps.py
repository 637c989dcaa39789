"""Steps of a removal: each says what it does, and does it however often it is asked to."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_IN_USE = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.EBUSY, errno.ENOTDIR}


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the node, in words and as it is done."""

    text: str
    do: Callable[[], object]


def deletion(what: str, path: str) -> Step:
    """Delete a file, if it is there."""
    return Step(f"remove {what} {path}", partial(unlink, path))


def clearance(path: str) -> Step:
    """Delete a directory of ours and everything in it."""
    return Step(f"remove {path} with all that is in it", partial(_clear, path))


def emptied(path: str) -> Step:
    """Delete a directory that nobody uses any more."""
    return Step(f"remove {path} if it is empty", partial(rmdir, path))


def unlink(path: str) -> None:
    """Delete a file, if it is there. Raises ``OSError``."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def _clear(path: str) -> None:
    """Remove a directory of ours, to which something may be added meanwhile."""
    for _ in range(3):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path) or not os.listdir(path):
            return rmdir(path)
    return shutil.rmtree(path)


def rmdir(path: str) -> None:
    """Remove a directory, unless somebody else uses it by now. Raises ``OSError``."""
    try:
        os.rmdir(path)
    except OSError as error:
        if error.errno not in _IN_USE:
            raise


def listed(directory: str) -> list[str]:
    """Return the paths of the files and sockets in a directory, hidden ones too."""
    with suppress(FileNotFoundError, NotADirectoryError):
        paths = [os.path.join(directory, name) for name in sorted(os.listdir(directory))]
        return [path for path in paths if not os.path.isdir(path)]
    return []
