from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from multus_py import child, wire
from tests.processes import PATIENCE, alive, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

BIG = b"0123456789abcdef" * 65536  # a megabyte; pipes hold a sixteenth of it
STDERR_LIMIT = 256 * 1024


class Reply(NamedTuple):
    """What is told about a program."""

    how: bytes
    detail: bytes = b""
    status: bytes = b""
    stdout: bytes = b""
    stderr: bytes = b""


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The shim's end and the daemon's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Every test leaves the descriptors as they were, in a moment, and no zombie."""
    before = set(os.listdir("/proc/self/fd"))
    yield
    eventually(lambda: set(os.listdir("/proc/self/fd")) == before)
    with suppress(ChildProcessError):
        assert os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def run(
    directory: Path,
    script: str,
    *,
    stdin: bytes = b"",
    seconds: float = PATIENCE,
    limit: int = len(BIG),
    connection: socket.socket | None = None,
    environment: dict[bytes, bytes] | None = None,
) -> Reply:
    """Run a shell script and return what is told about it."""
    path = directory / "plugin"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    variables = {b"PATH": os.environb[b"PATH"], **(environment or {})}
    started = child.Child([bytes(path)], variables)
    if connection:
        return Reply(*started.reply(connection, stdin, seconds=seconds, limit=limit))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        return Reply(*started.reply(ours, stdin, seconds=seconds, limit=limit))


# -- what goes in and what comes out


def test_a_program_gets_its_input_and_its_output_is_told(tmp_path: Path) -> None:
    reply = run(tmp_path, "cat; echo told >&2; exit 3", stdin=b"{}")
    assert reply == Reply(wire.ENDED, b"", b"3", b"{}", b"told\n")


def test_much_goes_both_ways_at_a_time(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    reply = run(tmp_path, "tee /dev/stderr", stdin=BIG)
    assert reply.stdout == BIG
    assert reply.stderr == BIG[:STDERR_LIMIT]
    assert capfd.readouterr().err == BIG.decode()


def test_a_program_need_not_read(tmp_path: Path) -> None:
    assert run(tmp_path, "exec <&-; echo done", stdin=BIG).stdout == b"done\n"


def test_a_program_may_print_up_to_the_limit(tmp_path: Path) -> None:
    assert len(run(tmp_path, "head -c 100000 /dev/zero", limit=100_000).stdout) == 100_000


def test_a_program_that_prints_more_is_drained_and_told(tmp_path: Path) -> None:
    script = f"head -c {3 * len(BIG)} /dev/zero; touch {tmp_path}/done"
    assert run(tmp_path, script, limit=100_000) == Reply(wire.FLOOD)
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", b"0"), ("exit 255", b"255"), ("kill -KILL $$", b"-9"), ("kill -SEGV $$", b"-11")],
)
def test_the_way_it_ends_is_told(tmp_path: Path, script: str, status: bytes) -> None:
    assert run(tmp_path, script).status == status


def test_a_program_that_closes_its_streams_is_waited_for(tmp_path: Path) -> None:
    assert run(tmp_path, "exec <&- >&- 2>&-; sleep 0.2; exit 4").status == b"4"


def test_output_that_nobody_reads_any_more_ends_a_program(tmp_path: Path) -> None:
    """The interpreter ignores SIGPIPE; what it starts does not."""
    assert run(tmp_path, "yes | head -n 1; exit 0") == Reply(wire.ENDED, b"", b"0", b"y\n")


def test_a_program_leads_a_process_group_of_its_own(tmp_path: Path) -> None:
    reply = run(tmp_path, "echo $$ $(ps -o pgid= -p $$)")
    pid, group = reply.stdout.split()
    assert pid == group


def test_a_program_has_no_signals_blocked(tmp_path: Path) -> None:
    reply = run(tmp_path, "grep SigBlk /proc/self/status")
    assert int(reply.stdout.split()[1], 16) == 0
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def test_it_gets_exactly_the_environment_that_is_given(tmp_path: Path) -> None:
    reply = run(tmp_path, "exec env -0", environment={b"CNI_ARGS": b"\xff\xfe=\n"})
    assert b"CNI_ARGS=\xff\xfe=\n" in reply.stdout.split(b"\0")
    assert not any(variable.startswith(b"HOME=") for variable in reply.stdout.split(b"\0"))


def test_what_it_leaves_behind_is_not_waited_for(tmp_path: Path) -> None:
    begun = time.monotonic()
    reply = run(tmp_path, "echo said; sleep 1000 & echo $! >&2; exit 5")
    assert (reply.how, reply.status, reply.stdout) == (wire.ENDED, b"5", b"said\n")
    assert time.monotonic() - begun < PATIENCE / 2
    os.kill(int(reply.stderr), signal.SIGKILL)


# -- what cannot be started


@pytest.mark.parametrize("content", ["echo no shebang\n", "#!/nowhere/sh\n", "", "\x7fELF"])
def test_what_is_no_program_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "plugin"
    path.write_text(content)
    path.chmod(0o755)
    with pytest.raises(OSError, match=r"Exec format error|No such file"):
        child.Child([bytes(path)], {})


def test_a_program_that_is_being_written_is_tried_again(tmp_path: Path) -> None:
    """Its text file is busy, as it is while plugins are installed."""
    path = tmp_path / "busy"
    path.write_bytes(Path("/bin/true").read_bytes())
    path.chmod(0o755)
    writer = os.fork()
    if writer == 0:  # another process, as fork would copy the descriptor into the program
        with path.open("ab"):
            (tmp_path / "open").touch()
            time.sleep(0.3)
        os._exit(0)
    eventually((tmp_path / "open").exists)
    with pytest.raises(OSError, match="Text file busy"):
        os.posix_spawn(path, [str(path)], {})
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reply = child.Child([bytes(path)], {}).reply(ours, b"", seconds=PATIENCE, limit=0)
    assert Reply(*reply).status == b"0"
    os.waitpid(writer, 0)


# -- what has to be ended


def test_a_program_that_takes_too_long_is_asked_to_end(tmp_path: Path) -> None:
    script = f"trap 'touch {tmp_path}/asked; exit' TERM; while :; do sleep 0.01; done"
    assert run(tmp_path, script, seconds=1.0) == Reply(wire.LATE)
    assert (tmp_path / "asked").exists()


def test_one_that_does_not_listen_is_ended_with_all_it_started(tmp_path: Path) -> None:
    script = f"trap '' TERM; sleep 1000 & echo $! > {tmp_path}/pid; sleep 1000"
    assert run(tmp_path, script, seconds=1.0) == Reply(wire.LATE)
    eventually(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_one_that_never_stops_printing_is_ended(tmp_path: Path) -> None:
    assert run(tmp_path, "exec yes", seconds=0.3, limit=1000) == Reply(wire.LATE)


def test_nothing_outlives_the_connection(
    tmp_path: Path, connection: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = connection
    theirs.close()
    pid = tmp_path / "pid"
    pid.touch()  # it may be ended before it can write
    with pytest.raises(wire.LostError):
        run(tmp_path, f"echo $$ > {pid}; exec sleep 1000", connection=ours)
    assert not any(map(alive, map(int, pid.read_text().split())))


def test_a_daemon_that_speaks_out_of_turn_is_lost(
    tmp_path: Path, connection: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = connection
    wire.send(theirs, wire.RETURN)
    with pytest.raises(wire.LostError):
        run(tmp_path, "exec sleep 1000", connection=ours)


# -- writing


def test_all_is_written_to_a_stream_that_somebody_made_non_blocking() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if child.write_all(writer, BIG) else 1)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert file.read() == BIG
    assert os.waitpid(pid, 0)[1] == 0


def test_it_is_told_that_nobody_reads() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert not child.write_all(writer, b"x")
    os.close(writer)
    assert not child.write_all(writer, b"x")
