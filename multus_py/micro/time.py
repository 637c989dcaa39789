"""``time``: what time it is, and waiting."""

import struct

from multus_py.micro import libc, signals

_CLOCK_MONOTONIC = 1
_TIMESPEC = "ll"
"""Seconds and nanoseconds."""

_clock_gettime = libc.function("clock_gettime", "ip")


def monotonic() -> float:
    """Return the seconds since some moment in the past."""
    now = bytearray(struct.calcsize(_TIMESPEC))
    _clock_gettime(_CLOCK_MONOTONIC, now)
    seconds, nanoseconds = struct.unpack(_TIMESPEC, now)
    return float(seconds + nanoseconds / 1e9)


def sleep(seconds: float) -> None:
    """Wait. Signals are handled meanwhile."""
    until = monotonic() + seconds
    while (left := until - monotonic()) > 0:
        signals.wait([], int(left * 1000) + 1)
