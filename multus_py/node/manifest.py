"""What an installation has put on the node, written down before it is put there.

Whenever the power fails, the manifest names everything that has to be taken away or put back;
things in it need not be there. It is in the directory of the installation, comes with it and goes
last.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from multus_py.adapters import atomic
from multus_py.cni.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Iterator

LIB_DIR = "/opt/cni/multus-py"

_FILE = "manifest.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The directories of a node that an installation is about."""

    bin_dir: str = "/opt/cni/bin"
    """Where container runtimes look for plugins."""
    socket_dir: str = "/run/multus-py"
    conf_dir: str = "/etc/cni/net.d"
    """Where container runtimes look for configurations."""
    cni_dir: str = "/var/lib/cni/multus"
    """Where records are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One installation."""

    places: tuple[Places, ...]
    """Those of the last installation first; what earlier ones have used is still to be removed."""
    launchers: tuple[str, ...] = ()
    """Paths of executables."""
    versions: tuple[str, ...] = ()
    """Names of carried versions, the one in use first, then the one before it."""
    made: tuple[str, ...] = ()
    """Directories that were not there: made by the installation, or later by what it installs."""
    given: tuple[str, ...] = ()
    """Paths of configurations that named this plugin before it was installed."""
    leaving: bool = False
    """Whether it stays only until the last attachment is released."""
    handed_back: bool = False
    """Whether Multus has got its node back, and with it the records."""


def missing(directory: str) -> tuple[str, ...]:
    """Return those of a directory and its parents that are not there, outermost first."""
    found: list[str] = []
    while not os.path.isdir(directory):
        found.append(directory)
        directory = os.path.dirname(directory)
    return tuple(reversed(found))


@contextmanager
def beginning(lib_dir: str) -> Iterator[None]:
    """Be the only one that begins an installation, where there is nothing to lock yet."""
    while not os.path.isdir(lib_dir):
        lib_dir = os.path.dirname(lib_dir)
    descriptor = os.open(lib_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read(lib_dir: str) -> Manifest | None:
    """Return the manifest of an installation, None if there is none."""
    path = os.path.join(lib_dir, _FILE)
    try:
        with open(path, "rb") as file:
            return _decoded(json.load(file))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CniError(
            Code.IO_FAILURE,
            f"cannot read {path}: {error.strerror}",
            "look at that file system on the node",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CniError(
            Code.DECODING_FAILURE,
            f"{path} is no manifest of multus-py",
            "delete it, and install again",
        ) from error


def write(lib_dir: str, manifest: Manifest) -> None:
    """Write the manifest; where there is no directory for it yet, together with that."""
    absent = missing(lib_dir)
    content = _encoded(manifest)
    if not absent:
        path = os.path.join(lib_dir, _FILE)
        atomic.write(path, content, temporary=temporary(path))
        return
    outermost = absent[0]
    prepared = temporary(outermost)
    shutil.rmtree(prepared, ignore_errors=True)
    inner = os.path.join(prepared, os.path.relpath(lib_dir, outermost))
    os.makedirs(inner, mode=0o755)
    atomic.write(os.path.join(inner, _FILE), content)
    os.rename(prepared, outermost)
    atomic.sync_directory(os.path.dirname(outermost))


def delete(lib_dir: str) -> None:
    """Delete the manifest, and what is left of one that was not finished."""
    path = os.path.join(lib_dir, _FILE)
    for name in (temporary(path), path):
        with suppress(FileNotFoundError):
            os.unlink(name)


def forget(lib_dir: str) -> None:
    """Delete what is left of an installation that was cut short before there was a manifest."""
    delete(lib_dir)
    for directory in missing(lib_dir):
        shutil.rmtree(temporary(directory), ignore_errors=True)


def temporary(path: str) -> str:
    """Return where something is prepared that gets its name when it is complete."""
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}.multus-py")


def _encoded(manifest: Manifest) -> bytes:
    value = {"format": _FORMAT, **dataclasses.asdict(manifest)}
    return json.dumps(value, indent=2).encode() + b"\n"


def _decoded(value: dict[str, Any]) -> Manifest:
    if value.pop("format") != _FORMAT:
        raise ValueError("format")
    places = tuple(Places(**place) for place in value.pop("places"))
    leaving, handed_back = (value.pop(key) is True for key in ("leaving", "handed_back"))
    lists = {key: tuple(map(str, listed)) for key, listed in value.items()}
    return Manifest(places=places, leaving=leaving, handed_back=handed_back, **lists)
