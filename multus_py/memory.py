"""Bytes that pile up, how many it may be. Like the shim it runs on MicroPython.

MicroPython's own heap has two megabytes. What is larger than a chunk lies in memory of libc there.
"""

import sys

CHUNK = 64 * 1024
"""Bytes that are read and written at once."""

if sys.implementation.name != "micropython":

    class Buffer:
        """Bytes that grow at their end."""

        def __init__(self) -> None:
            self._parts: list[bytes] = []
            self._length = 0

        def __len__(self) -> int:
            return self._length

        def append(self, part: bytes) -> None:
            """Add bytes."""
            self._parts.append(part)
            self._length += len(part)

        def content(self) -> bytes:
            """Return all bytes."""
            return b"".join(self._parts)

    def give_back() -> None:
        """Free the memory of all buffers, where nobody else does."""

else:
    from multus_py.micro import heap

    Buffer = heap.Buffer  # type: ignore[misc,assignment] # of the same methods
    give_back = heap.give_back
