from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from multus_py.adapters.process import Plugins
from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.core import mishaps
from multus_py.core.mishaps import OUTPUT_LIMIT
from multus_py.core.ports import PluginCall, PluginExit
from tests.processes import PATIENCE, alive, eventually, output, python

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

BIG = b"0123456789abcdef" * 65536  # a megabyte; pipes hold a sixteenth of it


def install(directory: Path, script: str, *, name: str = "plugin", mode: int = 0o755) -> Path:
    """Put a shell script where a plugin is looked for."""
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(mode)
    return path


def run(
    *directories: Path,
    plugin: str = "plugin",
    stdin: bytes = b"{}",
    seconds: float = PATIENCE,
    environ: Mapping[str, str] = os.environ,
    own_executables: frozenset[str] = frozenset(),
    **variables: str,
) -> PluginExit:
    call = PluginCall(
        plugin=plugin,
        path=tuple(str(directory) for directory in directories),
        environment=variables,
        stdin=stdin,
        seconds=seconds,
    )
    return Plugins(environ, own_executables=own_executables).run(call)


def failure_of(*directories: Path, plugin: str = "plugin", seconds: float = PATIENCE) -> CniError:
    with pytest.raises(CniError) as caught:
        run(*directories, plugin=plugin, seconds=seconds)
    return caught.value


# -- finding


def test_the_first_directory_that_has_the_plugin_counts(tmp_path: Path) -> None:
    install(tmp_path / "b", "echo b")
    install(tmp_path / "c", "echo c")
    assert run(tmp_path / "a", tmp_path / "b", tmp_path / "c").stdout == b"b\n"


def test_a_missing_plugin_is_named_with_the_places_it_was_looked_for(tmp_path: Path) -> None:
    install(tmp_path / "a", "echo a", name="other")
    error = failure_of(tmp_path / "a", tmp_path / "b")
    assert isinstance(error, NotFoundError)
    assert error.code == Code.DELEGATE_MISSING
    assert f"plugin in {tmp_path}/a, {tmp_path}/b" in error.cause


def test_without_any_directory_nothing_is_found() -> None:
    assert failure_of(plugin="sh").code == Code.DELEGATE_MISSING


def test_what_cannot_be_executed_does_not_hide_what_can(tmp_path: Path) -> None:
    install(tmp_path / "file", "echo wrong", mode=0o644)
    (tmp_path / "directory/plugin").mkdir(parents=True)
    (tmp_path / "link").mkdir()
    (tmp_path / "link/plugin").symlink_to("nowhere")
    install(tmp_path / "right", "echo right")
    where = [tmp_path / name for name in ("file", "directory", "link", "right")]
    assert run(*where).stdout == b"right\n"
    assert failure_of(*where[:-1]).code == Code.DELEGATE_MISSING


@pytest.mark.parametrize("name", ["../plugin", "/bin/true", "a/../plugin", ".", "..", "", "a\0b"])
def test_a_plugin_is_not_found_outside_its_directory(tmp_path: Path, name: str) -> None:
    install(tmp_path, "touch started")
    (tmp_path / "bin").mkdir()
    assert failure_of(tmp_path / "bin", plugin=name).code == Code.INVALID_CONFIGURATION
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("content", ["echo no shebang\n", "#!/nowhere/sh\n", "", "\x7fELF"])
def test_what_is_no_program_cannot_be_executed(tmp_path: Path, content: str) -> None:
    install(tmp_path, "").write_text(content)
    error = failure_of(tmp_path)
    assert error.code == Code.DELEGATE_FAILED
    assert f"cannot execute {tmp_path}/plugin" in error.cause


BUSY = """
import sys
from multus_py.adapters.process import Plugins
from multus_py.core import mishaps
from multus_py.core.mishaps import OUTPUT_LIMIT
from multus_py.core.ports import PluginCall

busy = open(sys.argv[1] + "/plugin", "ab")
tries = []

def watch(event, arguments):
    if event == "subprocess.Popen":
        tries.append(event)
        if len(tries) == 2:
            busy.close()

sys.addaudithook(watch)
call = PluginCall(plugin="plugin", path=(sys.argv[1],), environment={}, stdin=b"", seconds=60)
print(Plugins({}, own_executables=frozenset()).run(call).status)
busy.close()
"""


def test_a_plugin_that_is_being_installed_is_tried_again(tmp_path: Path) -> None:
    install(tmp_path, "exit 7")
    assert output(python(BUSY, tmp_path)) == "7\n"


# -- running


def test_a_plugin_gets_the_configuration_and_its_output_is_kept(tmp_path: Path) -> None:
    install(tmp_path, "cat; echo told >&2")
    ended = run(tmp_path, stdin=b'{"a": 1}')
    assert ended == PluginExit(status=0, stdout=b'{"a": 1}', stderr=b"told\n")


def test_output_need_not_be_text(tmp_path: Path) -> None:
    install(tmp_path, r"printf '\377\000\n'")
    assert run(tmp_path).stdout == b"\xff\x00\n"


def test_much_can_be_said_both_ways_at_a_time(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, "tee /dev/stderr")
    ended = run(tmp_path, stdin=BIG)
    assert ended.stdout == BIG
    assert ended.stderr == BIG[: 256 * 1024]
    assert capfd.readouterr().err == BIG.decode()


def test_a_plugin_need_not_read(tmp_path: Path) -> None:
    install(tmp_path, "exec <&-; echo done")
    assert run(tmp_path, stdin=BIG) == PluginExit(status=0, stdout=b"done\n")


def test_a_plugin_may_print_up_to_the_limit(tmp_path: Path) -> None:
    install(tmp_path, f"head -c {OUTPUT_LIMIT} /dev/zero")
    assert len(run(tmp_path).stdout) == OUTPUT_LIMIT


def test_a_plugin_that_prints_more_is_faulty(tmp_path: Path) -> None:
    install(tmp_path, f"head -c {OUTPUT_LIMIT + 1} /dev/zero")
    error = failure_of(tmp_path)
    assert error.code == Code.DELEGATE_OUTPUT
    assert "more than 4 MiB" in error.cause


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 3", 3), ("exit 255", 255), ("kill -KILL $$", -9), ("kill -SEGV $$", -11)],
)
def test_the_way_a_plugin_ends_is_told(tmp_path: Path, script: str, status: int) -> None:
    install(tmp_path, f"echo partly; {script}")
    assert run(tmp_path) == PluginExit(status=status, stdout=b"partly\n")


def test_a_plugin_that_closes_its_pipes_is_still_waited_for(tmp_path: Path) -> None:
    install(tmp_path, "exec <&- >&- 2>&-; sleep 0.3; exit 4")
    assert run(tmp_path).status == 4


# -- environment


def variables(ended: PluginExit) -> dict[str, str]:
    lines = ended.stdout.decode().split("\0")
    return dict(line.split("=", 1) for line in lines if line)


def test_a_plugin_gets_its_own_cni_variables_and_the_rest_of_ours(tmp_path: Path) -> None:
    install(tmp_path, "exec env -0")
    ours = {"PATH": os.environ["PATH"], "HTTP_PROXY": "p", "CNI_IFNAME": "eth0", "CNI_ARGS": "a"}
    told = variables(run(tmp_path, environ=ours, CNI_COMMAND="ADD", CNI_IFNAME="net1"))
    assert told["CNI_COMMAND"] == "ADD"
    assert told["CNI_IFNAME"] == "net1"
    assert told["HTTP_PROXY"] == "p"
    assert "CNI_ARGS" not in told


def test_descriptors_reach_a_plugin_only_if_they_are_meant_to(tmp_path: Path) -> None:
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    private = os.open(tmp_path / "private", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(lock, True)
    install(tmp_path, "for file in /proc/self/fd/*; do readlink $file; done")
    open_files = run(tmp_path).stdout.decode()
    os.close(lock)
    os.close(private)
    assert str(tmp_path / "lock") in open_files
    assert str(tmp_path / "private") not in open_files


# -- recursion


def test_a_plugin_that_is_this_one_by_another_name_is_not_run(tmp_path: Path) -> None:
    own = install(tmp_path, "touch started", name="multus-py")
    (tmp_path / "plugin").symlink_to("multus-py")
    with pytest.raises(CniError, match="leads back to this plugin") as caught:
        run(tmp_path, own_executables=frozenset({str(own)}))
    assert caught.value.code == Code.RECURSION


def test_a_plugin_at_any_depth_that_is_this_one_notices(tmp_path: Path) -> None:
    install(tmp_path, "sh -c 'env -0'")
    nested = variables(run(tmp_path, CNI_CONTAINERID="pod-1"))
    with pytest.raises(CniError, match="leads back to this plugin") as caught:
        mishaps.refuse_nested(nested)
    assert caught.value.code == Code.RECURSION


def test_other_containers_and_first_calls_are_not_nested(tmp_path: Path) -> None:
    install(tmp_path, "exec env -0")
    nested = variables(run(tmp_path, CNI_CONTAINERID="pod-1"))
    mishaps.refuse_nested({**nested, "CNI_CONTAINERID": "pod-2"})
    mishaps.refuse_nested({"CNI_CONTAINERID": "pod-1"})
    mishaps.refuse_nested({})


# -- ending


def pids(path: Path, count: int) -> list[int]:
    """Return the process IDs that plugins write into a file, one a line, once all are there."""

    def written() -> list[int]:
        lines = path.read_text().splitlines() if path.exists() else []
        return [int(line) for line in lines] if len(lines) == count else []

    return eventually(written)


def test_a_plugin_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    install(tmp_path, f"sleep 1000 & echo $! > {tmp_path}/pids; echo $$ >> {tmp_path}/pids; wait")
    error = failure_of(tmp_path, seconds=1)
    assert error.code == Code.DELEGATE_TIMEOUT
    assert "no answer within 1 s" in error.cause
    eventually(lambda: not any(map(alive, pids(tmp_path / "pids", 2))))


def test_a_plugin_has_a_chance_to_clean_up(tmp_path: Path) -> None:
    install(tmp_path, f"trap 'touch {tmp_path}/clean; exit' TERM; while :; do sleep 0.01; done")
    assert failure_of(tmp_path, seconds=1).code == Code.DELEGATE_TIMEOUT
    assert (tmp_path / "clean").exists()


def test_a_plugin_that_does_not_want_to_end_is_ended(tmp_path: Path) -> None:
    install(tmp_path, f"trap '' TERM; echo $$ > {tmp_path}/pids; while :; do sleep 0.01; done")
    assert failure_of(tmp_path, seconds=1).code == Code.DELEGATE_TIMEOUT
    eventually(lambda: not any(map(alive, pids(tmp_path / "pids", 1))))


def test_a_plugin_that_has_closed_its_pipes_has_no_more_time(tmp_path: Path) -> None:
    install(tmp_path, "exec <&- >&- 2>&-; sleep 1000")
    assert failure_of(tmp_path, seconds=1).code == Code.DELEGATE_TIMEOUT


def test_a_plugin_that_never_stops_printing_is_ended(tmp_path: Path) -> None:
    install(tmp_path, "exec yes")
    assert failure_of(tmp_path, seconds=1).code == Code.DELEGATE_TIMEOUT


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Path]:
    """A plugin that leaves a daemon behind, and where the daemon's process ID stands."""
    install(tmp_path, f"setsid sh -c 'echo $$ > {tmp_path}/daemon; exec sleep 1000' & echo done")
    yield tmp_path / "daemon"
    os.kill(pids(tmp_path / "daemon", 1)[0], signal.SIGKILL)


def test_a_daemon_that_keeps_the_pipes_open_is_not_waited_for(tmp_path: Path, daemon: Path) -> None:
    started = time.monotonic()
    assert run(tmp_path) == PluginExit(status=0, stdout=b"done\n")
    assert time.monotonic() - started < PATIENCE / 2
    assert alive(pids(daemon, 1)[0])


INTERRUPTED = """
import os, pathlib, signal, sys
from multus_py.adapters.process import Plugins
from multus_py.core import mishaps
from multus_py.core.mishaps import OUTPUT_LIMIT
from multus_py.core.ports import PluginCall

started = pathlib.Path(sys.argv[1], "pids")

def end(number, frame):
    raise RuntimeError("ended")

def interrupt(frame, event, function):
    if event == "c_return" and function.__name__ == "fork_exec":
        while not (started.exists() and started.read_text().count("\\n") == 2):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

signal.signal(signal.SIGTERM, end)
if sys.argv[2] == "before it waits":
    sys.setprofile(interrupt)
call = PluginCall(plugin="plugin", path=(sys.argv[1],), environment={}, stdin=b"", seconds=1000)
try:
    Plugins({}, own_executables=frozenset()).run(call)
except RuntimeError as error:
    print(error)
assert signal.getsignal(signal.SIGTERM) is end
"""


@pytest.mark.parametrize("moment", ["before it waits", "while it waits"])
def test_a_plugin_ends_if_its_caller_is_interrupted(tmp_path: Path, moment: str) -> None:
    install(tmp_path, f"sleep 1000 & echo $! > {tmp_path}/pids; echo $$ >> {tmp_path}/pids; wait")
    caller = python(INTERRUPTED, tmp_path, moment)
    started = pids(tmp_path / "pids", 2)
    if moment == "while it waits":
        caller.send_signal(signal.SIGTERM)
    assert output(caller) == "ended\n"
    eventually(lambda: not any(map(alive, started)))
