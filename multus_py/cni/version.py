"""Versions of the CNI specification: which there are, and what each allows."""

from __future__ import annotations

import re

from multus_py.cni.errors import CniError, Code

SUPPORTED = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
CURRENT = SUPPORTED[-1]
UNNAMED = "0.1.0"
"""What a missing ``cniVersion`` means (specification 0.1.0 did not ask for the key)."""

_FORM = re.compile(r"\d{1,9}\.\d{1,9}\.\d{1,9}", re.ASCII)
_SINCE = {"CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}


def answer(supported: tuple[str, ...] = SUPPORTED) -> dict[str, object]:
    """Return what VERSION is answered with."""
    return {"cniVersion": CURRENT, "supportedVersions": list(supported)}


def parts(version: str) -> tuple[int, ...]:
    """Return a version as numbers that compare; ``ValueError`` if it is none."""
    if not _FORM.fullmatch(version):
        raise ValueError(f"{version!r} is not of the form x.y.z")
    return tuple(int(part) for part in version.split("."))


def at_least(version: str, minimum: str) -> bool:
    """Tell whether ``version`` (empty: 0.1.0) is ``minimum`` or newer; nonsense is not."""
    try:
        return parts(version or UNNAMED) >= parts(minimum)
    except ValueError:
        return False


def has_command(version: str, command: str) -> bool:
    """Tell whether this version of the specification knows the command."""
    return at_least(version, _SINCE.get(command, UNNAMED))


def passes_previous_result(version: str) -> bool:
    """Tell whether CHECK and DEL get ``prevResult`` (since 0.4.0)."""
    return at_least(version, "0.4.0")


def negotiated(version: str, command: str) -> str:
    """Return the version to speak for a configuration's ``cniVersion``.

    Raises an error with code 1 if the version or the command in it is not supported.
    """
    hint = f"use a cniVersion out of {', '.join(SUPPORTED)}"
    if command in _SINCE and not has_command(version, command):
        since = _SINCE[command]
        raise CniError(
            Code.INCOMPATIBLE_VERSION,
            f"config version {version or UNNAMED} does not allow {command} (since {since})",
            hint,
        )
    if version and version not in SUPPORTED:
        raise CniError(Code.INCOMPATIBLE_VERSION, f"cniVersion {version!r} is not supported", hint)
    return version or UNNAMED
