from __future__ import annotations

import json
import os
import random
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from multus_py import wire
from multus_py.daemon.carrier import Carriers
from multus_py.daemon.listener import listening
from multus_py.daemon.server import Server
from tests.daemon.parts import requests, serving
from tests.processes import PATIENCE, alive, eventually, output, python
from tests.shims import Installation
from tests.system.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.nodes import Netns

FRAMES = 10_000
VERSION = wire.packed(wire.REQUEST, b"1", b'{"cniVersion": "1.0.0"}', b"CNI_COMMAND=VERSION")
ADD = wire.packed(
    wire.REQUEST,
    b"1",
    b'{"cniVersion": "1.0.0", "name": "net", "type": "multus-py", "delegates": []}',
    b"CNI_COMMAND=ADD\0CNI_CONTAINERID=ctr\0CNI_NETNS=/nowhere\0CNI_IFNAME=eth0\0CNI_PATH=/nowhere",
)


@pytest.fixture
def shim(tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(tmp_path)
    installation.write()
    yield installation
    installation.end()


@pytest.fixture
def server(shim: Installation) -> Iterator[Server]:
    with serving(os.path.dirname(shim.socket)) as (server, _):
        yield server


@pytest.fixture
def runtime(shim: Installation, netns: Netns) -> Runtime:
    """A node whose one network has two plugins."""
    runtime = Runtime(shim.directory, netns.path, program=(str(shim.launcher),))
    runtime.install("main", "one")
    plugins = [{"type": "main"}, {"type": "one"}]
    runtime.config = {"delegates": [{"cniVersion": "1.1.0", "name": "primary", "plugins": plugins}]}
    return runtime


def said(path: str, *raw: bytes) -> bytes:
    """Return all that a server says to these bytes, until it closes the connection."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(path)
        heard = []
        try:
            connection.sendall(b"".join(raw))
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(1 << 16):
                heard.append(part)
        except ConnectionError:
            pass  # it has heard enough
        return b"".join(heard)


def answers(path: str) -> bool:
    """Tell whether a server answers a good request."""
    try:
        heard = said(path, VERSION)
    except OSError:
        return False
    return heard.startswith(wire.packed(wire.ACCEPTED)) and b"supportedVersions" in heard


# -- requests


def test_a_launcher_of_the_version_before_is_asked_for_what_it_does_not_tell(
    server: Server, runtime: Runtime
) -> None:
    variables = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "ctr",
        "CNI_NETNS": "/run/netns/pod",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/bin",
    }
    config = {
        "cniVersion": "1.1.0",
        "name": "multus",
        "type": "multus-py",
        "cniDir": str(runtime.cni_dir),
        "delegates": [{"cniVersion": "1.1.0", "name": "x", "type": "main"}],
    }
    asked = b"\0".join(f"{name}={value}".encode() for name, value in variables.items())
    with socket.socket(socket.AF_UNIX) as shim:
        shim.settimeout(PATIENCE)
        shim.connect(server._path)
        wire.send(shim, wire.REQUEST, b"1", json.dumps(config).encode(), asked)
        heard = []
        lent: list[int] = []
        while (order := wire.receive(shim, descriptors=lent))[0] != wire.ANSWER:
            kind, fields = order
            heard.append((kind, fields[0] if kind == wire.LOOK else len(fields)))
            how = {wire.LOOK: wire.NO}.get(kind, wire.ENDED)
            if kind != wire.ACCEPTED:
                wire.send(shim, wire.REPLY, how, b"", b"0", b'{"cniVersion": "1.1.0"}')
        for descriptor in lent:
            os.close(descriptor)
    assert order[1][0] == b"0", order[1][1]
    assert heard == [
        (wire.ACCEPTED, 0),
        (wire.LOOK, wire.OWN_NETNS),
        (wire.LEND, 0),
        (wire.LOOK, wire.LINK),
        (wire.RUN, 5),
    ]


def test_a_pod_is_attached_checked_and_released(server: Server, runtime: Runtime) -> None:
    added = runtime.request("ADD")
    assert added.status == 0, added.stdout
    assert added.document["interfaces"][0]["name"] == "eth0"
    assert runtime.request("CHECK").status == 0
    assert runtime.request("STATUS").status == 0
    assert runtime.request("DEL").stdout == ""
    assert runtime.state() == ([], {})


def test_a_failure_is_told_in_the_same_words_as_without_a_daemon(
    server: Server, runtime: Runtime
) -> None:
    runtime.behave(one={"ADD": {"fail": {"code": 7, "msg": "no more"}}})
    through = runtime.request("ADD")
    alone = Runtime(runtime.directory, runtime.netns, config=runtime.config).request("ADD")
    assert (through.status, through.document) == (alone.status, alone.document)
    assert through.document["code"] == 7
    assert runtime.entries() == []


def test_what_is_no_text_is_refused_as_it_is_without_a_daemon(
    server: Server, runtime: Runtime
) -> None:
    alone = Runtime(runtime.directory, runtime.netns, config=runtime.config)
    environment: dict[str, str | None] = {"CNI_ARGS": "IgnoreUnknown=1;X=\udcff"}
    answers = [one.request("ADD", environment=environment) for one in (runtime, alone)]
    assert [answer.document["code"] for answer in answers] == [4, 4]
    assert answers[0].stdout == answers[1].stdout


def test_who_is_executed_by_a_delegate_of_the_same_pod_is_refused(
    server: Server, runtime: Runtime
) -> None:
    environment: dict[str, str | None] = {"MULTUS_PY_RUNNING_FOR": "container ctr"}
    assert runtime.request("ADD", environment=environment).document["code"] == 104


def test_two_requests_for_one_container_take_turns(server: Server, runtime: Runtime) -> None:
    runtime.behave(main={"ADD": {"sleep": 0.5}})
    with ThreadPoolExecutor(2) as pool:
        adding = pool.submit(runtime.request, "ADD")
        eventually(lambda: runtime.talk() == ["ADD main eth0"])
        deleting = pool.submit(runtime.request, "DEL")
        assert adding.result().status == 0
        assert deleting.result().status == 0
    assert runtime.talk() == ["ADD main eth0", "ADD one eth0", "DEL one eth0", "DEL main eth0"]
    assert runtime.state() == ([], {})


def test_many_pods_at_once_have_their_turns(shim: Installation, runtime: Runtime) -> None:
    pods = [f"ctr{number}" for number in range(24)]
    with serving(os.path.dirname(shim.socket), in_flight=2), ThreadPoolExecutor(len(pods)) as pool:
        for command, entries in (("ADD", 2 * len(pods)), ("DEL", 0)):
            requests = [pool.submit(runtime.request, command, container_id=pod) for pod in pods]
            assert [request.result().status for request in requests] == [0] * len(pods)
            assert len(runtime.entries()) == entries
    assert runtime.state() == ([], {})


# -- shims that are killed


def killed_at(step: int) -> str:
    """Return lines for a launcher whose process ends before or after its so-manieth frame."""
    return f"""
import posix, sys
steps = 0
def watch(frame, event, argument):
    global steps
    if event in ("call", "return") and frame.f_code.co_name in ("send", "receive"):
        steps += 1
        if steps == {step}:
            posix.kill(posix.getpid(), 9)
sys.setprofile(watch)
"""


@pytest.mark.parametrize("command", ["ADD", "DEL"])
def test_a_shim_that_is_killed_at_any_frame_leaves_nothing_that_del_does_not_find(
    server: Server, runtime: Runtime, shim: Installation, command: str
) -> None:
    killed, step = None, 0
    while killed is None or killed.status == -signal.SIGKILL:
        step += 1
        if command == "DEL":
            assert runtime.request("ADD").status == 0
        shim.first = killed_at(step)
        shim.write()
        killed = runtime.request(command)
        shim.first = ""
        shim.write()
        answer = runtime.request("DEL")
        assert answer.status == 0, f"step {step}: {answer.stdout}"
        assert runtime.state() == ([], {}), f"step {step}"
    assert killed.status == 0, killed.stdout
    assert step > 15


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("plugin", ["main", "one"])
def test_a_shim_that_is_killed_by_a_plugin_leaves_nothing_that_del_does_not_find(
    server: Server, runtime: Runtime, moment: str, plugin: str
) -> None:
    runtime.behave(**{plugin: {"ADD": {"kill": moment}}})
    assert runtime.request("ADD").status == -signal.SIGKILL
    assert runtime.request("DEL").status == 0
    assert runtime.state() == ([], {})


def test_an_orphaned_plugin_is_ended_before_anything_is_released(
    server: Server, runtime: Runtime
) -> None:
    runtime.behave(one={"ADD": {"sleep": 1000}})
    child = runtime.start("ADD")
    assert child.stdin
    child.stdin.write(json.dumps(runtime.written()).encode())
    child.stdin.close()
    child.stdin = None  # communicate() would flush it
    eventually(lambda: runtime.talk() == ["ADD main eth0", "ADD one eth0"])
    (orphan,) = children(child.pid)
    child.kill()
    child.communicate()
    assert alive(orphan)
    assert runtime.request("DEL").status == 0
    assert not alive(orphan)
    assert runtime.talk()[2:] == ["DEL one eth0", "DEL main eth0"]
    assert runtime.state() == ([], {})


def children(pid: int) -> list[int]:
    return [int(name) for name in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# -- what is no request


def fuzzed(chance: random.Random) -> bytes:
    """Return random bytes, a good frame with some bits flipped, or a part of one."""
    frame = bytearray(chance.choice((VERSION, ADD)))
    match chance.randrange(3):
        case 0:
            return chance.randbytes(chance.randrange(64))
        case 1:
            for _ in range(chance.randrange(1, 9)):
                bit = chance.randrange(8 * len(frame))
                frame[bit // 8] ^= 1 << bit % 8
            return bytes(frame)
        case _:
            return bytes(frame[: chance.randrange(len(frame))])


def kilobytes() -> int:
    """Return how much memory this process has at present."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.usefixtures("node")
def test_ten_thousand_fuzzed_frames_harm_nobody(
    server: Server, shim: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    chance = random.Random(4)
    assert answers(shim.socket)  # from then on two threads stay
    threads, opened = threading.active_count(), descriptors()
    memory = 0
    for number in range(FRAMES):
        said(shim.socket, fuzzed(chance))
        if number == FRAMES // 5:
            memory = kilobytes()
    eventually(lambda: threading.active_count() <= threads and descriptors() <= opened)
    assert kilobytes() - memory < 10_000  # a kilobyte for each frame; coverage takes most of it
    assert answers(shim.socket)
    assert shim.start(environment={"CNI_COMMAND": "VERSION"}, stdin=b"{}").ended().status == 0


def test_a_frame_that_is_no_request_is_not_answered(server: Server, shim: Installation) -> None:
    for kind in (wire.CARRIER, wire.REPLY, wire.RUN, 0, 255):
        assert said(shim.socket, wire.packed(kind, b"1", b"{}", b"CNI_COMMAND=VERSION")) == b""
    assert answers(shim.socket)


def test_who_says_nothing_keeps_nobody_waiting(server: Server, shim: Installation) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(shim.socket)
        assert answers(shim.socket)


AS_SOMEBODY_ELSE = """
import os, socket, sys

os.chdir(sys.argv[1])
os.setuid(65534)
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("multus-py.sock")
    try:
        connection.sendall(bytes.fromhex(sys.argv[2]))
        print(connection.recv(100).hex())
    except ConnectionError:
        print()
"""


@pytest.mark.usefixtures("node")
def test_a_process_of_another_user_is_not_listened_to(
    server: Server, shim: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    directory = os.path.dirname(shim.socket)
    os.chmod(directory, 0o755)
    os.chmod(shim.socket, 0o666)
    assert output(python(AS_SOMEBODY_ELSE, directory, VERSION.hex())) == "\n"
    assert "user 65534" in caplog.text
    ours = AS_SOMEBODY_ELSE.replace("os.setuid(65534)", "")
    accepted = wire.packed(wire.ACCEPTED).hex()
    assert output(python(ours, directory, VERSION.hex())).startswith(accepted)


# -- the socket


def test_a_socket_that_is_removed_comes_back(server: Server, shim: Installation) -> None:
    for _ in range(2):
        os.unlink(shim.socket)
        assert not server.listening
        eventually(lambda: server.listening)
        assert answers(shim.socket)
    assert os.listdir(os.path.dirname(shim.socket)) == ["multus-py.sock"]


def test_so_does_its_directory(server: Server, shim: Installation) -> None:
    os.unlink(shim.socket)
    os.rmdir(os.path.dirname(shim.socket))
    eventually(lambda: answers(shim.socket))


def test_one_that_somebody_else_puts_there_does_not_stay(
    server: Server, shim: Installation
) -> None:
    with listening(shim.socket).socket:
        eventually(lambda: server.listening)
    assert answers(shim.socket)


def test_no_descriptor_is_lost_with_a_socket(server: Server, shim: Installation) -> None:
    before = descriptors()
    os.unlink(shim.socket)
    eventually(lambda: server.listening)
    assert answers(shim.socket)
    eventually(lambda: descriptors() == before)


# -- the end


@pytest.fixture
def working(shim: Installation, runtime: Runtime) -> Path:
    """A file that lets a plugin end which is started by ADD."""
    go = shim.directory / "go"
    plugin = runtime.bin_dir / "main"
    plugin.write_text(
        "#!/bin/sh\n"
        f"touch {go}.begun; while [ ! -e {go} ]; do sleep 0.01; done\n"
        'echo "{\\"cniVersion\\": \\"1.1.0\\"}"\n'
    )
    return go


def test_it_can_stop_while_requests_come(shim: Installation) -> None:
    directory = os.path.dirname(shim.socket)
    for _ in range(30):
        with serving(directory) as (server, _), ThreadPoolExecutor(8) as pool:
            asking = [pool.submit(answers, shim.socket) for _ in range(30)]
            assert server.stop(PATIENCE) == 0
            for one in asking:
                one.result()


def test_a_server_without_a_thread_does_not_start(
    shim: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Server(
        os.path.dirname(shim.socket), requests=requests(), carriers=Carriers(idle_seconds=0)
    )
    monkeypatch.setattr(threading.Thread, "start", exhausted)
    with pytest.raises(RuntimeError, match="new thread"):
        made.start()
    assert not made.alive
    made._listener.socket.close()  # type: ignore[union-attr]


def test_without_more_threads_requests_are_answered_one_after_the_other(
    server: Server, shim: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", exhausted)
        for _ in range(3):
            assert answers(shim.socket)
    assert server.alive
    assert answers(shim.socket)


def exhausted(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def refused(path: str) -> bool:
    """Tell whether nobody accepts connections."""
    try:
        said(path, VERSION)
    except ConnectionRefusedError:
        return True
    return False


def test_what_runs_is_finished_and_nothing_new_is_accepted(
    shim: Installation, runtime: Runtime, working: Path
) -> None:
    runtime.config = {"delegates": [{"cniVersion": "1.1.0", "name": "x", "type": "main"}]}
    with (
        serving(os.path.dirname(shim.socket)) as (server, _),
        ThreadPoolExecutor(2) as pool,
        socket.socket(socket.AF_UNIX) as early,
    ):
        adding = pool.submit(runtime.request, "ADD")
        eventually(Path(f"{working}.begun").exists)
        early.connect(shim.socket)
        stopped = pool.submit(server.stop, PATIENCE)
        eventually(lambda: refused(shim.socket))
        assert not server.alive
        early.sendall(VERSION)
        assert early.recv(1) == b"", "it had not begun"
        assert not adding.done()
        working.touch()
        assert stopped.result() == 0
        assert adding.result().status == 0
    assert os.path.exists(shim.socket)


def test_what_does_not_finish_in_time_is_counted(
    shim: Installation, runtime: Runtime, working: Path
) -> None:
    with serving(os.path.dirname(shim.socket)) as (server, _), ThreadPoolExecutor(1) as pool:
        pool.submit(runtime.request, "ADD")
        eventually(Path(f"{working}.begun").exists)
        assert server.stop(0.01) == 1
        working.touch()


def test_a_successor_takes_over_where_the_socket_was(shim: Installation) -> None:
    for _ in range(2):
        with serving(os.path.dirname(shim.socket)):
            assert answers(shim.socket)


# -- the carrier


@pytest.fixture
def carriers(shim: Installation) -> Iterator[Carriers]:
    with serving(os.path.dirname(shim.socket), idle_seconds=600) as (_, carriers):
        yield carriers


def ask(shim: Installation) -> None:
    """Make a request that succeeds at once."""
    assert shim.start(environment={"CNI_COMMAND": "VERSION"}).ended().status == 0


def has_one(carriers: Carriers) -> bool:
    with carriers.borrowed() as hands:
        return hands is not None


def test_one_shim_stays_as_carrier_and_no_more(shim: Installation, carriers: Carriers) -> None:
    for _ in range(5):
        ask(shim)
        eventually(lambda: has_one(carriers))
    assert len(shim.processes()) == 1


def test_of_many_shims_at_once_one_stays(shim: Installation, carriers: Carriers) -> None:
    calls = [shim.start(environment={"CNI_COMMAND": "VERSION"}) for _ in range(20)]
    assert [call.ended().status for call in calls] == [0] * 20
    eventually(lambda: has_one(carriers))
    assert len(shim.processes()) == 1


def test_a_carrier_that_was_killed_is_followed_by_the_next_shim(
    shim: Installation, carriers: Carriers
) -> None:
    for _ in range(3):
        ask(shim)
        eventually(lambda: has_one(carriers))
        (pid,) = shim.processes()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not has_one(carriers))


def test_the_carrier_ends_with_the_daemon(shim: Installation) -> None:
    with serving(os.path.dirname(shim.socket), idle_seconds=600) as (_, carriers):
        ask(shim)
        eventually(lambda: has_one(carriers))
        assert shim.processes()
    eventually(lambda: not shim.processes())


def test_a_shim_that_is_killed_instead_of_staying_is_followed_by_the_next(
    shim: Installation, carriers: Carriers
) -> None:
    for step in range(1, 9):
        shim.first = killed_at(step)
        shim.start(environment={"CNI_COMMAND": "VERSION"}).ended()
        eventually(lambda: not shim.processes())
    shim.first = ""
    ask(shim)
    eventually(lambda: has_one(carriers))
