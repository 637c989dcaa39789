"""What of the interpreter and the libraries is not carried, because nothing of ours uses it.

Everything else is carried, so that an import in a corner of a library finds what it wants. That
all of the package still works is for ``tests/deploy/test_bundle.py`` to prove.
"""

from __future__ import annotations

import os
import re
import shutil
from fnmatch import fnmatch

STANDARD_LIBRARY = (
    # what cannot work without a screen, a terminal, an installer
    "curses",
    "dbm",
    "idlelib",
    "lib-dynload/_curses*",
    "lib-dynload/_dbm*",
    "lib-dynload/readline*",
    "tkinter",
    "turtle*",
    "venv",
    "webbrowser.py",
    "EXTERNALLY-MANAGED",
    # what developers use
    "_pyrepl",
    "cProfile.py",
    "doctest.py",
    "lib-dynload/_ctypes_test*",
    "lib-dynload/_lsprof*",
    "lib-dynload/_test*",
    "lib-dynload/_xx*",
    "lib-dynload/xx*",
    "lib2to3",
    "pdb.py",
    "profile.py",
    "pstats.py",
    "pydoc_data",
    "test",
    # mail, multimedia, jokes, other systems
    "__hello__.py",
    "__phello__",
    "_aix_support.py",
    "_android_support.py",
    "_apple_support.py",
    "_ios_support.py",
    "_osx_support.py",
    "antigravity.py",
    "ftplib.py",
    "imaplib.py",
    "lib-dynload/_codecs_*",
    "mailbox.py",
    "poplib.py",
    "smtplib.py",
    "this.py",
    "wave.py",
    "xmlrpc",
    # Debian's, for a tool that is not here
    "sitecustomize.py",
)
"""Names below ``lib/python3.13``."""

LIBRARIES = (
    # a second, asynchronous client; then what is generated for each kind of object in Kubernetes:
    # we ask with paths and read JSON
    "aiohappyeyeballs",
    "aiohttp",
    "aiohttp_retry",
    "aiosignal",
    "attr",
    "attrs",
    "frozenlist",
    "kubernetes/aio",
    "kubernetes/client/api",
    "kubernetes/client/apis",
    "kubernetes/client/models/*",
    "multidict",
    "propcache",
    "yarl",
    # of the synchronous client: what is on top of requests
    "kubernetes/dynamic",
    "kubernetes/informer",
    "kubernetes/leaderelection",
    "kubernetes/stream",
    "kubernetes/watch",
    "websocket",
    # what builds or describes
    "bin",
    "cffi",  # not what runs: that is _cffi_backend
    "grpc/_cython/_credentials",  # authorities of the internet, where a kubelet is asked
    "pycparser",
    "pydantic/mypy.py",
    "pydantic/v1",
    "tzdata",
    # parsing YAML in C, which no caller asks for
    "_yaml",
    "yaml/_yaml*",
    # tests
    "*/*_test.py",
    "*/test",
    "*/tests",
    "*/testing",
)
"""Names below the directory of libraries."""

_ANYWHERE = re.compile(r".*\.(a|c|cc|h|js|pxd|pxi|pyi|pyx|typed)$")
_KEEP = frozenset({"kubernetes/client/models/__init__.py"})
_IMPORTS = re.compile(r"^from \.\w* import (\([^)]*\)|.*)\n", re.MULTILINE)


def trim(directory: str, names: tuple[str, ...]) -> None:
    """Remove from a directory what has one of the names."""
    for parent, directories, files in os.walk(directory):
        for name in [*directories, *files]:
            path = os.path.join(parent, name)
            if not _is_idle(os.path.relpath(path, directory), names):
                continue
            if name in directories:
                directories.remove(name)
                shutil.rmtree(path)
            else:
                os.remove(path)


def _is_idle(path: str, names: tuple[str, ...]) -> bool:
    if path in _KEEP:
        return False
    return bool(_ANYWHERE.match(path)) or any(fnmatch(path, name) for name in names)


def quieten(entry: str) -> None:
    """Let a package's entry import nothing: it would import all that the package has."""
    with open(entry, encoding="utf-8") as file:
        text = file.read()
    with open(entry, "w", encoding="utf-8") as file:
        file.write(_IMPORTS.sub("", text))
