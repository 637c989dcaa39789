"""``_signal``: a signal that has a handler is waited for with everything else.

MicroPython cannot be interrupted. So such a signal is blocked and read from a descriptor, which
:func:`wait` looks at whenever something is waited for.
"""

import struct

from multus_py.micro import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Handler = Callable[[int, object], None]

SIGINT, SIGTERM, SIGCHLD, SIGXFSZ = 2, 15, 17, 25
SIG_DFL, SIG_IGN = 0, 1
SIG_BLOCK, SIG_SETMASK = 0, 2

_POLLFD = "iHH"
"""Descriptor, events, what has happened."""
_SIGSET = 128
"""Bytes of a ``sigset_t``."""
_INFO = 128
"""Bytes of a ``signalfd_siginfo``, which begins with the signal's number."""

_poll = libc.function("poll", "pLi")
_pthread_sigmask = libc.telling_errno("pthread_sigmask", "ipp")
_read = libc.function("read", "ipL", "l")
_sigaddset = libc.function("sigaddset", "pi")
_sigemptyset = libc.function("sigemptyset", "p")
_signal = libc.bare("signal", "ip", "p")
_signalfd = libc.function("signalfd", "ipi")


def signal_set(numbers: "Iterable[int]") -> bytearray:
    """Return a ``sigset_t``."""
    made = bytearray(_SIGSET)
    _sigemptyset(made)
    for number in numbers:
        _sigaddset(made, number)
    return made


class _Signals:
    """The signals of this process."""

    def __init__(self) -> None:
        self.original = bytearray(_SIGSET)
        self.descriptor = -1
        self.deferred = False
        self._handlers: dict[int, Handler] = {}
        _pthread_sigmask(SIG_BLOCK, None, self.original)

    def handle_with(self, number: int, handler: "Handler") -> None:
        self._handlers[number] = handler
        handled = signal_set(self._handlers)
        _pthread_sigmask(SIG_BLOCK, handled, None)
        self.descriptor = _signalfd(self.descriptor, handled, libc.CLOEXEC | libc.NONBLOCK)

    def handle(self) -> None:
        info = bytearray(_INFO)
        _read(self.descriptor, info, _INFO)
        (number,) = struct.unpack_from("I", info)
        self._handlers[number](number, None)


_ours = _Signals()


def signal(number: int, handler: "Handler | int") -> None:
    """Have a signal handled by a function, or by the kernel (``SIG_DFL``, ``SIG_IGN``)."""
    if isinstance(handler, int):
        _signal(number, handler)
    else:
        _ours.handle_with(number, handler)


def pthread_sigmask(how: int, mask: object) -> bytearray:
    """Defer all handlers (``SIG_BLOCK``), or handle what has come meanwhile (``SIG_SETMASK``).

    Returns the mask that other programs are started with.
    """
    del mask
    _ours.deferred = how == SIG_BLOCK
    wait([], 0)
    return _ours.original


def restore() -> None:
    """Have the mask that this process was started with: it becomes another program."""
    _pthread_sigmask(SIG_SETMASK, _ours.original, None)


def is_descriptor(descriptor: int) -> bool:
    """Tell whether signals are read from a descriptor."""
    return descriptor == _ours.descriptor


def wait(wanted: "Iterable[tuple[int, int]]", milliseconds: int) -> list[tuple[int, int]]:
    """Return descriptors at which something happens, with what, of pairs with what is wanted.

    -1 milliseconds are as long as it takes. Signals are handled first.
    """
    looked_at = list(wanted)
    if _ours.descriptor >= 0 and not _ours.deferred:
        looked_at.append((_ours.descriptor, libc.POLLIN))
    size = struct.calcsize(_POLLFD)
    pairs = bytearray(size * len(looked_at))
    for place, (descriptor, events) in enumerate(looked_at):
        struct.pack_into(_POLLFD, pairs, place * size, descriptor, events, 0)
    if not _poll(pairs, len(looked_at), milliseconds):
        return []
    seen = [struct.unpack_from(_POLLFD, pairs, place * size) for place in range(len(looked_at))]
    happened = [(descriptor, what) for descriptor, _, what in seen if what]
    if any(descriptor == _ours.descriptor for descriptor, _ in happened):
        _ours.handle()
    return [(descriptor, what) for descriptor, what in happened if descriptor != _ours.descriptor]


def wait_for(descriptor: int, events: int, seconds: "float | None") -> bool:
    """Wait for a descriptor, None seconds for as long as it takes; tell whether anything came."""
    return bool(wait([(descriptor, events)], -1 if seconds is None else int(seconds * 1000) + 1))
