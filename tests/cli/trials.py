"""Runs of ``multus-py try`` in tests."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.system.runtime import PLUGIN
from tests.system.test_real_plugins import REAL

EXAMPLES = Path(__file__).parents[2] / "examples"

ORDINARY_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
"""Runs a program without any privilege, but that files of the tests' user are its own."""


@dataclass(frozen=True)
class Tried:
    status: int
    stdout: str
    stderr: str


def tried(
    *arguments: str, path: str = REAL, before: tuple[str, ...] = (), cwd: Path | None = None
) -> Tried:
    """Try manifests with the plugins on a path."""
    done = subprocess.run(
        [*before, *PLUGIN, "try", *arguments],
        env={**os.environ, "CNI_PATH": path},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Tried(done.returncode, done.stdout, done.stderr)


def plugin(directory: Path, name: str, text: str) -> str:
    """Put a plugin into a directory, and return a path with it before the real ones."""
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(text)
    (directory / name).chmod(0o755)
    return f"{directory}:{REAL}"


def processes_with(variable: str) -> list[str]:
    """Return the processes that have a variable in their environment, wherever they run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = path.read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it is over, or somebody else's; a zombie's environment is empty
        if variable.encode() in variables:
            found.append(path.parent.name)
    return found
