"""``_socket``: unix sockets, with descriptors that come over them."""

import struct

import uctypes

from multus_py.micro import libc, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    Message = tuple[int, int, bytes]
    """Level, type, content."""

AF_UNIX, SOCK_STREAM = 1, 1
SOL_SOCKET, SCM_RIGHTS = 1, 1

_MSG_NOSIGNAL = 0x4000
_CMSGHDR = "Lii"
"""Length, level, type; what follows is aligned as a length is."""
_IOVEC = "PL"
_MSGHDR = "PIPLPLi"
"""Name and its length, parts and their number, control message and its length, flags."""

_close = libc.function("close", "i")
_connect = libc.function("connect", "ipI")
_recv = libc.function("recv", "ipLi", "l")
_recvmsg = libc.function("recvmsg", "ipi", "l")
_send = libc.function("send", "ipLi", "l")
_socket = libc.function("socket", "iii")
_if_nametoindex = libc.bare("if_nametoindex", "p", "I")


def if_nametoindex(name: bytes) -> int:
    """Return the index of the link of this name."""
    found = _if_nametoindex(name + b"\0")
    if not found:
        raise OSError("no link of this name")
    return int(found)


def CMSG_SPACE(length: int) -> int:
    """Return the bytes that a control message takes."""
    unit = struct.calcsize("L")
    return struct.calcsize(_CMSGHDR) + (length + unit - 1) // unit * unit


class socket:
    """A socket. It never blocks in the kernel, so signals are handled while it waits."""

    def __init__(self, family: int, kind: int) -> None:
        self._descriptor = _socket(family, kind | libc.CLOEXEC | libc.NONBLOCK, 0)
        self._seconds: float | None = None

    def fileno(self) -> int:
        """Return the descriptor, -1 once it is closed."""
        return self._descriptor

    def settimeout(self, seconds: "float | None") -> None:
        """Wait at most so long in each call, None for as long as it takes."""
        self._seconds = seconds

    def close(self) -> None:
        """Close it."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            _close(descriptor)

    def connect(self, path: str) -> None:
        """Connect; an ``OSError`` at once if nobody listens, or too many are waiting."""
        address = struct.pack("H", AF_UNIX) + path.encode() + b"\0"
        _connect(self._descriptor, address, len(address))

    def sendall(self, content: "bytes | memoryview") -> None:
        """Send everything."""
        unsent = memoryview(content)
        while unsent:
            try:
                sent = _send(self._descriptor, unsent, len(unsent), _MSG_NOSIGNAL)
            except OSError as error:
                self._wait(libc.POLLOUT, error)
            else:
                unsent = unsent[sent:]

    def recv(self, size: int) -> bytes:
        """Return what has come, at most so many bytes; nothing at the end."""
        room = bytearray(size)
        while True:
            try:
                return bytes(memoryview(room)[: _recv(self._descriptor, room, size, 0)])
            except OSError as error:
                self._wait(libc.POLLIN, error)

    def recvmsg(self, size: int, control_size: int) -> "tuple[bytes, list[Message], int, None]":
        """Return what has come, control messages, flags, and no address."""
        room, control = bytearray(size), bytearray(control_size)
        part = struct.pack(_IOVEC, uctypes.addressof(room), size)
        message = bytearray(struct.calcsize(_MSGHDR) + struct.calcsize("L"))
        while True:
            header = (0, 0, uctypes.addressof(part), 1, uctypes.addressof(control), control_size, 0)
            struct.pack_into(_MSGHDR, message, 0, *header)
            try:
                received = _recvmsg(self._descriptor, message, 0)
            except OSError as error:
                self._wait(libc.POLLIN, error)
            else:
                told = struct.unpack_from(_MSGHDR, message)
                return (
                    bytes(memoryview(room)[:received]),
                    _messages(control, told[5]),
                    told[6],
                    None,
                )

    def _wait(self, events: int, error: OSError) -> None:
        if error.errno != libc.EAGAIN:
            raise error
        if not signals.wait_for(self._descriptor, events, self._seconds):
            raise OSError(libc.ETIMEDOUT)


def _messages(control: bytearray, length: int) -> "list[Message]":
    """Return the control messages in so many bytes."""
    found = []
    place, head = 0, struct.calcsize(_CMSGHDR)
    while place + head <= length:
        size, level, kind = struct.unpack_from(_CMSGHDR, control, place)
        found.append((level, kind, bytes(control[place + head : place + size])))
        place += CMSG_SPACE(size - head)
    return found
