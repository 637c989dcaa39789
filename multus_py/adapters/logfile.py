"""Logging as Multus's keys describe it: ``logLevel``, ``logToStderr``, ``logFile``, ``logOptions``.

A line is ``<RFC 3339 time> [<level>] <message>``. Many processes of this plugin write one file at a
time, so lines are appended whole and rotation happens under a lock on the file.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import logging
import os
import re
import sys
import threading
import time
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from multus_py.models.config import LogOptions, MultusConfig
    from multus_py.models.settings import Settings

LEVELS = {
    "panic": logging.CRITICAL,
    "error": logging.WARNING,
    "verbose": logging.INFO,
    "debug": logging.DEBUG,
}
"""Multus's levels, from few lines to many."""

_NAMES = {number: name for name, number in LEVELS.items()} | {logging.ERROR: "error"}
_ROOT = "multus_py"
_MEGABYTE = 1024 * 1024
_DAY = 24 * 60 * 60
_STAMP = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}"


def configure(config: MultusConfig | Settings, *, per_request: bool = False) -> None:
    """Set up logging for this process as the configuration says.

    With ``per_request`` a thread may have its lines in another file too: see :func:`also_in`.
    """
    for untold in ("Threads", "Processes", "Multiprocessing", "AsyncioTasks"):
        setattr(logging, f"log{untold}", False)  # to find it out takes as long as to write a line
    handlers = _handlers(config)
    level = min((handler.level for handler in handlers), default=logging.CRITICAL)
    if per_request:
        handlers.append(_PerRequest())
        level = logging.DEBUG
    logger = logging.getLogger(_ROOT)
    logger.propagate = False
    logger.setLevel(level)
    logger.handlers = handlers or [logging.NullHandler()]


@contextmanager
def also_in() -> Iterator[Callable[[MultusConfig], None]]:
    """Let lines of this thread go to the file of one request's configuration too, once it is known.

    The context is entered before, so that the line about the whole request is among them.
    """

    def begin(config: MultusConfig) -> None:
        if config.log_file:
            _of_request.handlers = [
                handler for handler in _handlers(config) if isinstance(handler, RotatedFile)
            ]

    try:
        yield begin
    finally:
        _of_request.handlers = []


class _OfRequest(threading.local):
    """The handlers of the request that this thread answers."""

    handlers: list[RotatedFile] = []  # noqa: RUF012 - replaced, never changed


_of_request = _OfRequest()


class _PerRequest(logging.Handler):
    """Hands lines on to the handlers of the thread's request."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line on."""
        for handler in _of_request.handlers:
            if record.levelno >= handler.level:
                handler.handle(record)


def _handlers(config: MultusConfig | Settings) -> list[logging.Handler]:
    level = LEVELS.get(config.log_level.lower())
    if level is None:
        known = ", ".join(LEVELS)
        sys.stderr.write(f"multus-py: logLevel {config.log_level!r} is none of {known}\n")
    handlers: list[logging.Handler] = []
    if config.log_to_stderr:
        handlers.append(logging.StreamHandler())
    if config.log_file:
        handlers.append(RotatedFile(config.log_file, config.log_options))
    for handler in handlers:
        handler.setFormatter(_Lines())
        handler.setLevel(logging.CRITICAL if level is None else level)
    return handlers


class RotatedFile(logging.Handler):
    """Appends to a file that is moved aside when it is full, and forgets old ones.

    A log that cannot be written disturbs nobody: the first failure is told on standard error.
    """

    def __init__(self, path: str, options: LogOptions) -> None:
        super().__init__()
        self._path = path
        self._options = options
        self._failed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Append one line."""
        line = (self.format(record) + "\n").encode(errors="replace")
        try:
            self._append(line)
        except (OSError, ValueError) as error:
            if not self._failed:
                self._failed = True
                sys.stderr.write(f"multus-py: cannot write logFile {self._path}: {error}\n")

    def _append(self, line: bytes) -> None:
        os.makedirs(os.path.dirname(self._path) or ".", mode=0o755, exist_ok=True)
        descriptor = self._locked()
        try:
            size = os.fstat(descriptor).st_size
            if size and size + len(line) > (self._options.max_size or 100) * _MEGABYTE:
                self._rotate()
                os.close(descriptor)
                descriptor = self._locked()
            os.write(descriptor, line)
        finally:
            os.close(descriptor)

    def _locked(self) -> int:
        """Return a descriptor of the file, locked against rotation by other processes."""
        while True:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            descriptor = os.open(self._path, flags, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(self._path)):
                    return descriptor
            os.close(descriptor)  # it was rotated while we waited

    def _rotate(self) -> None:
        stem, extension = os.path.splitext(self._path)
        now = dt.datetime.now(dt.UTC)
        stamp = now.strftime("%Y-%m-%dT%H-%M-%S.") + f"{now.microsecond // 1000:03}"
        aside = f"{stem}-{stamp}{extension}"
        os.rename(self._path, aside)
        if self._options.compress:
            with suppress(FileNotFoundError):  # another process has forgotten it already
                _compress(aside)
        self._forget_old(stem, extension)

    def _forget_old(self, stem: str, extension: str) -> None:
        directory, prefix = os.path.split(f"{stem}-")
        aside = re.compile(re.escape(prefix) + _STAMP + re.escape(extension) + r"(\.gz)?")
        backups = sorted(name for name in os.listdir(directory or ".") if aside.fullmatch(name))
        limit = self._options.max_backups or len(backups)
        oldest = time.time() - self._options.max_age * _DAY if self._options.max_age else 0
        for position, name in enumerate(reversed(backups)):
            path = os.path.join(directory, name)
            with suppress(FileNotFoundError):  # other processes forget at the same time
                if position >= limit or os.stat(path).st_mtime < oldest:
                    os.unlink(path)


class _Lines(logging.Formatter):
    """Lines in the form of Multus's log."""

    def format(self, record: logging.LogRecord) -> str:
        level = _NAMES.get(record.levelno, "debug")
        line = f"{_stamp(int(record.created))} [{level}] {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


@lru_cache(maxsize=1)
def _stamp(second: int) -> str:
    """Return the local time that a line begins with; many lines are of one second."""
    return dt.datetime.fromtimestamp(second).astimezone().isoformat()


def _compress(path: str) -> None:
    import gzip  # once in a hundred megabytes
    import shutil

    os.close(os.open(path + ".gz", os.O_WRONLY | os.O_CREAT, 0o600))
    with open(path, "rb") as plain, gzip.open(path + ".gz", "wb") as packed:
        shutil.copyfileobj(plain, packed)
    os.unlink(path)
