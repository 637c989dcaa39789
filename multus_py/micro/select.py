"""``select``: waiting for descriptors."""

from multus_py.micro import libc, signals, sockets

POLLIN, POLLOUT = libc.POLLIN, libc.POLLOUT


class poll:
    """Descriptors that are looked at. Signals are handled while it waits."""

    def __init__(self) -> None:
        self._wanted: dict[int, int] = {}

    def register(self, descriptor: "int | sockets.socket", events: int) -> None:
        """Look at a descriptor, or at that of a socket."""
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        self._wanted[number] = events

    def unregister(self, descriptor: int) -> None:
        """Do not look at it any more."""
        del self._wanted[descriptor]

    def poll(self, milliseconds: int = -1) -> list[tuple[int, int]]:
        """Return descriptors and what has happened there; nothing if the time is over."""
        return signals.wait(self._wanted.items(), milliseconds)
