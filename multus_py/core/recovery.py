"""The network-status of a pod out of what the disk says of it, when the one of its ADD was lost.

A daemon that is killed while the API server is away takes the statuses that wait with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from multus_py.core import attachment
from multus_py.models import netstatus

if TYPE_CHECKING:
    from multus_py.core.inventory import Entry
    from multus_py.core.ports import Store


def annotation(entry: Entry, store: Store) -> str:
    """Return the annotation of a pod; nothing unless all its networks are known to be attached."""
    record = entry.record
    if record is None or record.pending or record.partial or not record.delegates:
        return ""
    undone = any(delegate.begun is not None for delegate in record.delegates)
    if undone or len(entry.attached) < len(record.delegates):
        return ""
    return netstatus.annotation(
        [
            attachment.status(delegate, entry.result_of(delegate).result, store)
            for delegate in record.delegates
        ]
    )
