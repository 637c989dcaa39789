"""Starting a program, with streams, signals and a process group of its own."""

import struct

from multus_py.micro import libc, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from multus_py.micro import environ

DUP2 = 2

_FILE_ACTIONS, _ATTRIBUTES = 80, 336
"""Bytes of glibc's structures."""
_SETPGROUP, _SETSIGDEF, _SETSIGMASK = 2, 4, 8

_spawn = libc.telling_errno("posix_spawn", "pppppp")
_actions_init = libc.telling_errno("posix_spawn_file_actions_init", "p")
_actions_adddup2 = libc.telling_errno("posix_spawn_file_actions_adddup2", "pii")
_actions_destroy = libc.telling_errno("posix_spawn_file_actions_destroy", "p")
_attr_init = libc.telling_errno("posix_spawnattr_init", "p")
_attr_setflags = libc.telling_errno("posix_spawnattr_setflags", "ph")
_attr_setpgroup = libc.telling_errno("posix_spawnattr_setpgroup", "pi")
_attr_setsigdefault = libc.telling_errno("posix_spawnattr_setsigdefault", "pp")
_attr_setsigmask = libc.telling_errno("posix_spawnattr_setsigmask", "pp")


def posix_spawn(
    path: bytes,
    command: "Iterable[bytes]",
    environment: "environ.Passed",
    *,
    file_actions: "Iterable[tuple[int, int, int]]",
    setpgroup: int,
    setsigmask: bytearray,
    setsigdef: "Iterable[int]",
) -> int:
    """Start a program and return its process ID; ``setsigmask`` is what ``_signal`` told."""
    arguments, _kept = libc.array(command)
    attributes = bytearray(_ATTRIBUTES)
    _attr_init(attributes)
    _attr_setpgroup(attributes, setpgroup)
    _attr_setsigmask(attributes, setsigmask)
    _attr_setsigdefault(attributes, signals.signal_set(setsigdef))
    _attr_setflags(attributes, _SETPGROUP | _SETSIGDEF | _SETSIGMASK)
    pid = bytearray(struct.calcsize("i"))
    actions = _actions(file_actions)
    try:
        _spawn(pid, path + b"\0", actions, attributes, arguments, environment.array)
    finally:
        _actions_destroy(actions)
    return int(struct.unpack("i", pid)[0])


def _actions(wanted: "Iterable[tuple[int, int, int]]") -> bytearray:
    made = bytearray(_FILE_ACTIONS)
    _actions_init(made)
    for _, source, target in wanted:  # they are all DUP2
        _actions_adddup2(made, source, target)
    return made
