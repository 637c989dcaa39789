"""All of the bundle that is not ours: interpreter, libc, libraries; made of locked packages.

It takes ten seconds and a network, and changes with the locks only: it is kept below the cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy import debian, elf, trimming
from deploy.architecture import ARCHITECTURES, here

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.architecture import Architecture

PYTHON = "bin/python3"
MICROPYTHON = "bin/micropython"
STANDARD_LIBRARY = "lib/python3.13"
LIBRARIES = f"{STANDARD_LIBRARY}/dist-packages"
_PATHS = (STANDARD_LIBRARY, f"{STANDARD_LIBRARY}/lib-dynload", LIBRARIES)
"""All that the interpreter imports from. It stands in a file beside it, relative to that, so no
environment and no directory of the machine's own Python can be mixed in, and nothing is searched:
not in a root directory either, where the interpreter would not find itself (Modules/getpath.py).
"""

_HERE = os.path.dirname(os.path.abspath(__file__))
_REQUIREMENTS = os.path.join(os.path.dirname(_HERE), "requirements.lock")
_TOOLS = os.path.join(_HERE, "tools.lock")
_RECIPE = ("architecture", "bytecode", "debian", "elf", "runtime", "trimming")


def ensure(architecture: str, cache: str) -> str:
    """Return the directory of the runtime, built if it is not in the cache."""
    sources = _Sources(_unpacked(architecture, cache), _wheels(architecture, cache))
    return kept(
        os.path.join(cache, f"runtime-{architecture}-{_key()}"),
        lambda root: _build(ARCHITECTURES[architecture], sources, root, compiler(cache)),
    )


@dataclass(frozen=True, slots=True)
class _Sources:
    """Directories with what Debian's packages contain, and what wheels do."""

    debian: str
    wheels: str


def compiler(cache: str) -> list[str]:
    """Return a command: the interpreter that will be carried, as this machine can run it."""
    unpacked = _unpacked(here(), cache)
    architecture = ARCHITECTURES[here()]
    libraries = os.path.join(unpacked, "usr/lib", architecture.triplet)
    return [
        *(os.path.join(libraries, architecture.loader), "--library-path", libraries),
        os.path.join(unpacked, "usr/bin/python3.13"),
    ]


def compile_all(command: list[str], root: str, directory: str, *, replace: bool) -> None:
    """Compile the modules below ``root``/``directory`` with that interpreter."""
    script = os.path.join(_HERE, "bytecode.py")
    target = os.path.join(root, directory)
    what = "replace" if replace else "keep"
    subprocess.run([*command, "-ISB", script, root, target, what], check=True, env={})


def _key() -> str:
    """Return what changes with the locks and the recipe."""
    recipe = (os.path.join(_HERE, f"{name}.py") for name in _RECIPE)
    return _digest(*recipe, debian.LOCK, _REQUIREMENTS, _TOOLS)


def _digest(*paths: str) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()[:16]


def kept(directory: str, make: Callable[[str], None]) -> str:
    """Return a directory that is made once, and is there completely or not at all."""
    if not os.path.isdir(directory):
        scratch = f"{directory}.{os.getpid()}"
        shutil.rmtree(scratch, ignore_errors=True)
        make(scratch)
        try:
            os.rename(scratch, directory)
        except OSError:
            if not os.path.isdir(directory):
                raise
            shutil.rmtree(scratch)  # another build was faster
    return directory


def _unpacked(architecture: str, cache: str) -> str:
    """Return a directory with the content of Debian's packages."""

    def make(directory: str) -> None:
        files = debian.fetch(debian.locked(architecture), os.path.join(cache, "packages"))
        debian.unpack(files, directory)

    return kept(os.path.join(cache, f"debian-{architecture}-{_digest(debian.LOCK)}"), make)


def _wheels(architecture: str, cache: str) -> str:
    """Return a directory with the content of the wheels that the lock file names."""
    platform = ARCHITECTURES[architecture].wheels
    uv = os.path.join(os.path.dirname(sys.executable), "uv")

    def make(directory: str) -> None:
        subprocess.run(
            [
                *(uv, "pip", "install", "--quiet", "--target", directory, "--no-deps"),
                *("--require-hashes", "--only-binary", ":all:", "--link-mode", "copy"),
                *("--python-version", "3.13", "--python-platform", platform),
                *("--requirements", _REQUIREMENTS),
            ],
            check=True,
        )

    return kept(os.path.join(cache, f"wheels-{architecture}-{_digest(_REQUIREMENTS)}"), make)


def _build(architecture: Architecture, sources: _Sources, root: str, command: list[str]) -> None:
    unpacked = sources.debian
    os.makedirs(os.path.join(root, "bin"))
    for program, source in ((PYTHON, "python3.13"), (MICROPYTHON, "micropython")):
        shutil.copy(os.path.join(unpacked, "usr/bin", source), os.path.join(root, program))
    standard_library = os.path.join(root, STANDARD_LIBRARY)
    shutil.copytree(
        os.path.join(unpacked, "usr", STANDARD_LIBRARY),
        standard_library,
        ignore=shutil.ignore_patterns("__pycache__"),
        ignore_dangling_symlinks=True,  # to what is not unpacked
    )
    trimming.trim(standard_library, trimming.STANDARD_LIBRARY)
    _add_wheels(sources.wheels, root)
    compile_all(command, root, STANDARD_LIBRARY, replace=True)
    _add_libraries(architecture, unpacked, root)
    with open(os.path.join(root, f"{PYTHON}._pth"), "w", encoding="ascii") as paths:
        paths.writelines(f"../{path}\n" for path in _PATHS)
    _add_papers(unpacked, root)
    for program in (PYTHON, MICROPYTHON):
        elf.make_movable(
            os.path.join(root, program),
            loader=f"/lib/{architecture.loader}",
            libraries="$ORIGIN/../lib",
        )


def _add_wheels(wheels: str, root: str) -> None:
    """Carry the libraries, and their papers where no import looks for anything."""
    libraries = os.path.join(root, LIBRARIES)
    shutil.copytree(wheels, libraries)
    trimming.trim(libraries, trimming.LIBRARIES)
    for entry in ("kubernetes/__init__.py", "kubernetes/utils/__init__.py"):
        trimming.quieten(os.path.join(libraries, entry))
    for name in os.listdir(libraries):
        if name.endswith(".dist-info"):
            _keep_papers(os.path.join(libraries, name), os.path.join(root, "share/python", name))
        elif name.startswith("."):
            os.remove(os.path.join(libraries, name))


def _keep_papers(source: str, target: str) -> None:
    """Move licences, name and version: for lawyers, and for those who look for known holes."""
    for parent, _, files in os.walk(source):
        for name in files:
            path = os.path.join(parent, name)
            if name == "METADATA" or "licen" in path.lower() or "NOTICE" in name:
                kept = os.path.join(target, os.path.relpath(path, source))
                os.makedirs(os.path.dirname(kept), exist_ok=True)
                shutil.copy(path, kept)
    shutil.rmtree(source)


def _add_libraries(architecture: Architecture, unpacked: str, root: str) -> None:
    """Carry the loader, and each library that something carried needs, its own needs included."""
    source = os.path.join(unpacked, "usr/lib", architecture.triplet)
    waiting = {architecture.loader}
    for path in elf.binaries(root):
        waiting.update(elf.needed(path))
    while waiting:
        name = waiting.pop()
        target = os.path.join(root, "lib", name)
        if os.path.exists(target):
            continue
        if not os.path.exists(os.path.join(source, name)):
            raise SystemExit(f"{name} is needed, and in no package of deploy/debian.py")
        shutil.copy(os.path.join(source, name), target)
        waiting.update(elf.needed(target))


def _add_papers(unpacked: str, root: str) -> None:
    """Carry the licences of Debian's packages, and what they are."""
    shutil.copytree(
        os.path.join(unpacked, "var/lib/dpkg/status.d"), os.path.join(root, "share/dpkg/status.d")
    )
    documents = os.path.join(unpacked, "usr/share/doc")
    for package in sorted(os.listdir(documents)):
        copyright_ = os.path.join(documents, package, "copyright")
        if os.path.exists(copyright_):
            target = os.path.join(root, "share/doc", package)
            os.makedirs(target)
            shutil.copy(copyright_, target)
