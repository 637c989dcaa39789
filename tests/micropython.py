"""The MicroPython that bundles carry, for the sources of this checkout."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from functools import cache
from pathlib import Path

from deploy import shim
from multus_py.launcher import MicroPython, package_directory
from multus_py.node import bundle
from tests.deploy.built import BUNDLE, LOADER

_PROGRAM = "bin/micropython"


@cache
def micropython() -> MicroPython:
    """Return it, where it can run: programs name their loader by its absolute path."""
    carried = bundle.read(str(BUNDLE))
    assert carried, "make bundle"
    place = BUNDLE.parent / f"micropython-{carried.listed['digest'][:12]}"
    if not place.exists():
        _unpack(place)
    return MicroPython(str(place / _PROGRAM), str(_image()))


def _image() -> Path:
    """Return an image of the shim as its sources are now."""
    package = Path(package_directory()) / "multus_py"
    sources = [(package / f"{module}.py").read_bytes() for module in shim.modules(str(package))]
    digest = hashlib.sha256(b"\0".join(sources)).hexdigest()
    place = BUNDLE.parent / f"shim-{digest[:12]}.romfs"
    if not place.exists():
        scratch = place.with_name(f"{place.name}.{os.getpid()}")
        shim.write(str(package), str(scratch))
        scratch.rename(place)
    return place


def _unpack(place: Path) -> None:
    scratch = place.with_name(f"{place.name}.{os.getpid()}")
    (scratch / "lib").mkdir(parents=True)
    for library in (BUNDLE / "lib").glob("*.so*"):
        shutil.copy(library, scratch / "lib")
    program = scratch / _PROGRAM
    program.parent.mkdir()
    content = (BUNDLE / _PROGRAM).read_bytes()
    program.write_bytes(bundle.with_loader(content, str(place / LOADER)))
    program.chmod(0o755)
    with suppress(OSError):  # somebody else was faster
        scratch.rename(place)
