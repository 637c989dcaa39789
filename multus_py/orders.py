"""What a daemon may order a shim to do on the host, and what it may not.

Programs that run here are files of root in directories that the runtime or the installation named,
with no other variables than those of a CNI request: a daemon that was taken over gains no more.
Like the shim it imports only what is compiled into the interpreter, and runs on MicroPython.
"""

import _socket
import posix

from multus_py import child, variables, view, wire

_HELPER_LIMIT = 64 * 1024
_VARIABLES_LIMIT = 128 * 1024
"""Bytes: as much as the kernel takes in one variable (MAX_ARG_STRLEN, execve(2))."""
_E2BIG = 7
_TYPE, _REGULAR, _WRITABLE_BY_OTHERS = 0o170000, 0o100000, 0o022

_OF_REQUEST = b"CNI_"
_RUNNING_FOR = b"MULTUS_PY_RUNNING_FOR"
"""See :mod:`multus_py.core.mishaps`."""


class Orders:
    """Carries out the orders that come over one connection after the other."""

    def __init__(self, *, directories: list[bytes], launcher: str, python: tuple[str, ...]) -> None:
        """Plugins are run from ``directories``; ``launcher`` and ``python`` as for the shim."""
        self._directories = {name.rstrip(b"/") for name in directories if name.startswith(b"/")}
        self._launcher = launcher
        self._python = python
        self.lent: list[int] = []
        """Descriptors that whatever is run inherits."""
        self.have_acted = False
        """Whether anything has been run, which nobody but the daemon knows how to undo."""

    def give_back(self) -> None:
        """Close what was lent."""
        while self.lent:
            posix.close(self.lent.pop())

    def do(self, connection: _socket.socket, kind: int, fields: list[bytes]) -> tuple[bytes, ...]:
        """Return the fields of the reply."""
        if kind == wire.RUN:
            return self._run_plugin(connection, fields)
        if kind == wire.HELP:
            helper = [word.encode() for word in self._python] + [b"-m", b"multus_py.helper"]
            seconds, stdin = wire.seconds(fields[0]), fields[1]
            return self._run(connection, helper, stdin, seconds=seconds, limit=_HELPER_LIMIT)
        if kind == wire.LOOK:
            return view.look(*[bytes(field) for field in fields[:3]])
        if kind == wire.LEND:
            return (wire.ENDED,) if self.lent else (wire.FAILED, b"no descriptor has come")
        if kind == wire.RETURN:
            self.give_back()
            return (wire.ENDED,)
        return (wire.UNABLE,)

    def _run_plugin(self, connection: _socket.socket, fields: list[bytes]) -> tuple[bytes, ...]:
        taken = _refusal_of_link(bytes(fields[5]))
        if taken:
            return taken
        path, refusal = self._find(bytes(fields[3]).split(b"\0"))
        return refusal or self._run(
            connection,
            [path],
            fields[2],
            told=bytes(fields[4]),
            seconds=wire.seconds(fields[0]),
            limit=wire.number(fields[1]),
        )

    def _run(
        self,
        connection: _socket.socket,
        command: list[bytes],
        stdin: bytes,
        *,
        seconds: float,
        limit: int,
        told: bytes = b"",
    ) -> tuple[bytes, ...]:
        self.have_acted = True
        if len(told) > _VARIABLES_LIMIT:
            return _not_executed(command, _E2BIG)
        try:
            started = child.Child(command, _environment(told))
        except OSError as error:
            return _not_executed(command, error.errno or 0)
        return started.reply(connection, stdin, seconds=seconds, limit=limit)

    def _find(self, paths: list[bytes]) -> tuple[bytes, tuple[bytes, ...]]:
        """Return the first of the files that can be executed, or the reply that refuses."""
        for path in paths:
            try:
                status = posix.stat(path)
            except OSError:
                continue
            if status.st_mode & _TYPE == _REGULAR and posix.access(path, posix.X_OK):
                return path, self._refusal(path, status)
        return b"", (wire.MISSING,)

    def _refusal(self, path: bytes, status: posix.stat_result) -> tuple[bytes, ...]:
        if view.leads_to(self._launcher, status):
            return wire.OURSELVES, path
        directory = path.rpartition(b"/")[0].rstrip(b"/")
        if directory not in self._directories or not path.startswith(b"/"):
            return wire.UNTRUSTED, path + b" is in no directory of CNI_PATH or the installation"
        if status.st_uid not in (0, posix.geteuid()):
            return wire.UNTRUSTED, path + b" does not belong to root"
        if status.st_mode & _WRITABLE_BY_OTHERS:
            return wire.UNTRUSTED, path + b" can be written by others than root"
        return ()


def is_of_request(name: bytes) -> bool:
    """Tell whether a variable of the environment belongs to a request, and to nothing else."""
    return name.startswith(_OF_REQUEST) or name == _RUNNING_FOR


def variables_of_request() -> list[bytes]:
    """Return the variables of this process that are a request, as ``NAME=VALUE``."""
    return variables.beginning_with(_OF_REQUEST) + variables.beginning_with(_RUNNING_FOR + b"=")


def _refusal_of_link(place: bytes) -> tuple[bytes, ...]:
    """Return the reply if a link is there, or may be, that must not be."""
    if not place:
        return ()
    netns, _, name = place.partition(b"\0")
    seen = view.look(wire.LINK, netns, name)
    if seen[0] == wire.NO:
        return ()
    if seen[0] == wire.YES:
        return (wire.TAKEN,)
    return (wire.BLIND, seen[1]) if seen[0] == wire.FAILED else seen


def _not_executed(command: list[bytes], number: int) -> tuple[bytes, ...]:
    reason = posix.strerror(number).encode()
    return wire.FAILED, b"cannot execute %s: %s" % (command[0], reason)


def _environment(told: bytes) -> dict[bytes, bytes]:
    """Return this process's environment with another request's variables, and no others."""
    own = {}
    for variable in told.split(b"\0"):
        name, _, value = variable.partition(b"=")
        if is_of_request(name):
            own[name] = value
    replaced = [name + b"=" for name in own if not name.startswith(_OF_REQUEST)]
    return variables.passed_on(own, but=[_OF_REQUEST] + replaced)
