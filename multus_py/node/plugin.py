"""The executable, put into a directory of the host that a container sees under another path.

That is how Multus's images install it. Ours names its interpreter by a path of the host, so that
path has to be known, and to be right: an executable that names another one does not start.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multus_py.adapters import atomic
from multus_py.cni.errors import CniError, Code
from multus_py.node import bundle, installation, mounts
from multus_py.node.manifest import Places, temporary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multus_py.node.installation import Installed

_LIB_DIR = ".multus-py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the executable goes: the directory here, and what its name is on the host."""

    bin_dir: str
    bin_dir_host: str = ""
    """Empty where it follows from the other one, by the custom of ``/host``."""
    flag: str
    """That tells it, for people."""
    lib_dir: str = ""
    """For multus-py itself, the same here and on the host; a directory in ``bin_dir`` if empty."""
    socket_dir: str = "/run/multus-py"
    conf_dir: str = "/etc/cni/net.d"
    """On the host."""


def install(target: Target, names: Sequence[str]) -> Installed:
    """Install multus-py as ``names``, too; from the bundle that this runs from, if it does."""
    host = os.path.normpath(target.bin_dir_host or mounts.on_host(target.bin_dir))
    if not target.bin_dir_host:
        mounts.require_same(target.bin_dir, host, target.flag)
    mounts.link(target.bin_dir, host)
    return installation.install(
        Places(bin_dir=host, socket_dir=target.socket_dir, conf_dir=target.conf_dir),
        lib_dir=target.lib_dir or os.path.join(host, _LIB_DIR),
        names=names,
        source=bundle.running(),
    )


def copy(source: str, target: str) -> None:
    """Copy an executable with its mode; it is there completely or not at all, also while it runs.

    It may be larger than the memory that this process may use.
    """
    prepared = temporary(target)
    try:
        with suppress(FileNotFoundError):
            os.unlink(prepared)
        with open(source, "rb") as old, open(prepared, "xb") as new:
            shutil.copyfileobj(old, new)
            os.fchmod(new.fileno(), os.fstat(old.fileno()).st_mode & 0o7777)
            new.flush()
            os.fsync(new.fileno())
        os.rename(prepared, target)
        atomic.sync_directory(os.path.dirname(target))
    except OSError as error:
        with suppress(OSError):
            os.unlink(prepared)
        raise CniError(
            Code.IO_FAILURE,
            f"cannot copy {source} to {target}: {error.strerror}",
            "see that the file is in the image and the directory can be written",
        ) from error
