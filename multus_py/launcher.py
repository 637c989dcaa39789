"""The files that container runtimes execute: texts that name an interpreter and hand over.

:func:`text` is that of a node with a daemon, for :mod:`multus_py.shim`. All that could be looked up
is written into it, so that a start costs nothing but the interpreter's own. :func:`leaving_text` is
what is left of it on a node that is being left, :func:`passthru_text` the plugin beside it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from multus_py.adapters import atomic
from multus_py.cni.errors import CniError, Code

_MARK = "# multus-py: executed by the container runtime; multus-py install writes this file anew."

_TEXT = """\
{first}
{mark}
import sys

{preparation}
from multus_py import shim

shim.main(
    socket={socket!r},
    directories={directories!r},
    launcher={launcher!r},
    python={python!r},
    patience={patience!r},
)
"""

_CPYTHON = """\
sys.path.insert(0, {library!r})
"""

_MICROPYTHON = """\
import vfs

with open({image!r}, "rb") as image:
    vfs.mount(vfs.VfsRom(image.read()), "/multus-py")
sys.path[:] = ["/multus-py"]

from multus_py.micro import builtin
"""

_LEAVING_TEXT = """\
{first}
{mark}
# The node is being left: this goes when the last attachment is released.
import os
import sys

sys.path.insert(0, {library!r})
os.environ["MULTUS_PY_SOCKET_DIR"] = {socket_dir!r}

from multus_py import leaving
from multus_py.__main__ import main

sys.exit(leaving.main(main, lib_dir={lib_dir!r}))
"""

_PASSTHRU_TEXT = """\
{first}
{mark}
import sys

sys.path.insert(0, {library!r})

from multus_py import passthru

sys.exit(passthru.main())
"""


_FIRST_LINE_LIMIT = 255
"""Bytes that the kernel reads of it."""

PATIENCE = 5.0
"""Seconds: a daemon that is being restarted is there again by then."""


@dataclass(frozen=True, slots=True)
class MicroPython:
    """An interpreter that starts in a fraction of the time, and an image (ROMFS) with the shim."""

    interpreter: str
    image: str


@dataclass(frozen=True, slots=True)
class Program:
    """What launchers start: an interpreter, and the directory that holds the package."""

    interpreter: str
    library: str
    micropython: MicroPython | None = None
    """What starts the shim, if it is there; all else is started by ``interpreter``."""


def text(
    launcher: str,
    *,
    program: Program,
    socket: str,
    directories: tuple[str, ...],
    patience: float = PATIENCE,
) -> str:
    """Return the content of the file at the path ``launcher``.

    ``directories`` are those whose plugins may be run besides those of ``CNI_PATH``. After
    ``patience`` seconds without a daemon the plugin does its job alone.
    """
    if program.micropython:
        first = _first_line(program.micropython.interpreter)
        preparation = _MICROPYTHON.format(image=program.micropython.image)
    else:
        first = _first_line(program.interpreter, "-IS")
        preparation = _CPYTHON.format(library=program.library)
    return _TEXT.format(
        first=first,
        mark=_MARK,
        preparation=preparation,
        socket=socket,
        directories=directories,
        launcher=launcher,
        python=(program.interpreter, "-I"),
        patience=patience,
    )


def leaving_text(program: Program, *, socket_dir: str, lib_dir: str) -> str:
    """Return the content of the file that stays for attachments, and then removes the rest."""
    return _LEAVING_TEXT.format(
        first=_first_line(program.interpreter, "-I"),
        mark=_MARK,
        library=program.library,
        socket_dir=socket_dir,
        lib_dir=lib_dir,
    )


def passthru_text(program: Program) -> str:
    """Return the content of the plugin ``passthru`` (:mod:`multus_py.passthru`)."""
    first = _first_line(program.interpreter, "-IS")
    return _PASSTHRU_TEXT.format(first=first, mark=_MARK, library=program.library)


def is_ours(content: bytes) -> bool:
    """Tell whether a file with this content is one of these."""
    return content.startswith(b"#!") and content.split(b"\n", 2)[1:2] == [_MARK.encode()]


def _first_line(interpreter: str, *options: str) -> str:
    line = " ".join((f"#!{interpreter}", *options))
    if interpreter.split() != [interpreter] or len(os.fsencode(line)) > _FIRST_LINE_LIMIT:
        raise CniError(
            Code.INVALID_CONFIGURATION,
            f"the kernel executes no script whose interpreter is {interpreter}",
            "install to a directory with a short path without white space",
        )
    return line


def write(launcher: str, content: str, *, temporary: str = "") -> None:
    """Write the file, executable and complete from the first moment; see :func:`atomic.write`."""
    atomic.write(launcher, content.encode(), mode=0o755, temporary=temporary)


def own_program() -> Program:
    """Return what runs this, where it lies."""
    return Program(sys.executable, package_directory())


def package_directory() -> str:
    """Return the directory that holds this package."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
