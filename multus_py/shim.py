"""What the container runtime executes on a node with a daemon: hands without judgement.

It passes the request to the daemon, runs the plugins that the daemon names, here on the host, and
prints the answer. Without a daemon it becomes the plugin that does everything by itself
(:mod:`multus_py.inprocess`). It starts for every pod: so it is written in what CPython and
MicroPython have in common, imports nothing but what is compiled into CPython, or what
:mod:`multus_py.micro` has of that, and parses no JSON. What it executes for a daemon is limited by
:mod:`multus_py.orders`, not by the daemon.
"""

import _signal  # type: ignore[import-not-found] # typeshed has it as signal only
import _socket
import posix
import sys
import time

from multus_py import child, memory, variables, view, wire
from multus_py.orders import Orders, variables_of_request

REQUEST_SECONDS = 600.0
"""How long a daemon may be silent after it has accepted; runtimes lose patience earlier."""

_RETRY_SECONDS = 0.05

_STDIN_LIMIT = 16 * 1024 * 1024 + 1
"""Bytes: one more than is accepted (:mod:`multus_py.cni.document`)."""

_STDERR = 2
_ENOENT, _ENOTDIR = 2, 20

_SOCKET_PATH_LIMIT = 107
"""Bytes that the path of a socket can have (unix(7))."""

_SOCKET_DIRECTORY = b"MULTUS_PY_SOCKET_DIR"
"""See :mod:`multus_py.inprocess`."""

_LOST = b"""{
    "cniVersion": "1.0.0",
    "code": 11,
    "msg": "the connection to multus-py's daemon was lost while it worked on this request. \
Next: the runtime tries again; what was begun is recorded and will be released"
}
"""


_FAILED = b"""{
    "cniVersion": "1.0.0",
    "code": 11,
    "msg": "multus-py cannot be started on this node; standard error says why. \
Next: multus-py install, or its DaemonSet's next pod, repairs the installation"
}
"""


class Shim:
    """This process, with what its launcher says about the installation."""

    def __init__(
        self,
        *,
        socket: str,
        directories: tuple[str, ...],
        launcher: str,
        python: tuple[str, ...],
        patience: float,
    ) -> None:
        """``python`` is a command that starts an interpreter with the whole package.

        ``patience`` is how long a daemon may take to accept a request, its restart included.
        """
        self._socket = socket
        self._python = python
        self._patience = patience
        self._path = variables.value(b"CNI_PATH")
        self._stdin: bytes | None = None
        self._orders = Orders(
            directories=self._path.split(b":") + [name.encode() for name in directories],
            launcher=launcher,
            python=python,
        )

    def answer(self) -> int:
        """Answer the request in environment and standard input; return the exit code."""
        if len(sys.argv) > 1 or not variables.value(b"CNI_COMMAND"):
            return self._become_plugin()
        for _ in range(2):  # a daemon that ends before it has begun is waited for once more
            connection = self._accepted()
            if connection is None:
                break
            try:
                return self._serve(connection)
            except (wire.LostError, OSError, MemoryError):
                if self._orders.have_acted:
                    child.write_all(1, _LOST)
                    return 1
            finally:
                self._orders.give_back()
                connection.close()
        return self._become_plugin()

    def _accepted(self) -> "_socket.socket | None":
        """Return a connection to a daemon that has accepted the request, None without a daemon."""
        if len(self._socket.encode()) > _SOCKET_PATH_LIMIT:
            return None
        deadline = time.monotonic() + self._patience
        while (left := deadline - time.monotonic()) > 0:
            connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
            try:
                connection.settimeout(left)
                connection.connect(self._socket)
                self._ask(connection)
            except (wire.LostError, OSError) as error:
                connection.close()
                if isinstance(error, OSError) and error.errno in (_ENOENT, _ENOTDIR):
                    return None
                time.sleep(_RETRY_SECONDS)
            else:
                connection.settimeout(REQUEST_SECONDS)
                return connection
        return None

    def _ask(self, connection: _socket.socket) -> None:
        """Hand over the request. Returns once the daemon has accepted it."""
        if self._stdin is None:
            self._stdin = _read_all(0, _STDIN_LIMIT)
        asked = b"\0".join(variables_of_request())
        level, netns = b"%d" % wire.LEVEL, variables.value(b"CNI_NETNS")
        own = view.look(wire.OWN_NETNS, netns, b"")[0] if netns else b""
        wire.send(connection, wire.REQUEST, level, self._stdin, asked, own)
        kind, _ = wire.receive(connection)
        if kind != wire.ACCEPTED:
            raise wire.GarbledError("the request was not accepted")

    def _serve(self, connection: _socket.socket) -> int:
        """Do what the daemon says, until it says the answer; return the exit code."""
        while True:
            kind, fields = self._order(connection)
            if kind == wire.ANSWER:
                break
            wire.send(connection, wire.REPLY, *self._orders.do(connection, kind, fields))
        status, stay = wire.number(fields[0]), wire.number(fields[2])
        self._orders.give_back()
        if not child.write_all(1, fields[1]):
            return 1
        if stay:
            self._leave_carrier(connection, stay)
        return status

    def _order(self, connection: _socket.socket) -> tuple[int, list[bytes]]:
        """Return the next thing that the daemon says."""
        return wire.receive(connection, least=wire.FIELDS, descriptors=self._orders.lent)

    def _leave_carrier(self, connection: _socket.socket, seconds: int) -> None:
        """Leave a process behind that runs plugins when no runtime calls.

        All is answered, so whatever goes wrong here is nobody's error: the daemon asks the next.
        """
        try:
            pid = posix.fork()
        except OSError:
            return
        if pid == 0:
            try:
                self._stay(connection, seconds)
            finally:
                posix._exit(0)  # noqa: SLF001 - os is not imported

    def _stay(self, connection: _socket.socket, seconds: int) -> None:
        """Be the carrier, until the daemon goes or asks for nothing for so long."""
        _detach(connection.fileno())
        connection.settimeout(seconds)
        wire.send(connection, wire.CARRIER, b"%d" % wire.LEVEL, self._path)
        while True:
            kind, fields = self._order(connection)
            wire.send(connection, wire.REPLY, *self._orders.do(connection, kind, fields))
            memory.give_back()

    def _become_plugin(self) -> int:
        """Replace this program by the one that needs no daemon. Does not return."""
        if self._stdin is not None:
            content = posix.memfd_create("stdin")
            child.write_all(content, self._stdin)
            posix.lseek(content, 0, 0)
            posix.dup2(content, 0)
        directory = self._socket.rpartition("/")[0]
        told = {_SOCKET_DIRECTORY: directory.encode()}
        environment = variables.passed_on(told, but=[_SOCKET_DIRECTORY + b"="])
        command = list(self._python) + ["-m", "multus_py"] + sys.argv[1:]
        posix.execve(command[0], command, environment)
        return 1


def _detach(connection: int) -> None:
    """Leave everything behind that came from the runtime, but the connection to the daemon."""
    posix.setsid()
    posix.chdir("/")
    nowhere = posix.open("/dev/null", posix.O_RDWR)
    for stream in range(3):
        posix.dup2(nowhere, stream)
    inherited = [int(name) for name in posix.listdir("/proc/self/fd")]
    for start, end in ((3, connection), (connection + 1, max(inherited) + 1)):
        posix.closerange(start, end)


def _read_all(descriptor: int, limit: int) -> bytes:
    """Return what can be read, as far as the limit; nothing from a stream that is closed."""
    read = memory.Buffer()
    while len(read) < limit:
        try:
            part = posix.read(descriptor, min(limit - len(read), memory.CHUNK))
        except OSError:
            break
        if not part:
            break
        read.append(part)
    return read.content()


def _prepare() -> None:
    """Make this process usual: the runtime may have closed streams, or ignore its children."""
    for stream in range(3):
        try:
            posix.fstat(stream)
        except OSError:  # or the next thing to be opened would be taken for it
            posix.open("/dev/null", posix.O_RDWR if stream == _STDERR else posix.O_RDONLY)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_IGN)  # a full file is an error, not an end
    for number in (_signal.SIGTERM, _signal.SIGINT):
        _signal.signal(number, _end)


def _end(number: int, frame: object) -> None:
    """Turn a signal into an exception, so that a plugin at work is ended."""
    del frame
    raise SystemExit(128 + number)


def main(
    *,
    socket: str,
    directories: tuple[str, ...],
    launcher: str,
    python: tuple[str, ...],
    patience: float,
) -> None:
    """Be the shim that a launcher describes, and end."""
    status = 1
    try:
        _prepare()
        shim = Shim(
            socket=socket,
            directories=directories,
            launcher=launcher,
            python=python,
            patience=patience,
        )
        status = shim.answer()
    except Exception as error:  # noqa: BLE001 - a runtime gets an error that it can read
        child.write_all(1, _FAILED)
        child.write_all(2, f"multus-py: {error!r}, {python[0]}\n".encode())
    posix._exit(status)  # noqa: SLF001 - nothing is left to be done at exit
