from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from multus_py import wire
from tests.processes import alive, eventually
from tests.shims import IMPATIENT, Installation, Scripted, Talk, running

if TYPE_CHECKING:
    from collections.abc import Iterator

ALONE = b"no networks: delegates is empty"
"""A part of what the plugin answers by itself to a configuration without networks."""


@pytest.fixture
def daemon(shim: Installation) -> Iterator[Scripted]:
    with Scripted(shim.socket) as scripted:
        yield scripted


# -- a request and its answer


def test_the_whole_request_is_passed_on(shim: Installation, daemon: Scripted) -> None:
    variables = {
        b"CNI_COMMAND": b"ADD",
        b"CNI_ARGS": b"K8S_POD_NAME=\xff\xfe\n;",
        b"CNI_FUTURE": b"",
        b"MULTUS_PY_RUNNING_FOR": b"container x",
    }
    call = shim.start(stdin=b'{"a": \xff}', environment={**variables, b"HOME": b"/root"})
    talk = daemon.accepted()
    assert (talk.level, talk.stdin) == (b"%d" % wire.LEVEL, b'{"a": \xff}')
    assert talk.variables == variables
    talk.answer(b"{}")
    assert call.ended() == (0, b"{}", b"")


@pytest.mark.parametrize(
    ("netns", "own"), [("/proc/self/ns/net", b"yes"), ("/nowhere", b"no"), ("", b"")]
)
def test_whether_the_namespace_is_the_nodes_own_is_told_with_the_request(
    shim: Installation, daemon: Scripted, netns: str, own: bytes
) -> None:
    shim.start(environment={"CNI_COMMAND": "ADD", "CNI_NETNS": netns})
    assert daemon.asked().own_netns == own


def test_a_configuration_may_have_sixteen_mebibytes(shim: Installation, daemon: Scripted) -> None:
    stdin = os.urandom(1 << 20) * 16
    call = shim.start(stdin=stdin)
    talk = daemon.accepted()
    assert talk.stdin == stdin
    talk.answer(stdin[: 5 << 20])
    assert call.ended() == (0, stdin[: 5 << 20], b"")


def test_of_a_larger_one_so_much_is_passed_on_that_it_is_refused(
    shim: Installation, daemon: Scripted
) -> None:
    call = shim.start(stdin=b"x" * (17 << 20))
    talk = daemon.accepted()
    assert len(talk.stdin) == (16 << 20) + 1
    talk.answer(status=1)
    assert call.ended().status == 1


@pytest.mark.parametrize("status", [0, 1, 77])
def test_the_exit_code_is_the_daemons(shim: Installation, daemon: Scripted, status: int) -> None:
    call = shim.start()
    daemon.accepted().answer(b"said", status=status)
    assert call.ended() == (status, b"said", b"")


def test_an_answer_that_cannot_be_printed_is_a_failure(
    shim: Installation, daemon: Scripted
) -> None:
    call = shim.start(streams=(0, 2))
    daemon.accepted().answer(b"{}")
    assert call.ended().status == 1


@pytest.mark.parametrize("streams", [(), (0,), (1,), (2,), (1, 2), (0, 1)])
def test_streams_that_are_closed_are_nothing_else(
    shim: Installation, daemon: Scripted, streams: tuple[int, ...]
) -> None:
    plugin = shim.plugin("cat; echo told >&2")
    call = shim.start(stdin=b"asked", streams=streams)
    talk = daemon.accepted()
    assert talk.stdin == (b"asked" if 0 in streams else b"")
    reply = talk.run(plugin, stdin=b"given")
    assert (reply.how, reply.stdout, reply.stderr) == (wire.ENDED, b"given", b"told\n")
    talk.answer(b"{}")
    ended = call.ended()
    assert ended.status == (0 if 1 in streams else 1)
    assert ended.stdout == (b"{}" if 1 in streams else b"")
    assert ended.stderr == (b"told\n" if 2 in streams else b"")


def test_a_runtime_that_ignores_its_children_still_hears_how_plugins_end(
    shim: Installation, daemon: Scripted
) -> None:
    plugin = shim.plugin("exit 7")
    shim.start(preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    talk = daemon.accepted()
    assert talk.run(plugin).status == b"7"
    talk.answer()


def many() -> dict[str, str]:
    """Return the variables of a runtime that runs in a pod, among many Services."""
    return {f"SERVICE_{number}_PORT_443_TCP_ADDR": "10.96.100.100" for number in range(5000)}


def test_thousands_of_variables_are_passed_on_and_no_burden(
    shim: Installation, daemon: Scripted
) -> None:
    plugin = shim.plugin("env | grep -c ^SERVICE_; echo $CNI_IFNAME")
    call = shim.start(environment={"CNI_COMMAND": "ADD", "CNI_PATH": str(shim.bin_dir), **many()})
    talk = daemon.accepted()
    assert set(talk.variables) == {b"CNI_COMMAND", b"CNI_PATH"}
    for _ in range(3):
        assert talk.run(plugin, CNI_IFNAME="net1").stdout == b"5000\nnet1\n"
    talk.answer(b"{}")
    assert call.ended() == (0, b"{}", b"")


# -- no daemon


def test_the_plugin_alone_gets_thousands_of_variables_too(shim: Installation) -> None:
    ended = shim.start(environment={"CNI_COMMAND": "ADD", **many()}).ended()
    assert is_alone(ended.status, ended.stdout)


def test_an_interpreter_that_is_not_there_is_an_error_that_can_be_read(shim: Installation) -> None:
    shim.write()
    missing = f"{shim.directory}/gone"
    text = shim.launcher.read_text()
    command = f"python=('{shim.interpreter}', '-I')"
    assert command in text
    shim.first = ""
    launcher = shim.directory / "broken"
    launcher.write_text(text.replace(command, f"python=('{missing}', '-I')"))
    launcher.chmod(0o755)
    done = subprocess.run(
        [launcher],
        env={"CNI_COMMAND": "ADD"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["code"] == 11
    assert missing.encode() in done.stderr


def is_alone(status: int, stdout: bytes) -> bool:
    """Tell whether the plugin has answered by itself: that it is lacking its variables."""
    return status == 1 and b"CNI_" in stdout and b'"code": 4' in stdout


def test_without_a_socket_it_is_the_plugin_at_once_with_its_input_unread(
    shim: Installation,
) -> None:
    shim.patience = 1000.0
    complete = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "ctr",
        "CNI_NETNS": "/run/netns/x",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/nowhere",
    }
    ended = shim.start(stdin=b'{"cniVersion": "9.9.9", "name": "x"}', environment=complete).ended()
    assert ended.status == 1
    assert b"9.9.9" in ended.stdout


def test_a_directory_that_is_none_is_no_socket_either(shim: Installation) -> None:
    shim.patience = 1000.0
    (shim.directory / "run").touch()
    ended = shim.start(environment={"CNI_COMMAND": "ADD"}).ended()
    assert is_alone(ended.status, ended.stdout)


def test_a_path_that_no_socket_can_have_is_not_waited_for(shim: Installation) -> None:
    shim.patience = 1000.0
    shim.directory = shim.directory / ("d" * 108)
    shim.directory.mkdir()
    ended = shim.start(environment={"CNI_COMMAND": "ADD"}).ended()
    assert is_alone(ended.status, ended.stdout)


def test_a_socket_where_nobody_listens_is_waited_for(shim: Installation) -> None:
    Scripted(shim.socket).close()
    shim.patience = IMPATIENT
    ended = shim.start(environment={"CNI_COMMAND": "ADD"}).ended()
    assert is_alone(ended.status, ended.stdout)


def test_a_daemon_that_never_accepts_is_not_waited_for_long(
    shim: Installation, daemon: Scripted
) -> None:
    shim.patience = IMPATIENT
    call = shim.start(stdin=b'{"cniVersion": "9.9.9", "name": "x"}')
    daemon.asked()
    ended = call.ended()
    assert ended.status == 1
    assert ended.stdout


@pytest.mark.parametrize("size", [2, 15 << 20])
def test_a_daemon_that_does_not_even_listen_is_not_waited_for_long(
    shim: Installation, daemon: Scripted, size: int
) -> None:
    shim.patience = IMPATIENT
    ended = shim.start(stdin=b"{}".ljust(size), environment={"CNI_COMMAND": "ADD"}).ended()
    assert is_alone(ended.status, ended.stdout)


def test_a_daemon_that_accepts_and_closes_is_asked_again(
    shim: Installation, daemon: Scripted
) -> None:
    call = shim.start(stdin=b"asked")
    for _ in range(3):
        daemon.hang_up()
    talk = daemon.accepted()
    assert talk.stdin == b"asked"
    talk.answer(b"{}")
    assert call.ended() == (0, b"{}", b"")


def test_a_daemon_that_comes_back_in_time_is_used(shim: Installation) -> None:
    with Scripted(shim.socket) as before:
        call = shim.start(stdin=b"asked")
        before.asked()
    with Scripted(shim.socket) as after:
        talk = after.accepted()
        assert talk.stdin == b"asked"
        talk.answer(b"{}")
        assert call.ended() == (0, b"{}", b"")


def test_a_daemon_that_speaks_another_version_is_none(shim: Installation, daemon: Scripted) -> None:
    shim.patience = IMPATIENT
    call = shim.start(environment={"CNI_COMMAND": "ADD"})
    daemon.asked().connection.sendall(b"mp\2\x10\0\0\0\0")
    ended = call.ended()
    assert is_alone(ended.status, ended.stdout)


def test_the_plugin_alone_gets_input_that_was_read_already(
    shim: Installation, daemon: Scripted
) -> None:
    shim.patience = IMPATIENT
    call = shim.start(
        stdin=b'{"cniVersion": "9.9.9", "name": "x"}',
        environment={
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": "ctr",
            "CNI_NETNS": "/run/netns/x",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/nowhere",
        },
    )
    daemon.asked()
    assert b"9.9.9" in call.ended().stdout


def test_the_plugin_alone_is_told_where_a_daemon_would_be(shim: Installation) -> None:
    shim.interpreter = str(shim.directory / "python")
    fake = shim.directory / "python"
    fake.write_text(
        "#!/bin/sh\n"
        f'case "$1" in -IS) exec {sys.executable} "$@";; esac\n'
        'echo "$MULTUS_PY_SOCKET_DIR $@"; cat\n'
    )
    fake.chmod(0o755)
    ended = shim.start(stdin=b"asked").ended()
    assert ended.stdout.decode() == f"{shim.directory}/run -I -m multus_py\nasked"


# -- a daemon that is lost


LOST = b'"code": 11'


def test_a_daemon_that_is_lost_before_anything_was_run_is_asked_again(
    shim: Installation, daemon: Scripted
) -> None:
    call = shim.start(stdin=b"asked")
    talk = daemon.accepted()
    assert talk.order(wire.LOOK, wire.FILE, b"/", b"").how == wire.YES
    talk.close()
    again = daemon.accepted()
    assert again.stdin == b"asked"
    again.answer(b"{}")
    assert call.ended() == (0, b"{}", b"")


def test_a_request_that_ends_every_daemon_is_not_asked_for_ever(
    shim: Installation, daemon: Scripted
) -> None:
    shim.patience = 1000.0
    call = shim.start(environment={"CNI_COMMAND": "ADD"})
    for _ in range(2):
        daemon.accepted().close()
    ended = call.ended()
    assert is_alone(ended.status, ended.stdout)


def test_the_plugin_at_work_ends_with_the_connection(shim: Installation, daemon: Scripted) -> None:
    plugin = shim.plugin(f"sleep 1000 & echo $! > {shim.directory}/pids; exec sleep 1000")
    pids = shim.directory / "pids"
    call = shim.start()
    talk = daemon.accepted()
    talk.say(wire.RUN, *running(plugin))
    eventually(lambda: pids.exists() and pids.read_text())
    talk.close()
    ended = call.ended()
    assert (ended.status, ended.stderr) == (1, b"")
    assert LOST in ended.stdout
    assert ended.stdout.count(b"cniVersion") == 1
    eventually(lambda: not alive(int(pids.read_text())))


def test_a_daemon_that_is_lost_between_two_plugins_is_not_asked_again(
    shim: Installation, daemon: Scripted
) -> None:
    plugin = shim.plugin("exit 0")
    call = shim.start()
    talk = daemon.accepted()
    talk.run(plugin)
    talk.close()
    ended = call.ended()
    assert ended.status == 1
    assert LOST in ended.stdout


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        wire.packed(wire.ANSWER, b"zero", b"{}"),
        wire.packed(wire.HELP, b"soon", b"{}"),
        wire.packed(wire.ANSWER, b"0", b"{}", b"forever"),
    ],
)
def test_garbage_is_a_loss_and_nothing_is_printed_of_it(
    shim: Installation, daemon: Scripted, garbage: bytes
) -> None:
    plugin = shim.plugin("exit 0")
    call = shim.start()
    talk = daemon.accepted()
    talk.run(plugin)
    talk.connection.sendall(garbage)
    ended = call.ended()
    assert (ended.status, ended.stderr) == (1, b"")
    assert LOST in ended.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_plugin_at_work(
    shim: Installation, daemon: Scripted, number: int
) -> None:
    pids = shim.directory / "pids"
    plugin = shim.plugin(f"echo $$ > {pids}; exec sleep 1000")
    call = shim.start()
    talk = daemon.accepted()
    talk.say(wire.RUN, *running(plugin))
    eventually(lambda: pids.exists() and pids.read_text())
    call.process.send_signal(number)
    assert call.ended() == (128 + number, b"", b"")
    assert talk.ends()
    assert not alive(int(pids.read_text()))


# -- the command line


@pytest.mark.parametrize("environment", [{}, {"CNI_COMMAND": ""}])
def test_without_a_command_it_explains_itself(
    shim: Installation, daemon: Scripted, environment: dict[str, str]
) -> None:
    shim.patience = 1000.0
    ended = shim.start(environment=environment).ended()
    assert ended.status == 0
    assert b"CNI protocol versions supported" in ended.stderr


def test_with_arguments_it_is_the_command_line(shim: Installation, daemon: Scripted) -> None:
    shim.patience = 1000.0
    ended = shim.start("--help").ended()
    assert ended.status == 0
    assert b"Usage:" in ended.stdout


# -- the carrier


def carrier_of(shim: Installation, daemon: Scripted, stay: int = 1000) -> Talk:
    """Return the connection to a carrier that a shim has left behind."""
    call = shim.start()
    talk = daemon.accepted()
    talk.answer(b"{}", stay=stay)
    assert talk.carrier() == [b"%d" % wire.LEVEL, bytes(shim.bin_dir)]
    assert call.ended() == (0, b"{}", b"")
    return talk


def test_the_carrier_has_left_everything_behind(shim: Installation, daemon: Scripted) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    call = shim.start(close_fds=False)
    os.close(writer)
    talk = daemon.accepted()
    talk.answer(stay=1000)
    talk.carrier()
    call.ended()
    os.read(reader, 1)  # ends when nobody has the other end any more
    os.close(reader)
    (pid,) = shim.processes()
    place = f"/proc/{pid}"
    assert os.readlink(f"{place}/cwd") == "/"
    assert os.getsid(pid) == pid
    streams = {name: os.readlink(f"{place}/fd/{name}") for name in os.listdir(f"{place}/fd")}
    assert [streams.pop(name) for name in "012"] == ["/dev/null"] * 3
    for_signals = {"anon_inode"} if shim.micropython else set()
    assert {target.split(":")[0] for target in streams.values()} == {"socket"} | for_signals
    talk.close()
    eventually(lambda: not alive(pid))


def test_the_carrier_runs_plugins(shim: Installation, daemon: Scripted) -> None:
    plugin = shim.plugin('cat; echo "$CNI_COMMAND $CNI_IFNAME"; echo told >&2')
    talk = carrier_of(shim, daemon)
    for _ in range(3):
        reply = talk.run(plugin, stdin=b"given ", CNI_COMMAND="DEL")
        assert (reply.how, reply.stdout) == (wire.ENDED, b"given DEL \n")
        assert reply.stderr == b"told\n"
    assert talk.run("/bin/true").how == wire.UNTRUSTED


def test_the_carrier_ends_when_nobody_asks_for_anything(
    shim: Installation, daemon: Scripted
) -> None:
    talk = carrier_of(shim, daemon, stay=1)
    assert talk.ends()
    eventually(lambda: not shim.processes())


@pytest.mark.parametrize(
    ("script", "how"),
    [("head -c 5000000 /dev/zero", wire.FLOOD), ("head -c 3000000 /dev/zero; sleep 9", wire.LATE)],
)
def test_the_carrier_keeps_nothing_of_a_plugin_that_misbehaves(
    shim: Installation, daemon: Scripted, script: str, how: bytes
) -> None:
    """It lives for long, and a release that fails is tried again and again."""
    plugin = shim.plugin(script)
    talk = carrier_of(shim, daemon)
    (pid,) = shim.processes()

    def held() -> int:
        for _ in range(4):
            assert talk.run(plugin, seconds=0.5 if how == wire.LATE else 60.0).how == how
        return resident(pid)

    held()  # on a busy machine not every plugin comes to print all that it would
    assert held() + 2_000 >= held()


def resident(pid: int) -> int:
    """Return the memory that a process holds, in kB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def test_a_plugin_of_the_carrier_ends_with_the_connection(
    shim: Installation, daemon: Scripted
) -> None:
    pids = shim.directory / "pids"
    plugin = shim.plugin(f"echo $$ > {pids}; exec sleep 1000")
    talk = carrier_of(shim, daemon)
    talk.say(wire.RUN, *running(plugin))
    eventually(lambda: pids.exists() and pids.read_text())
    talk.close()
    eventually(lambda: not shim.processes())
    assert not alive(int(pids.read_text()))


def test_the_carrier_keeps_no_descriptor_that_was_returned(
    shim: Installation, daemon: Scripted
) -> None:
    talk = carrier_of(shim, daemon)
    (pid,) = shim.processes()
    before = os.listdir(f"/proc/{pid}/fd")
    for _ in range(3):
        assert talk.lend(0).how == wire.ENDED
        assert len(os.listdir(f"/proc/{pid}/fd")) == len(before) + 1
        assert talk.order(wire.RETURN).how == wire.ENDED
    assert os.listdir(f"/proc/{pid}/fd") == before


def test_a_shim_whose_answer_nobody_reads_does_not_stay(
    shim: Installation, daemon: Scripted
) -> None:
    call = shim.start(streams=(0, 2))
    talk = daemon.accepted()
    talk.answer(b"{}", stay=1000)
    assert talk.ends()
    assert call.ended().status == 1
    assert shim.processes() == []
