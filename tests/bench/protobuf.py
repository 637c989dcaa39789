"""What the API server stand-in has to know of protobuf: a pod's annotations, from a Go client.

Field numbers are those of Kubernetes: ``runtime.Unknown`` holds the type and the object, an object
its metadata, that its annotations, and each of them key and value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPE, _OBJECT = 1, 2
_KIND = 2
_METADATA = 1
_ANNOTATIONS = 12
_KEY, _VALUE = 1, 2

_BYTES = 2
"""The type of a field with a length; of the others 0 is a number, 1 has eight bytes, 5 has four."""
_FIXED = {1: 8, 5: 4}


def annotations_of_pod(message: bytes) -> dict[str, str]:
    """Return the annotations of a pod, nothing of anything else."""
    parts = dict(fields(message))
    if dict(fields(parts[_TYPE])).get(_KIND) != b"Pod":
        return {}
    metadata = dict(fields(parts[_OBJECT]))[_METADATA]
    entries = [dict(fields(value)) for number, value in fields(metadata) if number == _ANNOTATIONS]
    return {entry[_KEY].decode(): entry.get(_VALUE, b"").decode() for entry in entries}


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of a message's fields that have a length."""
    place = 0
    while place < len(message):
        tag, place = _number(message, place)
        if tag & 7 == _BYTES:
            length, place = _number(message, place)
            yield tag >> 3, message[place : place + length]
            place += length
        elif tag & 7 in _FIXED:
            place += _FIXED[tag & 7]
        else:
            _, place = _number(message, place)


def _number(message: bytes, place: int) -> tuple[int, int]:
    """Return the number that begins at a place, seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
