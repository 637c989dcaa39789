"""The network-status of a pod out of what the disk says of it, when the one of its ADD was lost.

A daemon that is killed while the API server is away takes the statuses that wait with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from multus_py.models import netstatus
from multus_py.models.netstatus import NetworkStatus

if TYPE_CHECKING:
    from multus_py.core.inventory import Entry
    from multus_py.core.ports import Store
    from multus_py.models.delegate import Delegate


def annotation(entry: Entry, store: Store) -> str:
    """Return the annotation of a pod; nothing unless all its networks are known to be attached."""
    record = entry.record
    if record is None or record.pending or record.partial or not record.delegates:
        return ""
    undone = any(delegate.begun is not None for delegate in record.delegates)
    if undone or len(entry.attached) < len(record.delegates):
        return ""
    return netstatus.annotation([_status(entry, one, store) for one in record.delegates])


def _status(entry: Entry, delegate: Delegate, store: Store) -> NetworkStatus:
    path = delegate.device_info_file
    return NetworkStatus(
        name=delegate.name,
        result=entry.result_of(delegate).result.current,
        default=delegate.master,
        device_info=store.read_device_info(path) if path else None,
    )
