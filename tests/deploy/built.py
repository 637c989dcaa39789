"""What ``make bundle`` has made, and roots in which nothing else is."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from deploy import image
from deploy.architecture import ARCHITECTURES, here
from tests.system.container import entered

_REPOSITORY = Path(__file__).parents[2]
CACHE = _REPOSITORY / ".cache" / "deploy"
BUNDLE = _REPOSITORY / "dist" / f"bundle-{here()}"
LOADER = f"lib/{ARCHITECTURES[here()].loader}"
PYTHON = (str(BUNDLE / LOADER), str(BUNDLE / "bin/python3"))
"""The carried interpreter, where its loader is not at the path that it names."""


def described() -> Any:
    """Return what the bundle says of itself."""
    return json.loads((BUNDLE / "bundle.json").read_bytes())


class Root:
    """A directory that is the root of a file system for some processes."""

    def __init__(self, directory: Path, *shared: Path) -> None:
        self.directory = directory
        self._shared = shared

    def sharing(self, *directories: Path) -> Root:
        """Return it with directories of the node at the same place in it, as in a container.

        Only the processes that it runs see them: a copy of what is mounted on a file would keep
        whoever sees it, and that is the other tests, from removing that file.
        """
        return Root(self.directory, *directories)

    def command(self, *words: str) -> tuple[str, ...]:
        """Return a command that runs another one in the root."""
        return (*entered(self.directory, {str(path): path for path in self._shared}), *words)

    def run(
        self, *words: str, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the root, with no environment but this."""
        return subprocess.run(
            self.command(*words),
            env={"PATH": os.environ["PATH"], **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


def root_of_image(directory: Path) -> Root:
    """Unpack the root of an image with the bundle."""
    image.unpack(image.layer(str(BUNDLE)), str(directory))
    return Root(directory)
