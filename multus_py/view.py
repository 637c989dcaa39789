"""What a shim sees of the host.

Like the shim it imports only what is compiled into the interpreter, and runs on MicroPython.
"""

import _socket
import posix

from multus_py import wire

_OWN_NETNS = "/proc/self/ns/net"


def look(what: bytes, path: bytes, name: bytes) -> tuple[bytes, ...]:
    """Return the fields of the reply to LOOK."""
    if b"\0" in path + name:
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
    if not hasattr(posix, "setns"):
        return (wire.UNABLE,)
    try:
        own = posix.open(_OWN_NETNS, posix.O_RDONLY)
        try:
            other = posix.open(netns, posix.O_RDONLY)
            try:
                return (wire.YES if _link_exists(other, own, name) else wire.NO,)
            finally:
                posix.close(other)
        finally:
            posix.close(own)
    except OSError as error:
        return wire.FAILED, posix.strerror(error.errno or 0).encode()


def _link_exists(netns: int, own: int, name: bytes) -> bool:
    """Look into a namespace. Who cannot leave it again must not go on: it would work there."""
    posix.setns(netns, posix.CLONE_NEWNET)  # type: ignore[attr-defined] # from 3.12 on
    try:
        _socket.if_nametoindex(name)  # type: ignore[arg-type] # like any name in the system
    except OSError:
        return False
    finally:
        try:
            posix.setns(own, posix.CLONE_NEWNET)  # type: ignore[attr-defined]
        except OSError:
            raise SystemExit(1) from None
    return True
