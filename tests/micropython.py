"""The MicroPython that bundles carry, for the sources of this checkout."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from multus_py.launcher import MicroPython, package_directory
from multus_py.node import bundle
from tests.deploy.built import BUNDLE, LOADER

if TYPE_CHECKING:
    from pathlib import Path

_PROGRAM = "bin/micropython"


@cache
def micropython() -> MicroPython:
    """Return it, where it can run: programs name their loader by its absolute path."""
    carried = bundle.read(str(BUNDLE))
    assert carried, "make bundle"
    place = BUNDLE.parent / f"micropython-{carried.listed['digest'][:12]}"
    if not place.exists():
        _unpack(place)
    return MicroPython(str(place / _PROGRAM), package_directory())


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
