from __future__ import annotations

import glob
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from multus_py import wire
from multus_py.core.mishaps import OUTPUT_LIMIT
from tests.processes import eventually
from tests.shims import Installation, Reply, Scripted, Talk, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def talk(shim: Installation) -> Iterator[Talk]:
    """A shim that waits for orders."""
    with Scripted(shim.socket) as scripted:
        shim.start()
        yield scripted.accepted()


# -- RUN: what is run


def test_the_first_file_that_can_be_executed_is_run(shim: Installation, talk: Talk) -> None:
    shim.plugin("echo not executable", "first", 0o644)
    (shim.bin_dir / "second").mkdir()
    (shim.bin_dir / "third").symlink_to("nowhere")
    paths = [str(shim.bin_dir / name) for name in ("none", "first", "second", "third")]
    reply = talk.run(*paths, shim.plugin("echo right", "fourth"), shim.plugin("echo last", "fifth"))
    assert (reply.how, reply.status, reply.stdout) == (wire.ENDED, b"0", b"right\n")
    assert talk.run(*paths).how == wire.MISSING
    assert talk.run().how == wire.MISSING


def test_a_plugin_gets_the_variables_of_its_request_and_the_rest_of_the_shims(
    shim: Installation,
) -> None:
    plugin = shim.plugin("exec env -0")
    inherited = {
        b"CNI_COMMAND": b"ADD",
        b"CNI_PATH": bytes(shim.bin_dir),
        b"CNI_IFNAME": b"eth0",
        b"HTTP_PROXY": b"\xff",
        b"LC_ALL": b"C",  # or the interpreter sets LC_CTYPE
    }
    with Scripted(shim.socket) as scripted:
        shim.start(environment=inherited)
        variables = {"CNI_COMMAND": "DEL", "CNI_ARGS": "a=\udcff\n;", "MULTUS_PY_RUNNING_FOR": "x"}
        reply = scripted.accepted().run(plugin, **variables)
    told = dict(pair.split(b"=", 1) for pair in reply.stdout.split(b"\0") if pair)
    told.pop(b"PWD", None)  # of the shell
    assert told == {
        b"PATH": os.environb[b"PATH"],
        b"HTTP_PROXY": b"\xff",
        b"LC_ALL": b"C",
        b"CNI_COMMAND": b"DEL",
        b"CNI_ARGS": b"a=\xff\n;",
        b"MULTUS_PY_RUNNING_FOR": b"x",
    }


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PATH", "PYTHONPATH", "IFS", ""])
def test_a_daemon_sets_no_other_variables(shim: Installation, talk: Talk, name: str) -> None:
    plugin = shim.plugin("exec env -0")
    reply = talk.run(plugin, **{"CNI_COMMAND": "ADD", name: "/daemon"})
    assert b"/daemon" not in reply.stdout
    assert b"CNI_COMMAND=ADD" in reply.stdout


def test_output_is_drained_in_full_and_errors_are_shown(shim: Installation) -> None:
    plugin = shim.plugin(f"head -c {OUTPUT_LIMIT} /dev/zero; head -c 3000000 /dev/zero >&2")
    with Scripted(shim.socket) as scripted:
        call = shim.start()
        talk = scripted.accepted()
        reply = talk.run(plugin, limit=OUTPUT_LIMIT)
        assert reply.how == wire.ENDED
        assert reply.stdout == bytes(OUTPUT_LIMIT)
        assert reply.stderr == bytes(256 * 1024)
        talk.answer()
        assert call.ended().stderr == bytes(3_000_000)


@pytest.mark.parametrize(
    ("script", "changes", "how"),
    [
        ("head -c 1001 /dev/zero", {"limit": 1000}, wire.FLOOD),
        ("exec sleep 1000", {"seconds": 0.1}, wire.LATE),
    ],
)
def test_a_plugin_that_misbehaves_is_told(
    shim: Installation, talk: Talk, script: str, changes: dict[str, float], how: bytes
) -> None:
    assert talk.run(shim.plugin(script), **changes) == Reply(how, b"", b"", b"", b"")


def test_what_cannot_be_executed_is_told_with_the_reason(shim: Installation, talk: Talk) -> None:
    path = shim.plugin("")
    Path(path).write_text("no shebang")
    reply = talk.run(path)
    assert reply.how == wire.FAILED
    assert reply.detail == f"cannot execute {path}: Exec format error".encode()


def test_too_large_an_environment_is_told_with_the_reason(shim: Installation, talk: Talk) -> None:
    reply = talk.run(shim.plugin(""), CNI_ARGS="x" * (1 << 20))
    assert reply.how == wire.FAILED
    assert b"Argument list too long" in reply.detail


# -- RUN: what is not run


def untrusted(talk: Talk, path: object) -> bytes:
    reply = talk.run(str(path))
    assert reply.how == wire.UNTRUSTED
    assert str(path).encode() in reply.detail
    return reply.detail


@pytest.mark.parametrize("mode", [0o757, 0o775, 0o777])
def test_a_file_that_others_can_write_is_not_run(shim: Installation, talk: Talk, mode: int) -> None:
    assert b"can be written" in untrusted(talk, shim.plugin("", mode=mode))


@pytest.mark.usefixtures("node")
def test_a_file_of_somebody_else_is_not_run(shim: Installation, talk: Talk) -> None:
    path = shim.plugin("")
    os.chown(path, 65534, 0)
    assert b"does not belong to root" in untrusted(talk, path)


def test_a_file_elsewhere_is_not_run(shim: Installation, talk: Talk) -> None:
    plugin = Path(shim.plugin(""))
    elsewhere = shim.directory / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "plugin").symlink_to(plugin)
    below = shim.bin_dir / "below"
    below.mkdir()
    (below / "plugin").symlink_to(plugin)
    for path in (
        "/bin/true",
        elsewhere / "plugin",
        below / "plugin",
        shim.bin_dir / "../bin/plugin",
        shim.bin_dir / "below/../plugin",
    ):
        assert b"is in no directory of CNI_PATH" in untrusted(talk, path)
    relative = os.path.relpath(plugin)
    assert b"is in no directory of CNI_PATH" in untrusted(talk, relative)


def test_an_empty_cni_path_names_no_directory(shim: Installation) -> None:
    with Scripted(shim.socket) as scripted:
        shim.start(environment={"CNI_COMMAND": "ADD", "CNI_PATH": ""})
        executables = [f"/{name}" for name in os.listdir("/") if os.path.isfile(f"/{name}")]
        talk = scripted.accepted()
        assert talk.run("/bin/true").how == wire.UNTRUSTED
        assert talk.run(*executables).how in {wire.UNTRUSTED, wire.MISSING}


@pytest.mark.parametrize("form", ["{}", "{}/", "{}//", "/nowhere:{}/:relative:"])
def test_directories_of_cni_path_may_end_in_slashes(shim: Installation, form: str) -> None:
    plugin = shim.plugin("echo run")
    path = form.format(shim.bin_dir)
    with Scripted(shim.socket) as scripted:
        shim.start(environment={"CNI_COMMAND": "ADD", "CNI_PATH": path})
        talk = scripted.accepted()
        assert talk.run(plugin).stdout == b"run\n"
        assert talk.run(plugin.replace("/plugin", "//plugin")).stdout == b"run\n"


def test_plugins_of_the_installation_are_run(shim: Installation) -> None:
    plugin = shim.plugin("echo run")
    shim.directories = (f"{shim.bin_dir}/",)
    with Scripted(shim.socket) as scripted:
        shim.start(environment={"CNI_COMMAND": "ADD", "CNI_PATH": "/nowhere"})
        assert scripted.accepted().run(plugin).stdout == b"run\n"


def test_a_link_in_the_right_place_may_lead_elsewhere(shim: Installation, talk: Talk) -> None:
    """Distributions install plugins in /usr/lib/cni and link to them."""
    shim.plugin("")
    (shim.bin_dir / "true").symlink_to("/bin/true")
    assert talk.run(str(shim.bin_dir / "true")).how == wire.ENDED


def test_the_shim_itself_is_no_plugin_by_whatever_name(shim: Installation, talk: Talk) -> None:
    shim.plugin("")
    names = [shim.bin_dir / name for name in ("hard", "soft", "softer")]
    names[0].hardlink_to(shim.launcher)
    names[1].symlink_to(shim.launcher)
    names[2].symlink_to(names[1])
    for path in (shim.launcher, *names):
        reply = talk.run(str(path))
        assert (reply.how, reply.detail) == (wire.OURSELVES, str(path).encode())


def test_a_launcher_that_was_removed_hinders_nothing(shim: Installation, talk: Talk) -> None:
    shim.launcher.unlink()
    assert talk.run(shim.plugin("echo run")).stdout == b"run\n"


# -- HELP


def test_the_helper_is_the_whole_package(shim: Installation, talk: Talk) -> None:
    task = b'{"do": "end_orphans", "path": "/nowhere/lock"}'
    reply = talk.order(wire.HELP, b"60", task)
    assert (reply.how, reply.status, reply.stdout) == (wire.ENDED, b"0", b'{"answer": null}')
    reply = talk.order(wire.HELP, b"60", b'{"do": "nothing"}')
    assert (reply.how, reply.status, reply.stdout) == (wire.ENDED, b"1", b"")
    assert b"KeyError" in reply.stderr


def test_a_helper_that_is_not_there_is_told(shim: Installation) -> None:
    shim.interpreter = str(shim.directory / "python")
    (shim.directory / "python").symlink_to(sys.executable)
    with Scripted(shim.socket) as scripted:
        shim.start()
        talk = scripted.accepted()
        (shim.directory / "python").unlink()
        reply = talk.order(wire.HELP, b"60", b"{}")
    assert reply.how == wire.FAILED
    assert b"python: No such file or directory" in reply.detail


# -- LEND and RETURN


def holders(path: Path) -> list[str]:
    """Return who has a file open, by the names of processes."""
    found = []
    # not Path.glob(), which minds processes that end meanwhile
    for descriptor in map(Path, glob.glob("/proc/[0-9]*/fd/*")):
        try:
            if os.readlink(descriptor) == str(path):
                found.append((descriptor.parent.parent / "comm").read_text().strip())
        except OSError:
            continue
    return found


def test_what_is_lent_is_inherited_until_it_is_returned(shim: Installation, talk: Talk) -> None:
    lock = shim.directory / "lock"
    plugin = shim.plugin(f"touch {shim.directory}/up; exec sleep 1000")
    with lock.open("w") as file:
        assert talk.lend(file.fileno()).how == wire.ENDED
    assert len(holders(lock)) == 1
    talk.say(wire.RUN, *running(plugin, seconds=1.0))
    eventually((shim.directory / "up").exists)
    eventually(lambda: "sleep" in holders(lock))
    assert talk.heard().how == wire.LATE
    assert len(holders(lock)) == 1
    assert talk.order(wire.RETURN).how == wire.ENDED
    assert holders(lock) == []
    assert talk.run(shim.plugin("ls /proc/self/fd", "second")).how == wire.ENDED


def test_an_answer_returns_what_was_lent(shim: Installation) -> None:
    lock = shim.directory / "lock"
    with Scripted(shim.socket) as scripted:
        call = shim.start()
        talk = scripted.accepted()
        with lock.open("w") as file:
            talk.lend(file.fileno())
        talk.answer(stay=1000)
        talk.carrier()
        call.ended()
        assert holders(lock) == []


def test_a_loan_without_a_descriptor_is_none(talk: Talk) -> None:
    assert talk.order(wire.LEND).how == wire.FAILED


# -- what it does not know


@pytest.mark.parametrize("kind", [0, 23, 255])
def test_orders_of_a_newer_daemon_are_declined(talk: Talk, kind: int) -> None:
    assert talk.order(kind, b"a", b"b") == Reply(wire.UNABLE, b"", b"", b"", b"")
    assert talk.order(wire.LOOK, wire.FILE, b"/", b"", b"newer").how == wire.YES
