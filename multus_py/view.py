"""What a shim sees of the host. Like the shim it imports only what is compiled in."""

import _socket
import posix
import sys

from multus_py import wire

_OWN_NETNS = "/proc/self/ns/net"


def look(what: bytes, path: bytes, name: bytes) -> tuple[bytes, ...]:
    """Return the fields of the reply to LOOK."""
    if b"\0" in path:
        return wire.FAILED, b"there is no such path"
    if what == wire.LINK:
        return _look_for_link(path, name)
    if what not in (wire.FILE, wire.OWN_NETNS):
        return (wire.UNABLE,)
    try:
        seen = posix.stat(path)
    except OSError:
        return (wire.NO,)
    return (wire.YES if what == wire.FILE or leads_to(_OWN_NETNS, seen) else wire.NO,)


def leads_to(path: str, seen: posix.stat_result) -> bool:
    """Tell whether a path leads to the file that this was asked of."""
    try:
        there = posix.stat(path)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (seen.st_dev, seen.st_ino)


def _look_for_link(netns: bytes, name: bytes) -> tuple[bytes, ...]:
    try:
        links = _links(netns)
    except OSError as error:
        return wire.FAILED, str(error.strerror).encode()
    if links is None:
        return (wire.UNABLE,)
    return (wire.YES if name in links else wire.NO,)


if sys.version_info >= (3, 12):

    def _links(netns: bytes) -> list[bytes] | None:
        """Return the names of the links in the network namespace at this path."""
        own = posix.open(_OWN_NETNS, posix.O_RDONLY)
        try:
            other = posix.open(netns, posix.O_RDONLY)
            try:
                return _links_in(other, own)
            finally:
                posix.close(other)
        finally:
            posix.close(own)

    def _links_in(other: int, own: int) -> list[bytes]:
        encoding = sys.getfilesystemencoding()
        posix.setns(other, posix.CLONE_NEWNET)
        try:
            return [name.encode(encoding, "surrogateescape") for _, name in _socket.if_nameindex()]
        finally:
            posix.setns(own, posix.CLONE_NEWNET)

else:

    def _links(netns: bytes) -> list[bytes] | None:
        """Return None: this interpreter cannot enter a namespace by itself."""
        del netns
        return None
