"""The plugin on a node that is being left: it serves what is attached, and then removes itself.

Executed by the launcher that a removal leaves for attachments. It works without a daemon. All that
it needs is loaded before anything is removed, as the files of this package go too.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from multus_py.node import removal

if TYPE_CHECKING:
    from collections.abc import Callable

_RELEASING = frozenset({"DEL", "GC"})


def main(plugin: Callable[[], int], *, lib_dir: str) -> int:
    """Be the plugin; return its exit code. Afterwards remove the rest, if nothing is attached."""
    status = plugin()
    if os.environ.get("CNI_COMMAND") in _RELEASING and len(sys.argv) == 1:
        try:
            removal.finish(lib_dir)
        except Exception as error:  # noqa: BLE001 - the answer is given; the next call tries again
            sys.stderr.write(f"multus-py: the rest is not removed yet: {error}\n")
    return status
