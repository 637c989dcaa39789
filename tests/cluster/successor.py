"""The version after this one, as far as a cluster can tell: the same under another number."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from deploy import bundle, image
from deploy.architecture import here
from multus_py.version import VERSION as THIS
from tests.cluster.deployment import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

VERSION = f"{THIS}.post1"
_CACHE = str(PROJECT / ".cache/deploy")


def write(directory: Path) -> Path:
    """Write its image below a directory; return the archive."""
    package, root, archive = directory / "multus_py", directory / "bundle", directory / "next.tar"
    shutil.copytree(PROJECT / "multus_py", package)
    stated = package / "version.py"
    stated.write_text(stated.read_text().replace(f'"{THIS}"', f'"{VERSION}"'))
    bundle.build(here(), package=str(package), cache=_CACHE, target=str(root))
    archive.write_bytes(image.image(str(root), _CACHE))
    return archive
