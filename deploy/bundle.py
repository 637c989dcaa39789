"""Build the bundle: a directory that runs on any Linux, with all that the package needs.

Its root may be the root of a container. Elsewhere, the path of the loader in ``bin/python3`` is
written anew (``multus-py install``). ``bundle.json`` lists every other file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import stat
from typing import TYPE_CHECKING, Any

from deploy import runtime, shim
from deploy.architecture import ARCHITECTURES, here

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = os.path.dirname(os.path.abspath(__file__))
_PACKAGE = os.path.join(os.path.dirname(_HERE), "multus_py")
SHIM = "lib/shim.romfs"
_EXECUTABLE = 0o755
_PLAIN = 0o644


def build(architecture: str, *, package: str, cache: str, target: str) -> None:
    """Build it in the directory ``target``, replacing what is there."""
    scratch = f"{target}.{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(runtime.ensure(architecture, cache), scratch, symlinks=True)
    _add_package(package, scratch, runtime.compiler(cache))
    shim.write(package, os.path.join(scratch, SHIM))
    loader = f"lib/{ARCHITECTURES[architecture].loader}"
    _set_modes(scratch, executable=(runtime.PYTHON, runtime.MICROPYTHON, loader))
    _write_description(scratch, architecture, loader)
    shutil.rmtree(target, ignore_errors=True)
    os.rename(scratch, target)


def _add_package(package: str, root: str, command: list[str]) -> None:
    """Carry our own code as source, so that a traceback shows its lines, and as bytecode."""
    name = os.path.basename(package)
    target = os.path.join(runtime.LIBRARIES, name)
    shutil.copytree(
        package,
        os.path.join(root, target),
        ignore=shutil.ignore_patterns("__pycache__", "*.pyi"),
    )
    runtime.compile_all(command, root, target, replace=False)


def _set_modes(root: str, *, executable: tuple[str, ...]) -> None:
    """Give every file one of two modes, whatever was in the packages or the checkout."""
    for path in _files(root):
        mode = _EXECUTABLE if path in executable else _PLAIN
        os.chmod(os.path.join(root, path), mode)
    for parent, _, _ in os.walk(root):
        os.chmod(parent, _EXECUTABLE)


def _write_description(root: str, architecture: str, loader: str) -> None:
    files = {path: _described(os.path.join(root, path)) for path in _files(root)}
    listed = json.dumps(files, sort_keys=True, separators=(",", ":"))
    description = {
        "version": _version(root),
        "architecture": architecture,
        "digest": hashlib.sha256(listed.encode()).hexdigest(),
        "python": runtime.PYTHON,
        "loader": loader,
        "library": runtime.LIBRARIES,
        "micropython": [runtime.MICROPYTHON, SHIM],
        "files": files,
    }
    path = os.path.join(root, "bundle.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(description, file, indent=1)
        file.write("\n")
    os.chmod(path, _PLAIN)


def _version(root: str) -> str:
    with open(os.path.join(root, runtime.LIBRARIES, "multus_py/version.py"), "rb") as file:
        found = re.search(rb'VERSION = "([^"]+)"', file.read())
    assert found
    return found[1].decode()


def _described(path: str) -> dict[str, Any]:
    if os.path.islink(path):
        return {"link": os.readlink(path)}
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"mode": stat.S_IMODE(os.stat(path).st_mode), "sha256": digest}


def _files(root: str) -> Iterator[str]:
    """Yield the paths of all files below a directory, relative to it and in order."""
    for parent, directories, files in os.walk(root):
        directories.sort()
        for name in sorted(files):
            yield os.path.relpath(os.path.join(parent, name), root)


def main() -> None:
    """Build the bundle."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("target", help="directory to make, replaced if it is there")
    parser.add_argument("--architecture", choices=sorted(ARCHITECTURES), default=here())
    parser.add_argument("--cache", default=".cache/deploy", help="directory for the next time")
    given = parser.parse_args()
    build(
        given.architecture,
        package=_PACKAGE,
        cache=os.path.abspath(given.cache),
        target=os.path.abspath(given.target),
    )


if __name__ == "__main__":
    main()
