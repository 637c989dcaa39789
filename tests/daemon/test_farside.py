from __future__ import annotations

import json
import os
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from multus_py import wire
from multus_py.adapters import locks
from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.core.ports import PluginCall
from multus_py.daemon.farside import FarHost
from tests.processes import PATIENCE, alive, eventually
from tests.shims import Installation, Scripted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.nodes import Netns


@pytest.fixture
def host(shim: Installation) -> Iterator[FarHost]:
    """The host as it is seen through a real shim."""
    with Scripted(shim.socket) as scripted:
        shim.start()
        yield FarHost(scripted.accepted().connection, level=wire.LEVEL)


@pytest.fixture
def carrier(shim: Installation) -> Iterator[FarHost]:
    """The host as it is seen through a shim that stays."""
    with Scripted(shim.socket) as scripted:
        shim.start()
        yield FarHost(scripted.accepted().connection, level=wire.LEVEL, stays=True)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours and theirs."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def far(ends: tuple[socket.socket, socket.socket]) -> tuple[FarHost, socket.socket]:
    """The host as it is seen through whatever a test replies."""
    ours, theirs = ends
    return FarHost(ours, level=wire.LEVEL), theirs


def call(*path: object, plugin: str = "plugin", **changes: Any) -> PluginCall:
    keywords = {"environment": {}, "stdin": b"{}", "seconds": PATIENCE, **changes}
    return PluginCall(plugin=plugin, path=tuple(map(str, path)), **keywords)


def reply(theirs: socket.socket, *fields: bytes) -> None:
    wire.send(theirs, wire.REPLY, *fields)


def failure(host: FarHost, asked: PluginCall) -> CniError:
    with pytest.raises(CniError) as caught:
        host.run(asked)
    return caught.value


# -- plugins


def test_a_plugin_runs_as_if_it_ran_here(shim: Installation, host: FarHost) -> None:
    shim.plugin('cat; echo "$CNI_ARGS $MULTUS_PY_RUNNING_FOR"; echo told >&2; exit 3')
    variables = {"CNI_ARGS": "a=\udcff", "CNI_CONTAINERID": "ctr"}
    ended = host.run(call("/nowhere", shim.bin_dir, environment=variables))
    assert (ended.status, ended.stderr) == (3, b"told\n")
    assert ended.stdout == b"{}a=\xff container ctr\n"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exec sleep 1000", Code.DELEGATE_TIMEOUT),
        ("head -c 5000000 /dev/zero", Code.DELEGATE_OUTPUT),
    ],
)
def test_what_happens_to_a_plugin_has_the_same_code_as_here(
    shim: Installation, host: FarHost, script: str, code: Code
) -> None:
    shim.plugin(script)
    assert failure(host, call(shim.bin_dir, seconds=1.0)).code == code


def test_a_plugin_that_cannot_be_run_has_the_same_error_as_here(
    shim: Installation, host: FarHost
) -> None:
    error = failure(host, call(shim.bin_dir, "/nowhere"))
    assert isinstance(error, NotFoundError)
    assert f"plugin in {shim.bin_dir}, /nowhere" in error.cause
    shim.plugin("", mode=0o777)
    assert failure(host, call(shim.bin_dir)).code == Code.DELEGATE_UNTRUSTED
    (shim.bin_dir / "link").symlink_to(shim.launcher)
    assert failure(host, call(shim.bin_dir, plugin="link")).code == Code.RECURSION
    shim.plugin("", "none")
    (shim.bin_dir / "none").write_text("\x7fELF")
    error = failure(host, call(shim.bin_dir, plugin="none"))
    assert (error.code, error.cause) == (
        Code.DELEGATE_FAILED,
        f"cannot execute {shim.bin_dir}/none: Exec format error",
    )


@pytest.mark.usefixtures("node")
def test_a_plugin_whose_link_is_there_is_not_run(
    netns: Netns, tmp_path: Path, shim: Installation, host: FarHost
) -> None:
    netns.add_link("net1")
    shim.plugin(f"touch {tmp_path}/started")
    asked = call(shim.bin_dir, environment={"CNI_NETNS": netns.path}, new_link="net1")
    error = failure(host, asked)
    assert (error.code, error.cause) == (
        Code.INTERFACE_TAKEN,
        "the pod already has an interface net1",
    )
    assert failure(host, replace(asked, path=("/nowhere",))).code == Code.INTERFACE_TAKEN
    gone = replace(asked, environment={"CNI_NETNS": "/nowhere"})
    assert failure(host, gone).code == Code.INVALID_NETNS
    assert not (tmp_path / "started").exists()
    assert host.run(replace(asked, new_link="net2")).status == 0
    assert (tmp_path / "started").exists()


def test_an_older_shim_is_asked_for_the_link_before(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    host = FarHost(ours, level=1)
    asked = call("/bin", environment={"CNI_NETNS": "/x"}, new_link="net1")
    reply(theirs, wire.YES)
    assert failure(host, asked).code == Code.INTERFACE_TAKEN
    reply(theirs, wire.NO)
    reply(theirs, wire.ENDED)
    assert host.run(asked).status == 0
    looked = (wire.LOOK, [wire.LINK, b"/x", b"net1"])
    assert [wire.receive(theirs) for _ in range(2)] == [looked, looked]
    kind, fields = wire.receive(theirs)
    assert (kind, len(fields)) == (wire.RUN, 5)


def test_a_shim_that_cannot_look_is_asked_no_second_time(
    far: tuple[FarHost, socket.socket],
) -> None:
    host, theirs = far
    asked = call("/bin", environment={"CNI_NETNS": "/x"}, new_link="net1")
    for how in (wire.UNABLE, wire.NO, wire.ENDED, wire.NO, wire.ENDED):
        reply(theirs, how)
    for _ in range(2):
        assert host.run(asked).status == 0
    kinds = [wire.receive(theirs)[0] for _ in range(5)]
    assert kinds == [wire.RUN, wire.LOOK, wire.RUN, wire.LOOK, wire.RUN]


@pytest.mark.parametrize("name", ["../plugin", "/bin/true", "a/../b", ".", "..", "", "a\0b"])
def test_only_names_of_plugins_are_asked_for(far: tuple[FarHost, socket.socket], name: str) -> None:
    assert failure(far[0], call("/bin", plugin=name)).code == Code.INVALID_CONFIGURATION


@pytest.mark.parametrize("text", ["a\0LD_PRELOAD=/x", "\ud800"])
def test_what_cannot_be_passed_on_is_the_configurations_fault(
    far: tuple[FarHost, socket.socket], text: str
) -> None:
    asked = call("/bin", environment={"CNI_ARGS": text})
    assert failure(far[0], asked).code == Code.INVALID_CONFIGURATION
    assert failure(far[0], call(f"/{text}")).code == Code.INVALID_CONFIGURATION
    with pytest.raises(CniError):
        far[0].wait_for_file(f"/{text}", 0)


def test_too_much_of_it_is_too(far: tuple[FarHost, socket.socket]) -> None:
    host, theirs = far
    error = failure(host, call("/bin", stdin=b"x" * wire.LIMIT))
    assert error.code == Code.INVALID_CONFIGURATION
    reply(theirs, wire.ENDED)
    assert host.run(call("/bin")).status == 0, "and the connection can still be used"


# -- replies


def test_a_reply_of_an_older_shim_has_empty_fields(far: tuple[FarHost, socket.socket]) -> None:
    host, theirs = far
    reply(theirs, wire.ENDED)
    ended = host.run(call("/bin"))
    assert (ended.status, ended.stdout, ended.stderr) == (0, b"", b"")


def test_a_reply_of_a_newer_shim_has_more(far: tuple[FarHost, socket.socket]) -> None:
    host, theirs = far
    reply(theirs, wire.ENDED, b"", b"2", b"out", b"err", b"", b"more")
    assert host.run(call("/bin")).stdout == b"out"


@pytest.mark.parametrize("how", [wire.UNABLE, b"", b"\xff", b"future"])
def test_a_reply_that_is_not_understood_is_a_failure(
    far: tuple[FarHost, socket.socket], how: bytes
) -> None:
    host, theirs = far
    reply(theirs, how)
    assert failure(host, call("/bin")).code == Code.DELEGATE_FAILED


@pytest.mark.parametrize(
    "raw",
    [
        b"garbage!" * 2,
        wire.packed(wire.ACCEPTED),
        wire.packed(wire.REPLY, wire.ENDED, b"", b"x"),
        wire.packed(wire.REPLY, wire.ENDED)[:-1],
        b"",
    ],
)
def test_after_a_loss_nothing_more_is_asked(far: tuple[FarHost, socket.socket], raw: bytes) -> None:
    """A reply that comes late would be taken for that to the next order."""
    host, theirs = far
    theirs.sendall(raw)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(wire.LostError):
        host.run(call("/bin"))
    assert wire.receive(theirs)[0] == wire.RUN
    with pytest.raises(wire.LostError):
        host.run(call("/bin"))
    assert theirs.recv(1) == b""


# -- looking


def test_what_the_request_has_told_of_its_namespace_is_not_asked_for(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    host = FarHost(ours, level=wire.LEVEL, seen={"/x": True, "/y": False})
    assert host.own_netns("/x")
    assert not host.own_netns("/y")
    reply(theirs, wire.YES)
    assert host.own_netns("/z")
    assert wire.receive(theirs) == (wire.LOOK, [wire.OWN_NETNS, b"/z", b""])


def test_files_are_waited_for(tmp_path: Path, host: FarHost) -> None:
    assert not host.wait_for_file(str(tmp_path / "file"), 0)
    (tmp_path / "file").touch()
    assert host.wait_for_file(str(tmp_path / "file"), 0)


def test_a_file_that_comes_in_time_is_seen(tmp_path: Path, host: FarHost) -> None:
    late = threading.Timer(0.3, (tmp_path / "file").touch)
    late.start()
    assert host.wait_for_file(str(tmp_path / "file"), PATIENCE)
    late.join()


def test_the_network_is_seen(netns: Netns, host: FarHost) -> None:
    netns.add_link("net1", "10.1.0.2/24")
    assert host.own_netns("/proc/self/ns/net")
    assert not host.own_netns(netns.path)
    assert host.link_exists(netns.path, "net1")
    assert not host.link_exists(netns.path, "net2")
    netns.add_route("default", "via", "10.1.0.1")
    assert host.default_route_families(netns.path, "net1") == {4}
    host.replace_default_routes(netns.path, "net1", families=[4], gateways=["10.1.0.9"])
    assert netns.default_routes(4) == ["via 10.1.0.9 dev net1"]


@pytest.mark.usefixtures("node")
def test_a_namespace_that_is_none_has_the_same_code_as_here(host: FarHost) -> None:
    with pytest.raises(CniError) as caught:
        host.link_exists("/nowhere", "net1")
    assert caught.value.code == Code.INVALID_NETNS


@pytest.mark.parametrize("stdout", [b"", b"[]", b"{", b"\xff", b"5", b"{}"])
def test_a_helper_that_fails_is_told_with_its_last_words(
    far: tuple[FarHost, socket.socket], stdout: bytes
) -> None:
    host, theirs = far
    reply(theirs, wire.ENDED, b"", b"1", stdout, b"Traceback: KeyError")
    with pytest.raises(CniError) as caught:
        host.default_route_families("/x", "net1")
    assert caught.value.code == Code.INTERNAL
    assert "ended: Traceback: KeyError" in caught.value.cause


def test_what_an_older_shim_cannot_see_the_helper_looks_for(
    far: tuple[FarHost, socket.socket],
) -> None:
    host, theirs = far
    reply(theirs, wire.UNABLE)
    reply(theirs, wire.ENDED, b"", b"0", b'{"answer": true}')
    assert host.link_exists("/x", "net1")
    assert wire.receive(theirs) == (wire.LOOK, [wire.LINK, b"/x", b"net1"])
    kind, (_, task) = wire.receive(theirs)
    assert kind == wire.HELP
    assert json.loads(task) == {"do": "link_exists", "netns": "/x", "ifname": "net1"}


# -- the lock


def free(path: str) -> bool:
    """Tell whether nobody holds a lock, neither here nor elsewhere."""
    try:
        with locks.held(path, 0, end_orphans=lambda _: None):
            return True
    except CniError:
        return False


def test_whatever_is_run_under_a_lock_holds_it_too(
    tmp_path: Path, shim: Installation, carrier: FarHost
) -> None:
    shim.plugin("ls -l /proc/self/fd")
    path = str(tmp_path / "lock")
    with carrier.lock(path, 0):
        assert path.encode() in carrier.run(call(shim.bin_dir)).stdout
    assert path.encode() not in carrier.run(call(shim.bin_dir)).stdout
    assert not os.path.exists(path)


def test_a_lock_is_returned_after_an_error_too(
    tmp_path: Path, shim: Installation, carrier: FarHost
) -> None:
    shim.plugin("ls -l /proc/self/fd")
    path = str(tmp_path / "lock")
    with pytest.raises(CniError, match="failed"), carrier.lock(path, 0):
        raise CniError(Code.DELEGATE_FAILED, "failed")
    assert path.encode() not in carrier.run(call(shim.bin_dir)).stdout
    assert free(path)


def test_who_ends_with_the_answer_is_not_asked_to_return_a_lock(
    tmp_path: Path, far: tuple[FarHost, socket.socket]
) -> None:
    host, theirs = far
    path = str(tmp_path / "lock")
    reply(theirs, wire.ENDED)
    with host.lock(path, 0):
        assert not free(path)
    assert free(path), "although the other side has the descriptor still"
    theirs.setblocking(False)
    assert wire.receive(theirs)[0] == wire.LEND
    with pytest.raises(wire.LostError, match="unavailable"):
        wire.receive(theirs)


def test_the_lock_before_is_returned_when_the_next_is_lent(
    tmp_path: Path, far: tuple[FarHost, socket.socket]
) -> None:
    host, theirs = far
    for _ in range(5):
        reply(theirs, wire.ENDED)
    for name in "abc":
        with host.lock(str(tmp_path / name), 0):
            pass
    kinds = [wire.receive(theirs, descriptors=[])[0] for _ in range(5)]
    assert kinds == [wire.LEND, wire.RETURN, wire.LEND, wire.RETURN, wire.LEND]


def test_nothing_is_begun_under_a_lock_that_nobody_takes_over(
    tmp_path: Path, far: tuple[FarHost, socket.socket]
) -> None:
    host, theirs = far
    path = str(tmp_path / "lock")
    reply(theirs, wire.FAILED, b"no descriptor has come")
    with pytest.raises(wire.LostError, match="no descriptor has come"), host.lock(path, 0):
        pytest.fail("it was begun")
    assert free(path)


def test_a_plugin_whose_shim_was_killed_keeps_the_lock_until_it_is_ended(
    tmp_path: Path, shim: Installation
) -> None:
    pids = tmp_path / "pids"
    shim.plugin(f"echo $$ > {pids}; exec sleep 1000")
    path = str(tmp_path / "lock")
    with Scripted(shim.socket) as scripted:
        first = shim.start()
        host = FarHost(scripted.accepted().connection, level=wire.LEVEL)

        def kill() -> None:
            eventually(lambda: pids.exists() and pids.read_text())
            first.process.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(wire.LostError), host.lock(path, 0):
            host.run(call(shim.bin_dir))
        killer.join()
        orphan = int(pids.read_text())
        assert alive(orphan)
        assert not free(path)
        shim.start()
        with FarHost(scripted.accepted().connection, level=wire.LEVEL).lock(path, PATIENCE):
            assert not alive(orphan)


def test_a_request_that_waits_for_another_one_here_ends_nobody(
    tmp_path: Path, shim: Installation
) -> None:
    pids = tmp_path / "pids"
    shim.plugin(f"echo $$ > {pids}; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done")
    path = str(tmp_path / "lock")
    with Scripted(shim.socket) as scripted:
        for _ in range(2):
            shim.start()
        first, second = (
            FarHost(scripted.accepted().connection, level=wire.LEVEL) for _ in range(2)
        )

        def work() -> None:
            with first.lock(path, 0):
                assert first.run(call(shim.bin_dir)).status == 0

        working = threading.Thread(target=work)
        working.start()
        eventually(lambda: pids.exists() and pids.read_text())
        with pytest.raises(CniError) as caught, second.lock(path, 0.2):
            pytest.fail("two at a time")
        assert caught.value.code == Code.TRY_AGAIN_LATER
        assert alive(int(pids.read_text()))
        (tmp_path / "go").touch()
        with second.lock(path, PATIENCE):
            pass
        working.join()
