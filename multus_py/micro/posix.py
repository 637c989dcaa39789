"""``posix``: files and processes."""

import os
import struct

from multus_py.micro import libc, signals, spawning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from multus_py.micro import environ

O_RDONLY, O_RDWR = 0, 2
X_OK = 1
WNOHANG = 1
CLONE_NEWNET = 0x40000000
POSIX_SPAWN_DUP2 = spawning.DUP2

_FIONBIO = 0x5421
_MFD_CLOEXEC = 1
_PIPE_BUF = 4096
"""Bytes for which there is room in a pipe that poll(2) says has any."""

close = libc.function("close", "i")
dup2 = libc.function("dup2", "ii")
fork = libc.function("fork", "")
geteuid = libc.function("geteuid", "")
killpg = libc.function("killpg", "ii")
listdir = os.listdir
lseek = libc.function("lseek", "ili", "l")
posix_spawn = spawning.posix_spawn
pidfd_open = libc.function("pidfd_open", "iI")
setns = libc.function("setns", "ii")
setsid = libc.function("setsid", "")
strerror = libc.bare("strerror", "i", "s")
_access = libc.bare("access", "pi", "i")
_close = libc.bare("close", "i", "i")
_chdir = libc.function("chdir", "p")
_execve = libc.function("execve", "ppp")
_exit = libc.bare("_exit", "i", "v")
_ioctl = libc.function("ioctl", "iLp")
_memfd_create = libc.function("memfd_create", "pI")
_open = libc.function("open", "pii")
_pipe2 = libc.function("pipe2", "pi")
_read = libc.function("read", "ipL", "l")
_waitpid = libc.function("waitpid", "ipi")
_write = libc.function("write", "ipL", "l")


class stat_result:
    """A part of what is known of a file: that of a ``struct statx``, the same everywhere."""

    SIZE = 256
    WANTED = 0x7FF
    """STATX_BASIC_STATS"""

    def __init__(self, statx: bytearray) -> None:
        (self.st_uid,) = struct.unpack_from("I", statx, 20)
        (self.st_mode,) = struct.unpack_from("H", statx, 28)
        (self.st_ino,) = struct.unpack_from("Q", statx, 32)
        self.st_dev = struct.unpack_from("II", statx, 136)


_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_statx = libc.function("statx", "ipiIp")


def stat(path: "str | bytes") -> stat_result:
    """Return what is known of the file at a path."""
    return _stat(_AT_FDCWD, _path(path), 0)


def fstat(descriptor: int) -> stat_result:
    """Return what is known of an open file."""
    return _stat(descriptor, b"\0", _AT_EMPTY_PATH)


def _stat(directory: int, path: bytes, flags: int) -> stat_result:
    room = bytearray(stat_result.SIZE)
    _statx(directory, path, flags, stat_result.WANTED, room)
    return stat_result(room)


def access(path: "str | bytes", mode: int) -> bool:
    """Tell whether something may be done with a file."""
    return bool(_access(_path(path), mode) == 0)


def open(path: "str | bytes", flags: int) -> int:
    """Open a file that exists. Programs that are started do not inherit the descriptor."""
    return _open(_path(path), flags | libc.CLOEXEC, 0)


def memfd_create(name: str) -> int:
    """Return a descriptor of a new file in memory, which programs do not inherit."""
    return _memfd_create(_path(name), _MFD_CLOEXEC)


def pipe() -> tuple[int, int]:
    """Return the ends of a pipe, for reading and for writing, which programs do not inherit."""
    ends = bytearray(struct.calcsize("ii"))
    _pipe2(ends, libc.CLOEXEC)
    reader, writer = struct.unpack("ii", ends)
    return reader, writer


def chdir(path: str) -> None:
    """Have another working directory."""
    _chdir(_path(path))


def set_blocking(descriptor: int, blocking: bool) -> None:
    """Have reads and writes wait, or not."""
    _ioctl(descriptor, _FIONBIO, struct.pack("i", not blocking))


def closerange(low: int, high: int) -> None:
    """Close all descriptors from one to before another, but what signals are read from."""
    for descriptor in range(low, high):
        if not signals.is_descriptor(descriptor):
            _close(descriptor)


_room = bytearray(64 * 1024)
"""What is read goes through it: to make such a one takes longer than to read."""


def read(descriptor: int, size: int) -> bytes:
    """Return what there is to be read, at most so many bytes; nothing at the end."""
    signals.wait_for(descriptor, libc.POLLIN, None)
    got = _read(descriptor, _room, min(size, len(_room)))
    return bytes(memoryview(_room)[:got])


def write(descriptor: int, content: "bytes | memoryview") -> int:
    """Write a part and return its size in bytes. Never waits where a signal would not be heard."""
    signals.wait_for(descriptor, libc.POLLOUT, None)
    return _write(descriptor, content, min(len(content), _PIPE_BUF))


def waitpid(pid: int, options: int) -> tuple[int, int]:
    """Return process ID and status of a child that has ended; 0 if there is none yet."""
    status = bytearray(struct.calcsize("i"))
    return _waitpid(pid, status, options), struct.unpack("i", status)[0]


def waitstatus_to_exitcode(status: int) -> int:
    """Return an exit code, or the negative number of the signal that ended a child."""
    return -(status & 0x7F) if status & 0x7F else status >> 8


def execve(path: str, command: "Iterable[str]", environment: "environ.Passed") -> None:
    """Become another program."""
    arguments, _kept = libc.array([libc.raw(word) for word in command])
    signals.restore()
    _execve(_path(path), arguments, environment.array)


def _path(path: "str | bytes") -> bytes:
    raw = libc.raw(path)
    if b"\0" in raw:
        raise ValueError("a path with NUL")
    return raw + b"\0"
