"""Being woken when something changes in a directory: by inotify, or by looking again and again.

A node may have used up its inotify instances. Whoever waits here looks by himself from time to time
as well: a wake-up may be lost, and a directory may not be there yet.
"""

from __future__ import annotations

import errno
import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from watchdog import events
from watchdog.observers import Observer
from watchdog.observers.polling import PollingObserver

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from watchdog.observers.api import BaseObserver, ObservedWatch

_LOG = logging.getLogger(__name__)

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOMEM, errno.ENOSYS, errno.EPERM}
_CHANGES: list[type[events.FileSystemEvent]] = [
    events.FileCreatedEvent,
    events.FileModifiedEvent,
    events.FileClosedEvent,
    events.FileDeletedEvent,
    events.FileMovedEvent,
]  # and not that a file is read, which is what happens next


class Watching(events.FileSystemEventHandler):
    """Calls ``wake``, from a thread of its own, when a file in one of the directories changes."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._observer: BaseObserver | None = None
        self._watched: dict[str, tuple[int, int]] = {}
        self._watches: dict[str, ObservedWatch] = {}
        self.polling = False

    def on_any_event(self, event: events.FileSystemEvent) -> None:
        """Wake."""
        del event
        self._wake()

    def cover(self, directories: Collection[str]) -> None:
        """Watch these directories, as far as they are there. To be called from time to time.

        A directory that was deleted and made again is another one.
        """
        try:
            for directory in directories:
                self._cover(directory)
        except OSError as error:
            if self.polling or error.errno not in _EXHAUSTED:
                return  # it is gone again, or the next call may do better
            _LOG.warning("no inotify (%s): configurations are looked at once a second", error)
            self.stop()
            self.polling = True
            self.cover(directories)

    def stop(self) -> None:
        """Watch no more."""
        if self._observer:
            self._observer.stop()
            self._observer.join()
            self._observer = None
        self._watched.clear()
        self._watches.clear()

    def _cover(self, directory: str) -> None:
        identity = _identity(directory)
        if identity == self._watched.get(directory):
            return
        self._forget(directory)
        if identity:
            self._watches[directory] = self._running().schedule(
                self, directory, event_filter=_CHANGES
            )
            self._watched[directory] = identity

    def _running(self) -> BaseObserver:
        if self._observer is None:
            observer: BaseObserver = PollingObserver() if self.polling else Observer()
            observer.start()
            self._observer = observer
        return self._observer

    def _forget(self, directory: str) -> None:
        self._watched.pop(directory, None)
        watch = self._watches.pop(directory, None)
        if watch and self._observer:
            with suppress(KeyError):  # it may know already that the directory is gone
                self._observer.unschedule(watch)


def _identity(directory: str) -> tuple[int, int] | None:
    try:
        found = os.stat(directory)
    except OSError:
        return None
    return found.st_dev, found.st_ino
