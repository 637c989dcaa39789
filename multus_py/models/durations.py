"""Lengths of time as Go writes them: ``10m``, ``1h30m``, ``2.5s``."""

from __future__ import annotations

import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


def seconds(text: str) -> float:
    """Return how long that is; ``ValueError`` if it is no length of time."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration like 10m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
