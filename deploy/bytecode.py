"""Compile the modules below a directory. Run by the interpreter that will run them.

Usage: ``bytecode.py ROOT DIRECTORY keep|replace``. The bytecode names files as they are called
below ROOT, and is valid without a look at the source, which ``replace`` removes.
"""

from __future__ import annotations

import os
import py_compile
import sys


def compile_all(root: str, directory: str, *, replace: bool) -> None:
    """Compile in the order of names, so that the same source gives the same bytes."""
    for parent, directories, files in os.walk(directory):
        directories.sort()
        for name in sorted(files):
            if name.endswith(".py"):
                _compile(os.path.join(parent, name), root, replace=replace)


def _compile(source: str, root: str, *, replace: bool) -> None:
    py_compile.compile(
        source,
        cfile=f"{source}c" if replace else None,
        dfile="/" + os.path.relpath(source, root),
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if replace:
        os.remove(source)


if __name__ == "__main__":
    compile_all(sys.argv[1], sys.argv[2], replace=sys.argv[3] == "replace")
