"""Plugins as child processes: found, fed, drained, and ended with everything they started.

Knows nothing of what a plugin's output means.
"""

from __future__ import annotations

import errno
import os
import selectors
import signal
import stat
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, TypeVar

from multus_py.cni import names
from multus_py.cni.errors import CniError, Code
from multus_py.core import mishaps
from multus_py.core.ports import PluginExit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from multus_py.core.ports import PluginCall

T = TypeVar("T")

_STDERR_LIMIT = 256 * 1024
_CHUNK = 64 * 1024

_BUSY_SECONDS = 5.0
"""How long a plugin may be busy with being written ("text file busy"), as it is while installed."""

_GRACE_SECONDS = 2.0
"""Between SIGTERM and SIGKILL, and from a plugin's end to giving up on what it left behind."""

_ENDING = (signal.SIGTERM, signal.SIGINT)


class Plugins:
    """Runs plugins with an environment of their own under the one given."""

    def __init__(self, environ: Mapping[str, str], *, own_executables: frozenset[str]) -> None:
        self._environ = {k: v for k, v in environ.items() if not k.startswith("CNI_")}
        self._own_executables = own_executables

    def run(self, call: PluginCall) -> PluginExit:
        """Find and run a plugin; see :class:`multus_py.core.ports.Host`."""
        path = self._find(call)
        container_id = call.environment.get("CNI_CONTAINERID", "")
        environ = {**self._environ, **call.environment, **mishaps.marked(container_id)}
        child: subprocess.Popen[bytes] | None = None
        try:
            with _signals_deferred():
                child = _spawned(path, environ)
            return _Conversation(child, call).finish()
        except BaseException:
            if child:
                _end(child)
            raise
        finally:
            if child:
                _hang_up(child)

    def _find(self, call: PluginCall) -> str:
        if not names.is_plugin_type(call.plugin):
            raise CniError(
                Code.INVALID_CONFIGURATION, f"{call.plugin!r} is not the name of a plugin"
            )
        for directory in call.path:
            path = os.path.join(directory, call.plugin)
            if _executable(path):
                if any(_is_same(path, own) for own in self._own_executables):
                    raise mishaps.recursion(path)
                return path
        raise mishaps.missing(call)


def _executable(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode) and os.access(path, os.X_OK)
    except (OSError, ValueError):
        return False


def _is_same(path: str, other: str) -> bool:
    """Tell whether two paths lead to one file, over symbolic or hard links."""
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False


@contextmanager
def _signals_deferred() -> Iterator[None]:
    """Let signals wait whose handlers may raise: a child that nobody knows of cannot be ended."""
    arrived: list[int] = []

    def note(number: int, frame: object) -> None:
        del frame
        arrived.append(number)

    in_main = threading.current_thread() is threading.main_thread()  # others handle no signals
    handlers = {number: signal.getsignal(number) for number in _ENDING if in_main}
    raising = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in raising:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in raising.items():
            signal.signal(number, handler)
        for late in arrived:
            signal.raise_signal(late)


def _spawned(path: str, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a plugin in a process group of its own.

    Descriptors marked as inheritable stay open in it: a container's lock is held by those who work
    under it, also when this process is killed.
    """
    try:
        return once_written(
            lambda: subprocess.Popen(  # noqa: S603 - to run plugins is what this is for
                [path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(environ),
                process_group=0,
                close_fds=False,
            )
        )
    except OSError as error:
        raise mishaps.unexecutable(f"cannot execute {path}: {error.strerror}") from error


def once_written(execute: Callable[[], T]) -> T:
    """Execute a file that may be busy with being written, and is waited for then.

    One that was written a moment ago may still be open in a process that was forked meanwhile
    (execve(2), ETXTBSY). Raises ``OSError``.
    """
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return execute()
        except OSError as error:
            if error.errno != errno.ETXTBSY or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


class _Conversation:
    """Feeds one child, and listens until it and its pipes have ended or its time is over."""

    def __init__(self, child: subprocess.Popen[bytes], call: PluginCall) -> None:
        self._child = child
        self._call = call
        self._unsent = memoryview(call.stdin)
        self._kept = {child.stdout: bytearray(), child.stderr: bytearray()}
        self._overflow = False
        self._selector = selectors.DefaultSelector()

    def finish(self) -> PluginExit:
        """Return how the child ended; an error if it had to be ended or said far too much."""
        child = self._child
        with self._selector:
            self._listen(child.stdin, selectors.EVENT_WRITE)
            self._listen(child.stdout, selectors.EVENT_READ)
            self._listen(child.stderr, selectors.EVENT_READ)
            in_time = self._exchange(time.monotonic() + self._call.seconds)
        if not in_time:
            raise mishaps.late(self._call)
        if self._overflow:
            raise mishaps.flood()
        return PluginExit(
            status=child.returncode,
            stdout=bytes(self._kept[child.stdout]),
            stderr=bytes(self._kept[child.stderr]),
        )

    def _listen(self, pipe: IO[bytes] | None, event: int) -> None:
        if pipe:
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, event)

    def _exchange(self, until: float) -> bool:
        """Move bytes until the child and its pipes have ended; tell whether it ended in time.

        A child that has ended may have left somebody behind who keeps its pipes open; that one is
        not waited for.
        """
        ended = False
        while self._selector.get_map() and time.monotonic() < until:
            if not ended and self._child.poll() is not None:
                ended = True
                until = min(until, time.monotonic() + _GRACE_SECONDS)
            for key, _ in self._selector.select(0.05):
                if key.fileobj is self._child.stdin:
                    self._feed(key)
                else:
                    self._read(key)
        return ended or self._ended_by(until)

    def _ended_by(self, until: float) -> bool:
        try:
            self._child.wait(max(until - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def _feed(self, key: selectors.SelectorKey) -> None:
        try:
            self._unsent = self._unsent[os.write(key.fd, self._unsent[:_CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = memoryview(b"")  # a plugin need not read what it does not want to know
        if not self._unsent:
            self._close(key)

    def _read(self, key: selectors.SelectorKey) -> None:
        chunk = os.read(key.fd, _CHUNK)
        if not chunk:
            self._close(key)
        if key.fileobj is self._child.stderr:
            _pass_on(chunk)
            self._keep(self._child.stderr, chunk, _STDERR_LIMIT)
        elif not self._keep(self._child.stdout, chunk, mishaps.OUTPUT_LIMIT):
            self._overflow = True

    def _keep(self, pipe: IO[bytes] | None, chunk: bytes, limit: int) -> bool:
        """Keep what there is room for, and tell whether that is all of it."""
        kept = self._kept[pipe]
        room = limit - len(kept)
        kept += chunk[:room]
        return len(chunk) <= room

    def _close(self, key: selectors.SelectorKey) -> None:
        self._selector.unregister(key.fileobj)
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is key.fileobj:
                with suppress(OSError):
                    pipe.close()


def _pass_on(chunk: bytes) -> None:
    """Show a plugin's standard error in ours, where kubelet and people look for it."""
    with suppress(OSError):
        while chunk:
            chunk = chunk[os.write(2, chunk) :]


def _hang_up(child: subprocess.Popen[bytes]) -> None:
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe:
            with suppress(OSError):
                pipe.close()


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a plugin and the processes of its group: first kindly, then surely."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_SECONDS)
