"""The C library, called from MicroPython: numbers and buffers in, a number or ``OSError`` out.

Types are those of MicroPython's module ``ffi``. A buffer that a structure points to is kept by
whoever made the structure; the collector moves nothing.
"""

import os
import struct

import ffi
import uctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

POINTER = struct.calcsize("P")

EINTR, EAGAIN, ETIMEDOUT = 4, 11, 110
CLOEXEC, NONBLOCK = 0o2000000, 0o4000
"""Of open(2), pipe2(2), socket(2) and signalfd(2) alike."""
POLLIN, POLLOUT = 1, 4

_LIBC = ffi.open("libc.so.6")


def bare(name: str, arguments: str, result: str) -> "Callable[..., Any]":
    """Return a function of libc as it is."""
    called: Callable[..., Any] = _LIBC.func(result, name, arguments)
    return called


def function(name: str, arguments: str, result: str = "i") -> "Callable[..., int]":
    """Return a function of libc that raises ``OSError`` where that one returns -1.

    A call that a signal has interrupted is made again.
    """
    called = bare(name, arguments, result)

    def call(*given: object) -> int:
        while True:
            returned: int = called(*given)
            if returned >= 0:
                return returned
            number = os.errno()  # type: ignore[attr-defined] # MicroPython has it
            if number != EINTR:
                raise OSError(number)

    return call


def telling_errno(name: str, arguments: str) -> "Callable[..., None]":
    """Return a function of libc that returns the number of an error, raised as ``OSError``."""
    called = bare(name, arguments, "i")

    def call(*given: object) -> None:
        number = called(*given)
        if number:
            raise OSError(number)

    return call


def variable(name: str) -> int:
    """Return the value of a variable that is a pointer."""
    return int(_LIBC.var("P", name).get())


def pointer_at(address: int) -> int:
    """Return the pointer that stands at an address."""
    return int(struct.unpack("P", uctypes.bytes_at(address, POINTER))[0])


def raw(text: "str | bytes") -> bytes:
    """Return a text as the kernel wants it."""
    return text.encode() if isinstance(text, str) else text


def array(texts: "Iterable[bytes]") -> tuple[bytes, list[bytes]]:
    """Return an array of C strings, with an end, and what it points to, which has to be kept."""
    kept = [text + b"\0" for text in texts]
    addresses = [uctypes.addressof(text) for text in kept]
    return struct.pack(f"{len(kept) + 1}P", *addresses, 0), kept
