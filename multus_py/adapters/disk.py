"""Records, cached results, device information and configuration files on this node's disk.

What is written is complete or not there: a temporary file, synced, then renamed. Results are synced
together, before the runtime is answered. Files are 0600, directories 0700. The layout is Multus's:
``<cniDir>/<container ID>`` and ``<cniDir>/results/<network>-<container ID>-<interface>``.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from multus_py.adapters import atomic
from multus_py.cni import names
from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.cni.request import Attachment
from multus_py.core.ports import ConfigFile
from multus_py.models import cached as cached_result
from multus_py.models import device
from multus_py.models import record as records_model
from multus_py.models.delegate import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor, Future
    from contextlib import AbstractContextManager

    from multus_py.cni.document import JsonObject
    from multus_py.models.cached import CachedResult

    Lock = Callable[[str, float], AbstractContextManager[object]]

_RESULTS = "results"
_FURTHER = "@"
"""Between container ID and interface in the name of a second record of one container."""


class Disk:
    """What is kept below one ``cniDir``; see :class:`multus_py.core.ports.Store`."""

    def __init__(self, directory: str, *, lock: Lock, beside: Executor | None = None) -> None:
        """``lock(path, seconds)`` holds a lock by the name of a file.

        ``beside`` does what can be done while something else is, if there is one.
        """
        self._directory = directory
        self._results = os.path.join(directory, _RESULTS)
        self._lock = lock
        self._beside = beside
        self._unsettled: set[str] = set()
        self._decoded: tuple[bytes, Attachment, Record] | None = None

    def lock(self, container_id: str, seconds: float) -> AbstractContextManager[object]:
        """Keep other requests for this container out."""
        if container_id == _RESULTS:
            raise CniError(
                Code.INVALID_ENVIRONMENT,
                f"CNI_CONTAINERID {container_id} is the name of the directory of cached results",
                "give the container another ID",
            )
        with _io("prepare", self._directory):
            atomic.make_directory(self._directory)
        return self._lock(os.path.join(self._directory, f".{container_id}.lock"), seconds)

    # -- records

    def write_record(self, record: Record) -> None:
        """Write a record so that it survives a power cut."""
        _write(self._record_path(record.attachment), records_model.encode(record))

    def read_record(self, attachment: Attachment) -> Record | None:
        """Return the record of an attachment, None if there is none."""
        raw = _read(self._record_path(attachment))
        if raw is None:
            return None
        if self._decoded is None or self._decoded[:2] != (raw, attachment):
            self._decoded = raw, attachment, records_model.decode(raw, attachment)
        return self._decoded[2]

    def delete_record(self, attachment: Attachment) -> None:
        """Delete the record of an attachment, and what is left of one that was never finished."""
        for path in (self._record_path(attachment), self._further_path(attachment)):
            _delete(path)

    def records(self) -> list[Record]:
        """Return all records; one that cannot be read has no delegates."""
        listed = [
            self._listed(name)
            for name in _file_names(self._directory)
            if names.is_container_id(name.partition(_FURTHER)[0])
        ]
        return [record for record in listed if record]

    def _listed(self, name: str) -> Record | None:
        """Return a record, None if it was deleted meanwhile."""
        try:
            raw = _read(os.path.join(self._directory, name))
        except CniError:
            raw = b""
        if raw is None:
            return None
        container_id, _, ifname = name.partition(_FURTHER)
        attachment = Attachment(container_id, ifname or records_model.requested_ifname(raw))
        try:
            return records_model.decode(raw, attachment)
        except CniError:
            return Record(attachment=attachment, delegates=())

    def _record_path(self, attachment: Attachment) -> str:
        """Return the path of a record: the container ID, as Multus has it, for its first one.

        If that file is about another CNI_IFNAME of the container, the name has the interface too.
        """
        further = self._further_path(attachment)
        if os.path.exists(further):
            return further
        path = os.path.join(self._directory, attachment.container_id)
        owner = records_model.requested_ifname(_read(path) or b"")
        return path if owner in {"", attachment.ifname} else further

    def _further_path(self, attachment: Attachment) -> str:
        name = f"{attachment.container_id}{_FURTHER}{attachment.ifname}"
        return os.path.join(self._directory, name)

    # -- the CNI library's cache

    def write_result(self, cached: CachedResult) -> None:
        """Write a result into the CNI library's cache."""
        name = cached_result.file_name(cached.container_id, cached.ifname, cached.network_name)
        if fault := cached_result.file_name_fault(name):
            raise CniError(
                Code.INVALID_CONFIGURATION,
                f"the name of its cached result {fault}",
                "give the network a shorter name of letters and digits",
            )
        path = os.path.join(self._results, name)
        self._unsettled.add(path)
        _write(path, cached_result.encode(cached), lasting=False)

    def settle(self) -> None:
        """Wait until all results that were written would survive a power cut."""
        unsettled = tuple(self._unsettled)
        if not unsettled:
            return
        with _io("sync", self._results):
            for path in unsettled:
                with suppress(FileNotFoundError):  # it was deleted again
                    atomic.sync(path)
            atomic.sync_directory(self._results)
        self._unsettled.difference_update(unsettled)

    @contextmanager
    def settling(self) -> Iterator[None]:
        """Do what :meth:`settle` does before the context ends."""
        settled = self._begin_to_settle()
        try:
            yield
        finally:
            if settled:
                settled.result()

    def _begin_to_settle(self) -> Future[None] | None:
        """Settle, or have somebody do it; return what is to be waited for then."""
        if self._beside:
            with suppress(RuntimeError):  # there can be no more threads
                return self._beside.submit(self.settle)
        self.settle()
        return None

    def read_result(self, attachment: Attachment, network: str) -> CachedResult | None:
        """Return a cached result, None if there is none that can be read."""
        path = self._result_path(attachment, network)
        return _cached(path) if path else None

    def delete_result(self, attachment: Attachment, network: str) -> None:
        """Delete a cached result."""
        path = self._result_path(attachment, network)
        if path:
            _delete(path)

    def results(self) -> list[CachedResult]:
        """Return all cached results that can be read, oldest first."""
        paths = [os.path.join(self._results, name) for name in _file_names(self._results)]
        found = [_cached(path) for path in sorted(paths, key=_modified)]
        return [cached for cached in found if cached]

    def _result_path(self, attachment: Attachment, network: str) -> str | None:
        """Return where a cached result is, None if no file can have its name."""
        name = cached_result.file_name(attachment.container_id, attachment.ifname, network)
        return None if {"/", "\0"} & set(name) else os.path.join(self._results, name)

    # -- configuration files

    def config_files(self, directory: str) -> list[ConfigFile]:
        """Return the configuration files of a directory by name; none if it does not exist."""
        return [
            self.config_file(os.path.join(directory, name))
            for name in _file_names(directory)
            if name.endswith(_CONFIG_SUFFIXES)
        ]

    def config_file(self, path: str) -> ConfigFile:
        """Return a configuration file; ``NotFoundError`` if it does not exist."""
        content = _read(path)
        if content is None:
            raise NotFoundError(
                Code.NETWORK_NOT_FOUND, f"{path} does not exist", "correct the path"
            )
        return ConfigFile(path, content)

    def is_directory(self, path: str) -> bool:
        """Tell whether the path is a directory."""
        return os.path.isdir(path)

    # -- device information

    def copy_device_info(self, source: str, target: str) -> None:
        """Copy a device-info file over an older one, if there is a source."""
        content = _read(source)
        if content is not None:
            _write(target, content, mode=0o444)

    def read_device_info(self, path: str) -> JsonObject | None:
        """Return the content of a device-info file, None without one that can be read."""
        try:
            content = _read(path)
            return None if content is None else device.info(content)
        except CniError:
            return None

    def delete_device_info(self, path: str) -> None:
        """Delete a device-info file."""
        _delete(path)


_CONFIG_SUFFIXES = (".conf", ".json", ".conflist")


def _file_names(directory: str) -> list[str]:
    """Return the names of files in a directory, sorted, without hidden ones, which are ours."""
    try:
        found = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _failure("list", directory, error) from error
    visible = [name for name in found if not name.startswith(".")]
    return [name for name in visible if os.path.isfile(os.path.join(directory, name))]


def _modified(path: str) -> float:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _cached(path: str) -> CachedResult | None:
    try:
        raw = _read(path)
        return None if raw is None else cached_result.decode(raw)
    except CniError:
        return None


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        if _is_absent(error):
            return None
        raise _failure("read", path, error) from error


def _write(path: str, content: bytes, *, mode: int = 0o600, lasting: bool = True) -> None:
    with _io("write", path):
        atomic.make_directory(os.path.dirname(path))
        atomic.write(path, content, mode=mode, temporary=_temporary(path), lasting=lasting)


def _delete(path: str) -> None:
    """Delete a file, and what a write of it that was cut short has left."""
    with _io("delete", path):
        for name in (_temporary(path), path):
            try:
                os.unlink(name)
            except OSError as error:
                if not _is_absent(error):
                    raise


def _is_absent(error: Exception) -> bool:
    """Tell whether an error says that there is no such file; none has a name that is too long."""
    too_long = isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG
    return too_long or isinstance(error, FileNotFoundError | NotADirectoryError)


def _temporary(path: str) -> str:
    """Return where a file is prepared: always the same place, so that nothing piles up."""
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}.new")


@contextmanager
def _io(action: str, path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise _failure(action, path, error) from error


def _failure(action: str, path: str, error: Exception) -> CniError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return CniError(
        Code.IO_FAILURE, f"cannot {action} {path}: {reason}", "look at that file system on the node"
    )
