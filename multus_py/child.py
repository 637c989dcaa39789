"""A program that the shim runs to its end.

Like the shim it imports only what is compiled into the interpreter, and runs on MicroPython.
"""

import _signal  # type: ignore[import-not-found] # typeshed has it as signal only
import _socket
import posix
import select
import time

from multus_py import memory, wire

_STDERR_LIMIT = 256 * 1024
_BUSY_SECONDS = 5.0
"""How long a plugin may be busy with being written ("text file busy"), as it is while installed."""
_GRACE_SECONDS = 2.0
"""Between SIGTERM and SIGKILL, and from a plugin's end to giving up on what it left behind."""

_BUSY_INTERVAL = 0.05

_EAGAIN, _ETXTBSY = 11, 26
_SIGKILL, _SIGPIPE, _SIGTERM, _SIGXFSZ = 9, 13, 15, 25
_DEFERRED = (_signal.SIGTERM, _signal.SIGINT)


class Child:
    """A program that is run to its end, in a process group of its own."""

    def __init__(self, command: list[bytes], environment: dict[bytes, bytes]) -> None:
        """Start path and arguments; an ``OSError`` if that cannot be done.

        Signals wait until :meth:`reply`: a program that nobody knows of yet cannot be ended.
        """
        self._unsent = memoryview(b"")
        self._too_much = False
        self._status: int | None = None
        self._watch = -1
        self._mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _DEFERRED)
        try:
            self._pid, self._stdin, stdout, stderr = _started(command, environment, self._mask)
        except BaseException:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, self._mask)
            raise
        self._stdout, self._stderr = stdout, stderr
        self._open = {self._stdin, stdout, stderr}
        self._kept = {stdout: memory.Buffer(), stderr: memory.Buffer()}

    def reply(
        self, connection: _socket.socket, stdin: bytes, *, seconds: float, limit: int
    ) -> tuple[bytes, ...]:
        """Return the fields of the reply about it. It does not outlive the connection."""
        limits = {self._stdout: limit, self._stderr: _STDERR_LIMIT}
        in_time = False
        try:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, self._mask)
            self._watch = _watch(self._pid)
            in_time = self._exchange(connection, stdin, limits, time.monotonic() + seconds)
        finally:
            if not in_time:
                self._end()  # with its streams open still: it may have something to say
            for descriptor in self._open:
                posix.close(descriptor)
            self._look_away()
        if not in_time:
            return (wire.LATE,)
        if self._too_much:
            return (wire.FLOOD,)
        stdout, stderr = self._kept[self._stdout].content(), self._kept[self._stderr].content()
        return wire.ENDED, b"", b"%d" % (self._status or 0), stdout, stderr

    def _exchange(
        self, connection: _socket.socket, stdin: bytes, limits: dict[int, int], until: float
    ) -> bool:
        """Move bytes until the child and its streams have ended; tell whether it ended in time.

        A child that has ended may have left somebody behind who keeps its streams open; that one
        is not waited for.
        """
        self._unsent = memoryview(stdin)
        poller = self._poller(connection)
        graceful = False
        while self._open or not self._has_ended():
            if self._has_ended() and not graceful:
                graceful, until = True, min(until, time.monotonic() + _GRACE_SECONDS)
            if time.monotonic() > until:
                return self._has_ended()
            unseen = self._watch < 0 and not self._open  # its end, which has to be asked for then
            for descriptor, _ in poller.poll(1 if unseen else 50):
                self._move(descriptor, limits)
                if descriptor not in self._open:
                    poller.unregister(descriptor)
        return True

    def _poller(self, connection: _socket.socket) -> select.poll:
        poller = select.poll()
        poller.register(connection, select.POLLIN)
        if self._watch >= 0:
            poller.register(self._watch, select.POLLIN)
        for descriptor in self._open:
            posix.set_blocking(descriptor, False)
            what = select.POLLOUT if descriptor == self._stdin else select.POLLIN
            poller.register(descriptor, what)
        return poller

    def _move(self, descriptor: int, limits: dict[int, int]) -> None:
        if descriptor == self._stdin:
            self._feed()
        elif descriptor in self._kept:
            self._read(descriptor, limits[descriptor])
        elif descriptor == self._watch:
            self._look_away()
        else:
            raise wire.LostError("the daemon has gone, or speaks out of turn")

    def _feed(self) -> None:
        try:
            sent = posix.write(self._stdin, self._unsent[: memory.CHUNK])
            self._unsent = self._unsent[sent:]
        except OSError as error:
            if error.errno == _EAGAIN:
                return
            self._unsent = self._unsent[:0]  # a plugin need not read what it does not care for
        if not self._unsent:
            self._close(self._stdin)

    def _read(self, descriptor: int, limit: int) -> None:
        chunk = posix.read(descriptor, memory.CHUNK)
        if not chunk:
            self._close(descriptor)
        if descriptor == self._stderr:
            write_all(2, chunk)  # where kubelet and people look for it
        kept = self._kept[descriptor]
        room = limit - len(kept)
        kept.append(chunk[:room])
        if len(chunk) > room and descriptor != self._stderr:
            self._too_much = True

    def _close(self, descriptor: int) -> None:
        self._open.discard(descriptor)
        posix.close(descriptor)

    def _look_away(self) -> None:
        if self._watch >= 0:
            posix.close(self._watch)
            self._watch = -1

    def _has_ended(self) -> bool:
        if self._status is None:
            pid, status = posix.waitpid(self._pid, posix.WNOHANG)
            if pid:
                self._status = posix.waitstatus_to_exitcode(status)
        return self._status is not None

    def _end(self) -> None:
        """End it and the processes of its group: first kindly, then surely."""
        for number in (_SIGTERM, _SIGKILL):
            try:
                posix.killpg(self._pid, number)
            except OSError:  # nobody is left, or nobody that we may end
                break
            until = time.monotonic() + _GRACE_SECONDS
            while not self._has_ended() and time.monotonic() < until:
                time.sleep(0.005)


def _started(
    command: list[bytes], environment: dict[bytes, bytes], mask: set[int]
) -> tuple[int, int, int, int]:
    """Start a program; return its process ID and our ends of its three streams."""
    ends: list[int] = []
    try:
        for _ in range(3):
            ends += posix.pipe()
        theirs = (ends[0], ends[3], ends[5])
        pid = _spawned(command, environment, theirs, mask)
    except BaseException:
        for end in ends:
            posix.close(end)
        raise
    for end in theirs:
        posix.close(end)
    return pid, ends[1], ends[2], ends[4]


def _watch(pid: int) -> int:
    """Return a descriptor at which a child's end is seen at once, -1 where the kernel has none."""
    try:
        return posix.pidfd_open(pid, 0)
    except OSError:  # before Linux 5.3
        return -1


def _spawned(
    command: list[bytes],
    environment: dict[bytes, bytes],
    streams: tuple[int, int, int],
    mask: set[int],
) -> int:
    """Start a program with these streams, in a process group of its own; return its process ID."""
    duplicates = [(posix.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate(streams)]
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return posix.posix_spawn(
                command[0],
                command,
                environment,
                file_actions=duplicates,
                setpgroup=0,
                setsigmask=mask,
                setsigdef=(_SIGPIPE, _SIGXFSZ),  # which the interpreter ignores
            )
        except OSError as error:
            if error.errno != _ETXTBSY or time.monotonic() > until:
                raise
        time.sleep(_BUSY_INTERVAL)


def write_all(descriptor: int, content: bytes) -> bool:
    """Write everything; tell whether there was somebody to read it."""
    unwritten = memoryview(content)
    while unwritten:
        try:
            unwritten = unwritten[posix.write(descriptor, unwritten) :]
        except OSError as error:
            if error.errno != _EAGAIN:
                return False
            _wait_for_room(descriptor)
    return True


def _wait_for_room(descriptor: int) -> None:
    """Wait for whoever reads a stream that somebody has made non-blocking."""
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    poller.poll()
