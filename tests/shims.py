"""The shim as a process, and a daemon that says to it what a test wants to be said."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from multus_py import launcher, wire
from multus_py.launcher import Program
from tests.processes import PATIENCE, alive

if TYPE_CHECKING:
    from types import TracebackType

IMPATIENT = 0.5
"""Seconds that a shim waits for a daemon of which the test knows that it does not come."""


def interpreters() -> list[str]:
    """Return every interpreter here that the shim has to run on, the tests' own first."""
    found = {sys.executable: None}
    for minor in range(11, 20):
        name = f"python3.{minor}"
        paths = [f"{place}/{name}" for place in os.environ["PATH"].split(":")]
        paths += map(str, Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/{name}"))
        program = "import sys; print(sys.executable)"
        for path in filter(os.path.exists, paths):
            done = subprocess.run([path, "-c", program], capture_output=True, check=False)
            if done.returncode == 0:  # not a stand-in for one that is not selected
                found[done.stdout.decode().strip()] = None
    return list(found)


class Ended(NamedTuple):
    """How a process ended."""

    status: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class Call:
    """A request that is under way."""

    process: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path

    def ended(self) -> Ended:
        """Wait for its end."""
        status = self.process.wait(PATIENCE)
        return Ended(status, self.stdout.read_bytes(), self.stderr.read_bytes())


@dataclass
class Installation:
    """A launcher below a directory, and plugins beside it."""

    directory: Path
    patience: float = PATIENCE
    interpreter: str = sys.executable
    directories: tuple[str, ...] = ()
    first: str = ""
    """Lines of the launcher before those that it has by itself."""
    micropython: launcher.MicroPython | None = None
    """What runs the shim, if not the interpreter."""
    _calls: list[Call] = field(default_factory=list)

    @property
    def launcher(self) -> Path:
        return self.directory / "multus-py"

    @property
    def bin_dir(self) -> Path:
        return self.directory / "bin"

    @property
    def socket(self) -> str:
        return str(self.directory / "run/multus-py.sock")

    def write(self) -> Path:
        """Write the launcher and return its path."""
        text = launcher.text(
            str(self.launcher),
            program=Program(self.interpreter, launcher.package_directory(), self.micropython),
            socket=self.socket,
            directories=self.directories,
            patience=self.patience,
        )
        shebang, _, rest = text.partition("\n")
        launcher.write(str(self.launcher), f"{shebang}\n{self.first}\n{rest}")
        return self.launcher

    def plugin(self, script: str, name: str = "plugin", mode: int = 0o755) -> str:
        """Put a shell script where plugins are looked for and return its path."""
        self.bin_dir.mkdir(exist_ok=True)
        path = self.bin_dir / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(mode)
        return str(path)

    def start(
        self,
        *arguments: str,
        stdin: bytes = b"{}",
        environment: dict[Any, Any] | None = None,
        streams: tuple[int, ...] = (0, 1, 2),
        **options: Any,
    ) -> Call:
        """Start a request. Its streams are files; those not in ``streams`` are closed."""
        self.write()
        number = len(self._calls)
        files = [self.directory / f"{number}.{name}" for name in ("in", "out", "err")]
        files[0].write_bytes(stdin)
        given = {"CNI_COMMAND": "ADD", "CNI_PATH": str(self.bin_dir)}
        closed = [str(stream) for stream in range(3) if stream not in streams]
        command = [str(self.launcher), *arguments]
        if closed:
            ends = " ".join(f"{stream}>&-" for stream in closed)
            command = ["sh", "-c", f'exec "$0" "$@" {ends}', *command]
        with files[0].open("rb") as in_, files[1].open("wb") as out, files[2].open("wb") as err:
            process = subprocess.Popen(
                command,
                stdin=in_,
                stdout=out,
                stderr=err,
                env={"PATH": os.environ["PATH"], **(given if environment is None else environment)},
                **options,
            )
        self._calls.append(Call(process, files[1], files[2]))
        return self._calls[-1]

    def end(self) -> None:
        """End what a test has not waited for."""
        for call in self._calls:
            call.process.kill()
            call.process.wait()

    def processes(self) -> list[int]:
        """Return the processes that run the launcher."""
        return [
            int(name)
            for name in filter(str.isdigit, os.listdir("/proc"))
            if str(self.launcher) in _command(name) and alive(int(name))
        ]


def _command(pid: str) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


class Reply(NamedTuple):
    """What a shim answers to an order."""

    how: bytes
    detail: bytes
    status: bytes
    stdout: bytes
    stderr: bytes


class Talk:
    """A connection to a shim, on which a test plays the daemon."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.connection.settimeout(PATIENCE)
        kind, (self.level, self.stdin, variables, self.own_netns) = wire.receive(connection)
        assert kind == wire.REQUEST
        self.variables = dict(pair.split(b"=", 1) for pair in variables.split(b"\0"))

    def accept(self) -> Talk:
        wire.send(self.connection, wire.ACCEPTED)
        return self

    def say(self, kind: int, *fields: bytes) -> None:
        """Give an order, and do not wait for its reply."""
        wire.send(self.connection, kind, *fields)

    def heard(self) -> Reply:
        """Return the reply to an order."""
        kind, fields = wire.receive(self.connection, least=5)
        assert kind == wire.REPLY
        return Reply(*fields)

    def order(self, kind: int, *fields: bytes) -> Reply:
        self.say(kind, *fields)
        return self.heard()

    def run(self, *paths: str, **changes: Any) -> Reply:
        self.say(wire.RUN, *running(*paths, **changes))
        return self.heard()

    def lend(self, descriptor: int) -> Reply:
        wire.lend(self.connection, descriptor)
        return self.heard()

    def answer(self, stdout: bytes = b"", *, status: int = 0, stay: int = 0) -> None:
        self.say(wire.ANSWER, b"%d" % status, stdout, b"%d" % stay)

    def carrier(self) -> list[bytes]:
        """Return what the shim reports once it has become the carrier."""
        kind, fields = wire.receive(self.connection)
        assert kind == wire.CARRIER
        return fields

    def ends(self) -> bool:
        """Wait until the other side closes the connection."""
        with suppress(ConnectionError):
            return self.connection.recv(1) == b""
        return True

    def close(self) -> None:
        self.connection.close()


def running(
    *paths: str,
    stdin: bytes = b"",
    seconds: float = PATIENCE,
    limit: int = 1 << 22,
    **variables: str,
) -> tuple[bytes, ...]:
    """Return the fields of an order to run a plugin."""
    return (
        str(seconds).encode(),
        str(limit).encode(),
        stdin,
        b"\0".join(os.fsencode(path) for path in paths),
        b"\0".join(os.fsencode(f"{name}={value}") for name, value in variables.items()),
    )


class Scripted:
    """A daemon that a test plays."""

    def __init__(self, path: str) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with suppress(FileNotFoundError):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.listener.settimeout(PATIENCE)
        self._talks: list[Talk] = []

    def asked(self) -> Talk:
        """Return the next request."""
        self._talks.append(Talk(self.listener.accept()[0]))
        return self._talks[-1]

    def accepted(self) -> Talk:
        """Return the next request, accepted."""
        return self.asked().accept()

    def hang_up(self) -> None:
        """Accept a connection and close it."""
        with closing(self.listener.accept()[0]):
            pass

    def close(self) -> None:
        """End as a process would. The file of the socket stays."""
        self.listener.close()
        for talk in self._talks:
            talk.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
