"""The frames between the shim, which runs plugins on the host, and the daemon, which decides.

A frame is ``mp``, a version, a kind, the length of the rest, and fields, each with its own length;
numbers are big-endian, texts UTF-8. Kinds and the order of fields never change. A newer side may
append fields, which an older one ignores; what an older one does not send is empty. So neighbours
understand each other. Frames of another ``VERSION`` are refused.

Like the shim it imports nothing that is not compiled into the interpreter, and runs on MicroPython.
"""

import _socket
import sys

from multus_py import memory

VERSION = 1
LEVEL = 2
"""What this side knows: told in the first frame, raised with every kind or field that is added."""

CONDITIONAL = 2
"""The level from which on a shim refuses a RUN for a link that is there."""

FIELDS = 6
"""So many has the longest order."""

LIMIT = 24 * 1024 * 1024
"""Bytes in a frame: the largest configuration, or what is kept of a plugin's output, and change."""

# from the shim
REQUEST = 1
"""level, stdin, variables, what LOOK would see of OWN_NETNS: what the runtime asked for.

Variables are ``NAME=VALUE``, separated by NUL."""
CARRIER = 2
"""level, ``CNI_PATH``: this process has nothing to ask and runs plugins."""
REPLY = 3
"""how (below), detail, exit status, stdout, stderr: the answer to each order of the daemon."""

# from the daemon
ACCEPTED = 16
"""The request is in good hands. Without this the shim does the job by other means."""
ANSWER = 17
"""exit status, stdout, seconds to stay as carrier (0: do not): the end of a request."""
RUN = 18
"""seconds, bytes of stdout to keep, stdin, paths, variables, link: run the first that exists.

The paths are absolute and separated by NUL. Of the variables only those of a request count. The
link is the path of a namespace, NUL and a name: if it is there, nothing is run."""
HELP = 19
"""seconds, stdin: run our own helper (:mod:`multus_py.helper`) on the host."""
LOOK = 20
"""what (below), path, name: look at the host."""
LEND = 21
"""Comes with a descriptor, which whatever is run from now on inherits: the container's lock."""
RETURN = 22
"""Close what was lent. ANSWER implies it."""

# how a REPLY begins
ENDED = b"ended"
"""It ran to its end."""
MISSING = b"missing"
"""There is no such plugin."""
LATE = b"late"
"""It took too long and was ended."""
FLOOD = b"flood"
"""It printed more than is kept."""
OURSELVES = b"ourselves"
"""It is this very program. detail: its path."""
UNTRUSTED = b"untrusted"
"""It is a file that is not run. detail: which and why."""
TAKEN = b"taken"
"""The link is there already."""
BLIND = b"blind"
"""It cannot be seen whether the link is there. detail: why."""
FAILED = b"failed"
"""It could not be done. detail: why."""
YES, NO = b"yes", b"no"
"""What LOOK has seen."""
UNABLE = b"unable"
"""This side cannot do that. The helper can."""

# what LOOK asks
OWN_NETNS = b"own-netns"
"""Is the namespace at the path the one that plugins are executed in?"""
LINK = b"link"
"""Is there a link of that name in the namespace at the path?"""
FILE = b"file"
"""Is there a file at the path?"""

_HEADER = 8
_DESCRIPTOR = 4
"""Bytes of a descriptor's number in a message of the kernel."""


class LostError(Exception):
    """The other side is gone."""


class GarbledError(LostError):
    """What came, or was to be sent, is no frame of ours. The connection is of no further use."""


def packed(kind: int, *fields: bytes) -> bytes:
    """Return a frame."""
    return b"".join(_parts(kind, *fields))


def _parts(kind: int, *fields: bytes) -> list[bytes]:
    """Return a frame in parts, which follow each other. Only small fields are copied."""
    length = sum([4 + len(field) for field in fields])
    if length > LIMIT:
        raise GarbledError(f"frame of {length} bytes")
    parts = [b"mp" + bytes((VERSION, kind)) + length.to_bytes(4, "big")]
    for field in fields:
        parts[-1] += len(field).to_bytes(4, "big")
        if len(field) <= memory.CHUNK:
            parts[-1] += field
        else:
            parts += [field, b""]
    return parts


def send(connection: _socket.socket, kind: int, *fields: bytes) -> None:
    """Send a frame."""
    try:
        for part in _parts(kind, *fields):
            connection.sendall(part)
    except OSError as error:
        raise LostError(str(error)) from None


def receive(
    connection: _socket.socket, *, least: int = 0, descriptors: list[int] | None = None
) -> tuple[int, list[bytes]]:
    """Return kind and fields of the next frame, with empty fields up to ``least``.

    Descriptors that come with it are appended to ``descriptors``. The connection's timeout holds
    for each part that comes, not for the whole.
    """
    header = _header(connection, descriptors)
    if header[:2] != b"mp":
        raise GarbledError("no frame of multus-py")
    if header[2] != VERSION:
        raise GarbledError(f"frame of version {header[2]}, not {VERSION}")
    length = int.from_bytes(header[4:], "big")
    if length > LIMIT:
        raise GarbledError(f"frame of {length} bytes")
    fields = _fields(_exactly(connection, length))
    return header[3], fields + [b""] * (least - len(fields))


def lend(connection: _socket.socket, descriptor: int) -> None:
    """Send a frame LEND with a descriptor."""
    right = descriptor.to_bytes(_DESCRIPTOR, sys.byteorder)
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, right)
    try:
        connection.sendmsg([packed(LEND)], [rights])
    except OSError as error:
        raise LostError(str(error)) from None


def _header(connection: _socket.socket, descriptors: list[int] | None) -> bytes:
    if descriptors is None:
        return _exactly(connection, _HEADER)
    try:
        start, ancillary, _, _ = connection.recvmsg(_HEADER, _socket.CMSG_SPACE(_DESCRIPTOR))
    except OSError as error:
        raise LostError(str(error)) from None
    for _, _, content in ancillary:  # there is no other kind between unix sockets than rights
        for place in range(0, len(content), _DESCRIPTOR):
            right = content[place : place + _DESCRIPTOR]
            descriptors.append(int.from_bytes(right, sys.byteorder))
    if not start:
        raise LostError("connection closed")
    return start + _exactly(connection, _HEADER - len(start))


def _exactly(connection: _socket.socket, length: int) -> bytes:
    """Return so many bytes. Room is made for what comes, not for what is announced."""
    received = memory.Buffer()
    while len(received) < length:
        try:
            part = connection.recv(min(length - len(received), memory.CHUNK))
        except OSError as error:
            raise LostError(str(error)) from None
        if not part:
            raise LostError("connection closed")
        received.append(part)
    return received.content()


def number(field: bytes) -> int:
    """Return a field that is a whole number; one that is empty is 0."""
    try:
        return int(bytes(field) or b"0")
    except ValueError:
        raise GarbledError("a field that is no number") from None


def seconds(field: bytes) -> float:
    """Return a field that is a time."""
    try:
        return float(bytes(field))
    except ValueError:
        raise GarbledError("a field that is no time") from None


def _fields(body: bytes) -> list[bytes]:
    fields = []
    position = 0
    while position < len(body):
        start = position + 4
        position = start + int.from_bytes(bytes(body[position:start]), "big")
        if position > len(body):
            raise GarbledError("a field that is longer than its frame")
        fields.append(body[start:position])
    return fields
