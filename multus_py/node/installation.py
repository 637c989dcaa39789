"""Installing: a version of its own, launchers that start it, and a manifest of all that.

Every step leaves a node that works: with the version before until the new one is complete and has
answered, with the new one from then on. A version that processes may still run in stays until the
one after it is replaced.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from multus_py import launcher
from multus_py.adapters import atomic, locks, presence, process
from multus_py.cni.errors import CniError, Code
from multus_py.models.config import OUR_TYPES
from multus_py.node import bundle, configurations, kept, manifest
from multus_py.node.manifest import Manifest, Places, temporary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from multus_py.launcher import Program
    from multus_py.node.bundle import Bundle

PLUGIN = "multus-py"
PASSTHRU = "passthru"
VERSIONS, CURRENT, LOCK = "versions", "current", ".lock"
"""In the directory of the installation."""

_KEPT = 2
"""Versions: the one in use, and the one before it for processes that are still in it."""
_LOCK_SECONDS = 300.0
_ANSWER_SECONDS = 60.0
_HEAD = 4096
"""Bytes of a launcher that say whose it is."""
_TOLD = 120
"""Characters of a complaint that a message shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What an installation has come to."""

    program: Program
    version: str
    """The name of the carried version; empty if the interpreter is used where it lies."""
    launchers: tuple[str, ...]


def install(
    places: Places,
    *,
    lib_dir: str = manifest.LIB_DIR,
    names: Sequence[str] = (),
    source: Bundle | None,
) -> Installed:
    """Install a bundle, or without one the interpreter that runs this where it lies.

    ``names`` are those under which the plugin is installed besides its own. Files of those names
    that are not ours are kept, and put back by the removal. Raises :class:`CniError`; what was
    there before works on then.
    """
    for name in names:
        _check_name(name)
    with _io():
        _announce(places, lib_dir)
        with held(lib_dir):
            return _Installation(places, lib_dir, names).run(source)


@contextmanager
def held(lib_dir: str) -> Iterator[None]:
    """Be the only one that changes an installation."""
    with locks.held(os.path.join(lib_dir, LOCK), _LOCK_SECONDS):
        yield


def is_launcher(path: str) -> bool:
    """Tell whether there is a launcher of ours."""
    return launcher.is_ours(_head(path))


def _head(path: str) -> bytes:
    """Return the beginning of a file, nothing if it is none or a link to one."""
    try:
        with open(path, "rb", opener=_itself) as file:
            return file.read(_HEAD)
    except OSError:
        return b""


def _itself(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


def _first_line(path: str) -> str:
    head = _head(path)
    return os.fsdecode(head.partition(b"\n")[0]) if launcher.is_ours(head) else ""


def put_launcher(path: str, text: str) -> None:
    """Write a launcher, complete from the first moment, over what is there."""
    launcher.write(path, text, temporary=temporary(path))


def _announce(places: Places, lib_dir: str) -> None:
    """Make sure that there is a manifest, which knows what was on the node before."""
    with manifest.beginning(lib_dir):
        if manifest.read(lib_dir) is None:
            manifest.write(lib_dir, _merged(Manifest(places=()), places, lib_dir))


def _merged(known: Manifest, places: Places, lib_dir: str) -> Manifest:
    """Return a manifest with further places, as they are now."""
    earlier = tuple(place for place in known.places if place != places)
    absent = [
        directory
        for path in (lib_dir, places.bin_dir, places.socket_dir, f"{places.cni_dir}/results")
        for directory in manifest.missing(path)
    ]
    given = () if places in known.places else configurations.calling(places.conf_dir, OUR_TYPES)
    return replace(
        known,
        places=(places, *earlier),
        made=tuple(dict.fromkeys((*known.made, *absent))),
        given=tuple(dict.fromkeys((*known.given, *given))),
    )


class _Installation:
    """One run, under the lock."""

    def __init__(self, places: Places, lib_dir: str, names: Sequence[str]) -> None:
        self._places = places
        self._lib_dir = lib_dir
        wanted = [os.path.join(places.bin_dir, name) for name in dict.fromkeys((PLUGIN, *names))]
        known = manifest.read(lib_dir) or Manifest(places=())
        passthru = os.path.join(places.bin_dir, PASSTHRU)
        if is_launcher(passthru) or not os.path.lexists(passthru):
            wanted.append(passthru)
        self._manifest = replace(
            _merged(known, places, lib_dir),
            launchers=tuple(dict.fromkeys((*wanted, *known.launchers))),
        )

    def run(self, source: Bundle | None) -> Installed:
        """Install, in the order that leaves a node that works at any time."""
        version = source.name if source else ""
        versions = self._versions(version)
        manifest.write(self._lib_dir, self._manifest)
        os.makedirs(self._places.bin_dir, mode=0o755, exist_ok=True)
        program = self._unpacked(source)
        self._see_it_answer(program)
        for path in self._manifest.launchers:
            self._launch(path, program)
        self._be_current(version)
        self._manifest = replace(
            self._manifest, versions=versions, leaving=False, handed_back=False
        )
        manifest.write(self._lib_dir, self._manifest)
        self._prune()
        self._stay()
        return Installed(program=program, version=version, launchers=self._manifest.launchers)

    def _versions(self, version: str) -> tuple[str, ...]:
        """Return the versions to keep: this one, and at least one for processes that are in it.

        That is what launchers start until now; of one that never came into use nobody runs.
        """
        begin = f"#!{self._lib_dir}/{VERSIONS}/"
        used = [
            line.removeprefix(begin).partition("/")[0]
            for path in self._manifest.launchers
            if (line := _first_line(path)).startswith(begin)
        ]
        found = dict.fromkeys(name for name in (version, *used) if name)
        for name in self._manifest.versions:
            if len(found) < _KEPT:
                found[name] = None
        return tuple(found)

    def _unpacked(self, source: Bundle | None) -> Program:
        if source is None:
            return launcher.own_program()
        versions = os.path.join(self._lib_dir, VERSIONS)
        os.makedirs(versions, mode=0o755, exist_ok=True)
        return bundle.unpacked(source, versions).program

    def _text(self, path: str, program: Program, socket_dir: str) -> str:
        if os.path.basename(path) == PASSTHRU:
            return launcher.passthru_text(program)
        return launcher.text(
            path,
            program=program,
            socket=os.path.join(socket_dir, presence.SOCKET),
            directories=(self._places.bin_dir,),
        )

    def _see_it_answer(self, program: Program) -> None:
        """Run what is about to be installed, where it is about to be; no daemon answers for it."""
        path = os.path.join(self._places.bin_dir, PLUGIN)
        trial = temporary(path)
        text = self._text(path, program, os.devnull)  # in which no socket can be
        launcher.write(trial, text, temporary=trial)
        try:
            _require_answer(trial)
        finally:
            os.unlink(trial)

    def _launch(self, path: str, program: Program) -> None:
        """Let a launcher start this program, and keep what is there if it is not ours."""
        directory = os.path.dirname(path)
        if not os.path.isdir(directory):
            return  # of an installation to another place, which is gone
        if os.path.lexists(path) and not is_launcher(path):
            if os.path.basename(path) == PASSTHRU:
                return  # as good as ours, and somebody else's
            kept.keep(path, kept.place(self._lib_dir, path))
        put_launcher(path, self._text(path, program, self._places.socket_dir))

    def _be_current(self, version: str) -> None:
        """Let people find the version by a name that stays."""
        path = os.path.join(self._lib_dir, CURRENT)
        if version:
            replace_by_link(path, os.path.join(VERSIONS, version))
        else:
            with suppress(FileNotFoundError):
                os.unlink(path)

    def _prune(self) -> None:
        """Remove versions that nothing starts any more, and what was begun and not finished."""
        versions = os.path.join(self._lib_dir, VERSIONS)
        with suppress(FileNotFoundError):
            for name in set(os.listdir(versions)) - set(self._manifest.versions):
                shutil.rmtree(os.path.join(versions, name))

    def _stay(self) -> None:
        """Take back what a removal has said that waited for attachments."""
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self._places.socket_dir, presence.LEAVING))


def replace_by_link(path: str, target: str) -> None:
    """Let a symbolic link lead somewhere else at once."""
    prepared = temporary(path)
    with suppress(FileNotFoundError):
        os.unlink(prepared)
    os.symlink(target, prepared)
    os.rename(prepared, path)
    atomic.sync_directory(os.path.dirname(path))


def _require_answer(path: str) -> None:
    """Raise an error unless a plugin says which versions of CNI it supports."""
    try:
        done = _run(path)
        if done.returncode == 0 and json.loads(done.stdout)["supportedVersions"]:
            return
        complaint = done.stderr.decode(errors="replace").strip() or f"status {done.returncode}"
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError) as error:
        complaint = str(error)
    raise CniError(
        Code.PLUGIN_NOT_AVAILABLE,
        f"what was to be installed does not work here: {complaint[-_TOLD:]}",
        "the version before is still in use; see that the image is for this machine",
    )


def _run(path: str) -> subprocess.CompletedProcess[bytes]:
    """Run a plugin that was written a moment ago, and may be open somewhere for another one."""
    return process.once_written(
        lambda: subprocess.run(  # noqa: S603 - it is ours
            [path],
            env={"CNI_COMMAND": "VERSION"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWER_SECONDS,
            check=False,
        )
    )


def _check_name(name: str) -> None:
    if name in {"", ".", "..", PASSTHRU} or "/" in name:
        raise CniError(
            Code.INVALID_CONFIGURATION,
            f"the plugin cannot have the name {name!r}",
            "give a file name such as multus",
        )


@contextmanager
def _io() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CniError(
            Code.IO_FAILURE, f"cannot install: {error}", "look at that file system on the node"
        ) from error
