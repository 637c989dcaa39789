"""Bytes that pile up in memory of libc, as MicroPython's own heap is small."""

import uctypes

from multus_py.micro import libc

_SMALL = 64 * 1024

_free = libc.bare("free", "p", "v")
_memmove = libc.bare("memmove", "ppL", "p")
_realloc = libc.bare("realloc", "pL", "p")

_taken: set[int] = set()
"""Addresses of memory that is in use."""


class Buffer:
    """Bytes that grow at their end."""

    def __init__(self) -> None:
        self._length = 0
        self._small = b""
        self._address = 0
        self._room = 0

    def __len__(self) -> int:
        return self._length

    def append(self, part: bytes) -> None:
        """Add bytes."""
        if not self._address and self._length + len(part) <= _SMALL:
            self._small += part
            self._length += len(part)
            return
        if not self._address:
            small, self._length = self._small, 0
            self._add(small)
        self._add(part)

    def _add(self, part: bytes) -> None:
        if self._length + len(part) > self._room:
            self._room = 2 * (self._length + len(part))
            address = _realloc(self._address, self._room)
            if not address:
                raise MemoryError
            _taken.discard(self._address)
            _taken.add(address)
            self._address = address
        _memmove(self._address + self._length, part, len(part))
        self._length += len(part)

    def content(self) -> bytes:
        """Return all bytes; many of them as what they lie in, good until :func:`give_back`."""
        if not self._address:
            return self._small
        where = uctypes.bytearray_at(self._address, self._length)
        return memoryview(where)  # type: ignore[return-value] # as good, for who hands it on


def give_back() -> None:
    """Free the memory of all buffers, with what :meth:`Buffer.content` has returned."""
    while _taken:
        _free(_taken.pop())
