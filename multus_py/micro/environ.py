"""The variables of this process, where libc has them. Only what is asked for is copied."""

import struct

import uctypes

from multus_py.micro import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_strlen = libc.bare("strlen", "P", "L")
_strncmp = libc.bare("strncmp", "PpL", "i")

_left: dict[tuple[bytes, ...], list[int]] = {}
"""Addresses of the variables without those of some prefixes, as far as they were asked for."""


class Passed:
    """Variables for another program, as C wants them."""

    def __init__(self, addresses: list[int], own: list[bytes]) -> None:
        self._own = own
        """What some of the addresses are of, which has to be kept."""
        self.array = struct.pack(f"{len(addresses) + 1}P", *addresses, 0)


def value(name: bytes) -> bytes:
    """Return a variable, nothing if it is not there."""
    found = beginning_with(name + b"=")
    return found[0][len(name) + 1 :] if found else b""


def beginning_with(prefix: bytes) -> list[bytes]:
    """Return those that begin like this, as ``NAME=VALUE``."""
    return [
        uctypes.bytes_at(address, _strlen(address))
        for address in _addresses()
        if _begins(address, prefix)
    ]


def passed_on(own: dict[bytes, bytes], *, but: list[bytes]) -> Passed:
    """Return those for another program: ``own`` ones, and ours but what begins like these."""
    texts = [b"=".join(pair) + b"\0" for pair in own.items()]
    return Passed(_without(tuple(but)) + [uctypes.addressof(text) for text in texts], texts)


def _without(prefixes: tuple[bytes, ...]) -> list[int]:
    """Return the addresses of all but those that begin like this, which are always the same."""
    if prefixes not in _left:
        _left[prefixes] = [
            address
            for address in _addresses()
            if not any(_begins(address, prefix) for prefix in prefixes)
        ]
    return _left[prefixes]


def _addresses() -> "Iterator[int]":
    place = libc.variable("environ")
    while place and (address := libc.pointer_at(place)):
        yield address
        place += libc.POINTER


def _begins(address: int, prefix: bytes) -> bool:
    return bool(_strncmp(address, prefix, len(prefix)) == 0)
