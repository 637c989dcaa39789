"""The carried interpreter with this package: found, copied to a place of its own, verified there.

A bundle is a directory with ``bundle.json`` at its root, which lists every other file in it. It can
lie anywhere, but for one path: programs name their loader absolutely, and the kernel reads it
there. That path is written where the program lies; for a bundle that is the root of an image it is
that of the loader from there, which is also what the listed checksum counts with.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from multus_py.adapters import atomic
from multus_py.cni.errors import CniError, Code
from multus_py.launcher import MicroPython, Program
from multus_py.node import manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIST = "bundle.json"
_DIGITS = 12
_AGAIN = "install from a complete bundle or image"

_ELF64 = b"\x7fELF\x02\x01"
"""With 64 bits, the least significant byte first: amd64 and arm64."""
_INTERPRETER = 3
"""The type of the part of a program that names its loader (elf(5), PT_INTERP)."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle at ``root``, by what its list says."""

    root: str
    listed: dict[str, Any]

    @property
    def name(self) -> str:
        """The name that a copy has: two with the same one are equal."""
        return f"{self.listed['version']}-{self.listed['digest'][:_DIGITS]}"

    @property
    def program(self) -> Program:
        """What a launcher for this bundle starts."""
        small = None
        if "micropython" in self.listed:
            small = MicroPython(*map(self._path, self.listed["micropython"]))
        interpreter, library = map(self._path, (self.listed["python"], self.listed["library"]))
        return Program(interpreter, library, small)

    @property
    def loader(self) -> str:
        """The path at which its programs have to look for their loader."""
        return os.path.join(self.root, self.listed["loader"])

    def directories(self) -> list[str]:
        """Return the directories in it, outermost first; the root itself is the empty path."""
        found = {""}
        for path in self.listed["files"]:
            while path := os.path.dirname(path):
                found.add(path)
        return sorted(found)

    def content(self, path: str) -> bytes:
        """Return a file's content, as it is listed; an error if it is damaged."""
        content = self._content(path)
        if hashlib.sha256(content).hexdigest() != self.listed["files"][path]["sha256"]:
            raise CniError(Code.IO_FAILURE, f"{os.path.join(self.root, path)} is damaged", _AGAIN)
        return content

    def is_whole(self, path: str) -> bool:
        """Tell whether a file is there as it is listed, and works where it is."""
        place, item = os.path.join(self.root, path), self.listed["files"][path]
        try:
            if "link" in item:
                return bool(os.readlink(place) == item["link"])
            status = os.stat(place, follow_symlinks=False)
            if status.st_mode & 0o7777 != item["mode"]:
                return False
            self.content(path)
            return not self.names_loader(path) or self._finds_its_loader(path)
        except (OSError, CniError):
            return False

    def names_loader(self, path: str) -> bool:
        """Tell whether a file is a program, which names its loader."""
        return path in (self.listed["python"], *self.listed.get("micropython", ())[:1])

    def _path(self, path: str) -> str:
        return os.path.join(self.root, path)

    def _content(self, path: str) -> bytes:
        with open(self._path(path), "rb") as file:
            content = file.read()
        if not self.names_loader(path):
            return content
        return with_loader(content, "/" + self.listed["loader"])

    def _finds_its_loader(self, path: str) -> bool:
        with open(self._path(path), "rb") as file:
            content = file.read()
        return content == with_loader(content, self.loader)


def running() -> Bundle | None:
    """Return the bundle that this process runs from, None if there is none."""
    return read(os.path.dirname(os.path.dirname(sys.executable)))


def read(root: str) -> Bundle | None:
    """Return the bundle in a directory, None if it holds none."""
    path = os.path.join(root, _LIST)
    try:
        with open(path, "rb") as file:
            listed = json.load(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CniError(Code.IO_FAILURE, f"cannot read {path}: {error}", _AGAIN) from error
    return Bundle(root, listed)


def unpacked(source: Bundle, directory: str) -> Bundle:
    """Return a copy of a bundle below a directory that has a place for each version.

    It is there completely or not at all. One that is there is verified, and what differs is
    replaced file by file, as processes may be running in it.
    """
    target = Bundle(os.path.join(directory, source.name), source.listed)
    if os.path.isdir(target.root):
        _repair(source, target)
        return target
    prepared = manifest.temporary(target.root)
    shutil.rmtree(prepared, ignore_errors=True)
    for inner in target.directories():
        os.makedirs(os.path.join(prepared, inner), mode=0o755)
    for path in target.listed["files"]:
        _copy(source, path, target, os.path.join(prepared, path))
    _write_list(target, prepared)
    for inner in target.directories():
        atomic.sync_directory(os.path.join(prepared, inner))
    os.rename(prepared, target.root)
    atomic.sync_directory(directory)
    return target


def _repair(source: Bundle, target: Bundle) -> None:
    for path in target.listed["files"]:
        if not target.is_whole(path):
            place = os.path.join(target.root, path)
            os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
            prepared = manifest.temporary(place)
            _copy(source, path, target, prepared)
            os.rename(prepared, place)
            atomic.sync_directory(os.path.dirname(place))
    _write_list(target, target.root)


def _write_list(target: Bundle, directory: str) -> None:
    content = json.dumps(target.listed, sort_keys=True).encode()
    path = os.path.join(directory, _LIST)
    atomic.write(path, content, mode=0o644, temporary=manifest.temporary(path))


def _copy(source: Bundle, path: str, target: Bundle, place: str) -> None:
    """Copy a file, synced, as it is to be in the target."""
    item = target.listed["files"][path]
    if os.path.lexists(place):
        os.unlink(place)
    if "link" in item:
        os.symlink(item["link"], place)
        return
    content = source.content(path)
    if target.names_loader(path):
        content = with_loader(content, target.loader)
    with open(place, "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), item["mode"])
        os.fsync(file.fileno())


def with_loader(program: bytes, path: str) -> bytes:
    """Return a program that looks for its loader at this path."""
    start, room = _room_for_loader(program)
    name = os.fsencode(path)
    if len(name) >= room:
        raise CniError(
            Code.INVALID_CONFIGURATION,
            f"the path {path} is too long for a program (at most {room - 1} bytes)",
            "install to a directory with a shorter path",
        )
    return program[:start] + name.ljust(room, b"\0") + program[start + room :]


def _room_for_loader(program: bytes) -> tuple[int, int]:
    """Return where a program names its loader, and how many bytes are there for it (elf(5))."""
    if program.startswith(_ELF64):
        for kind, start, room in _parts(program):
            if kind == _INTERPRETER:
                return start, room
    raise CniError(
        Code.INVALID_CONFIGURATION, "the carried interpreter is no program of Linux", _AGAIN
    )


def _parts(program: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield type, offset and size in the file of a program's parts."""
    (table,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    for number in range(count):
        header = table + number * size
        (kind,) = struct.unpack_from("<I", program, header)
        (start,) = struct.unpack_from("<Q", program, header + 8)
        (room,) = struct.unpack_from("<Q", program, header + 32)
        yield kind, start, room
