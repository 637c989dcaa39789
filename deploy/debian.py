"""The interpreter and the libraries that are carried: packages of Debian 13, unpacked.

Versions and digests stand in ``debian.lock``, which ``make lock`` renews. apt fetches them with
lists of its own, so the machine may run any release of Debian, or be of another architecture.

Debian keeps the newest version of a package only. Where a locked one has gone, the newest is taken,
loudly: what is built then is good, but not what was built before. A version that has gone is had
from Debian's archive: ``DEBIAN=http://snapshot.debian.org/archive/debian/20261121T000000Z`` (and
``DEBIAN_SECURITY`` alike).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.architecture import ARCHITECTURES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LOCK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "debian.lock")
_RELEASE = "trixie"
_PACKAGES = (
    "micropython",  # needs libmbed*, which the shim does not
    "gcc-14-base",  # the licence of libgcc and libstdc++
    "python3.13-minimal",
    "libpython3.13-minimal",
    "libpython3.13-stdlib",
    "libc6",
    "libbz2-1.0",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libmbedcrypto16",
    "libmbedtls21",
    "libmbedx509-7",
    "libsqlite3-0",
    "libssl3t64",
    "libstdc++6",  # for wheels
    "libuuid1",
    "libzstd1",
    "zlib1g",
)
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True, slots=True)
class Package:
    """One version of a package."""

    architecture: str
    name: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        """The name that apt gives its file."""
        version = self.version.replace(":", "%3a")
        return f"{self.name}_{version}_{self.architecture}.deb"


def locked(architecture: str) -> list[Package]:
    """Return what the lock file has for an architecture."""
    with open(LOCK, encoding="ascii") as lines:
        packages = [Package(*line.split()) for line in lines if not line.startswith("#")]
    return [package for package in packages if package.architecture == architecture]


def fetch(packages: Iterable[Package], directory: str) -> list[str]:
    """Return the packages' files, which stay in ``directory`` for the next time."""
    packages = list(packages)
    os.makedirs(directory, exist_ok=True)
    files = {package: os.path.join(directory, package.file) for package in packages}
    wanted = [package for package, file in files.items() if not os.path.exists(file)]
    if wanted:
        with _apt(wanted[0].architecture) as apt:
            for package in wanted:
                files[package] = downloaded(apt, package, directory)
    for package, file in files.items():
        locked = os.path.basename(file) == package.file
        if locked and _digest(file) != package.sha256:
            raise SystemExit(f"{file} is not what debian.lock names. Next: delete it")
    return list(files.values())


def unpack(files: Iterable[str], directory: str) -> None:
    """Put what the packages contain into a directory, and what they are for those who look."""
    status = os.path.join(directory, "var/lib/dpkg/status.d")
    os.makedirs(status, exist_ok=True)
    for file in files:
        subprocess.run(["dpkg-deb", "--extract", file, directory], check=True)
        with open(os.path.join(status, os.path.basename(file).split("_")[0]), "wb") as control:
            subprocess.run(["dpkg-deb", "--field", file], stdout=control, check=True)


def downloaded(apt: Apt, package: Package, directory: str) -> str:
    """Return the file of a package that was not there, of a newer version if it has to be."""
    if apt.has(package):
        apt("download", f"{package.name}={package.version}", directory=directory)
        return os.path.join(directory, package.file)
    with tempfile.TemporaryDirectory(dir=directory) as newest:
        apt("download", package.name, directory=newest)
        (name,) = os.listdir(newest)
        os.replace(os.path.join(newest, name), os.path.join(directory, name))
    sys.stderr.write(
        f"warning: Debian has no {package.name} {package.version} any more, as debian.lock names; "
        f"{name} is carried. Next: make lock\n"
    )
    return os.path.join(directory, name)


class Apt:
    """apt-get with lists, cache and architecture of its own."""

    def __init__(self, state: str, architecture: str) -> None:
        self._options = [
            option
            for setting in (
                f"Dir::Etc::SourceList={state}/sources.list",
                "Dir::Etc::SourceParts=-",
                f"Dir::State={state}",
                f"Dir::State::Lists={state}/lists",
                "Dir::State::Status=/dev/null",
                f"Dir::Cache={state}/cache",
                f"APT::Architecture={architecture}",
                f"APT::Architectures={architecture}",
                "APT::Sandbox::User=",
                "Acquire::Languages=none",
                "Acquire::Check-Valid-Until=false",  # those of the archive are old
                "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
            )
            for option in ("-o", setting)
        ]

    def has(self, package: Package) -> bool:
        """Tell whether Debian has a version of a package."""
        found = self._run("apt-cache", "show", f"{package.name}={package.version}", directory="/")
        return bool(found.stdout.strip())

    def __call__(self, *arguments: str, directory: str = "/") -> None:
        """Run apt-get in a directory."""
        result = self._run("apt-get", *arguments, directory=directory)
        if result.returncode:
            sys.stderr.write(result.stderr)
            raise SystemExit(
                f"apt-get {arguments[0]} failed. Next: if a version is not found, run make lock, "
                "or name the archive (deploy/debian.py)"
            )

    def _run(
        self, command: str, *arguments: str, directory: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [command, "-qq", *self._options, *arguments],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
        )


@contextmanager
def _apt(architecture: str) -> Iterator[Apt]:
    mirror = os.environ.get("DEBIAN", "http://deb.debian.org/debian")
    security = os.environ.get("DEBIAN_SECURITY", "http://deb.debian.org/debian-security")
    with tempfile.TemporaryDirectory() as state:
        for name in ("lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(state, name))
        with open(os.path.join(state, "sources.list"), "w", encoding="ascii") as sources:
            sources.write(f"deb [signed-by={_KEYS}] {mirror} {_RELEASE} main\n")
            sources.write(f"deb [signed-by={_KEYS}] {security} {_RELEASE}-security main\n")
        apt = Apt(state, architecture)
        apt("update", "--error-on=any")
        yield apt


def _digest(file: str) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _newest(architecture: str) -> Iterator[Package]:
    """Yield what Debian has now. Fetches it, as only that proves it."""
    with _apt(architecture) as apt, tempfile.TemporaryDirectory() as directory:
        apt("download", *_PACKAGES, directory=directory)
        for name in sorted(os.listdir(directory)):
            package, version, _ = name.removesuffix(".deb").split("_")
            digest = _digest(os.path.join(directory, name))
            yield Package(architecture, package, version.replace("%3a", ":"), digest)


def main() -> None:
    """Renew the lock file."""
    argparse.ArgumentParser(description=main.__doc__).parse_args()
    lines = [
        f"{one.architecture} {one.name} {one.version} {one.sha256}\n"
        for architecture in ARCHITECTURES
        for one in _newest(architecture)
    ]
    with open(LOCK, "w", encoding="ascii") as lock:
        lock.write(f"# Debian {_RELEASE}: make lock writes this file.\n")
        lock.writelines(lines)


if __name__ == "__main__":
    main()
