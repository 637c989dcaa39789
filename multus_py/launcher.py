"""The file that container runtimes execute on a node with a daemon.

It names an interpreter, says where everything is, and hands over to :mod:`multus_py.shim`. All that
could be looked up is written into it, so that a start costs nothing but the interpreter's own.
"""

from __future__ import annotations

import os
from contextlib import suppress

_TEXT = """\
#!{interpreter} -IS
# multus-py: executed by the container runtime; multus-py install writes this file anew.
import sys

sys.path.insert(0, {library!r})

from multus_py import shim

shim.main(
    socket={socket!r},
    directories={directories!r},
    launcher={launcher!r},
    python={python!r},
    patience={patience!r},
)
"""

PATIENCE = 5.0
"""Seconds: a daemon that is being restarted is there again by then."""


def text(
    launcher: str,
    *,
    interpreter: str,
    library: str,
    socket: str,
    directories: tuple[str, ...],
    patience: float = PATIENCE,
) -> str:
    """Return the content of the file at the path ``launcher``.

    ``library`` is the directory that holds the package, ``directories`` are those whose plugins may
    be run besides those of ``CNI_PATH``. After ``patience`` seconds without a daemon the plugin
    does its job alone.
    """
    return _TEXT.format(
        interpreter=interpreter,
        library=library,
        socket=socket,
        directories=directories,
        launcher=launcher,
        python=(interpreter, "-I"),
        patience=patience,
    )


def write(launcher: str, content: str) -> None:
    """Write the file, executable and complete from the first moment."""
    made = f"{launcher}.{os.getpid()}"
    try:
        with open(made, "w", encoding="utf-8") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o755)
            file.flush()
            os.fsync(file.fileno())
        os.rename(made, launcher)
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(made)
        raise


def package_directory() -> str:
    """Return the directory that holds this package."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
