"""The processor architectures that are built for, and what each calls its parts."""

from __future__ import annotations

import platform
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """One of them, by its name in Debian and in images of containers."""

    name: str
    triplet: str
    """Names directories of libraries."""
    loader: str
    """The program that loads other programs, from libc's package."""
    wheels: str
    """The platform whose wheels are taken; its C library is no newer than the carried one."""


ARCHITECTURES = {
    "amd64": Architecture(
        "amd64", "x86_64-linux-gnu", "ld-linux-x86-64.so.2", "x86_64-manylinux_2_40"
    ),
    "arm64": Architecture(
        "arm64", "aarch64-linux-gnu", "ld-linux-aarch64.so.1", "aarch64-manylinux_2_40"
    ),
}


def here() -> str:
    """Return the name of this machine's own."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
