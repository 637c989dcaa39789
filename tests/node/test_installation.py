"""Installing: what was there works until what comes works, and everything can be taken back."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from multus_py import launcher
from multus_py.adapters import presence
from multus_py.cni.errors import CniError
from multus_py.launcher import Program
from multus_py.node import installation, kept, manifest, removal
from multus_py.node.removal import Way
from tests import powercut, snapshots
from tests.node import standin
from tests.nodes import mounted
from tests.processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from multus_py.node.bundle import Bundle
    from tests.node.standin import Host

TIMES = 1000


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Three bundles, the versions 1, 2 and 3."""
    directory = tmp_path_factory.mktemp("bundles")
    return [standin.small(directory / number, number) for number in "123"]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "opt/cni/bin").mkdir(parents=True)
    return standin.Host(tmp_path)


def remove(host: Host) -> None:
    removal.uninstall(host.lib_dir, Way())


def test_what_is_installed_answers(host: Host, carried: list[Bundle]) -> None:
    done = host.install(carried[0], "multus")

    assert done.version == carried[0].name
    assert host.versions() == host.versions("multus") == ["1", "1"]
    assert standin.run(host.plugin("passthru"))
    assert sorted(os.listdir(host.places.bin_dir)) == ["multus", "multus-py", "passthru"]
    assert {str(host.plugin(name)) for name in os.listdir(host.places.bin_dir)} == {*done.launchers}
    assert stat.S_IMODE(host.plugin().stat().st_mode) == 0o755
    assert os.readlink(f"{host.lib_dir}/current") == f"versions/{done.version}"


def test_a_launcher_starts_its_version_and_nothing_else(host: Host, carried: list[Bundle]) -> None:
    """A process loads modules late; by a link it would mix those of two versions."""
    done = host.install(carried[0])
    text = host.plugin().read_text()
    own = f"{host.lib_dir}/versions/{done.version}"
    assert text.startswith(f"#!{own}/bin/python3 -IS\n")
    assert f"{own}/{standin.LIBRARY}" in text
    assert f"{host.places.socket_dir}/multus-py.sock" in text
    assert host.places.bin_dir in text
    assert "current" not in text


def test_another_version_takes_over_and_the_one_before_stays(
    host: Host, carried: list[Bundle]
) -> None:
    for bundle in carried:
        host.install(bundle, "multus")
        assert host.versions() == host.versions("multus") == [bundle.listed["version"]] * 2
    both = {carried[1].name, carried[2].name}
    assert set(os.listdir(f"{host.lib_dir}/versions")) == both
    host.install(carried[1])
    assert set(os.listdir(f"{host.lib_dir}/versions")) == both
    assert host.versions() == ["2", "2"]


def test_the_version_that_is_in_use_stays_though_nobody_has_noted_it(
    host: Host, carried: list[Bundle]
) -> None:
    """The power has failed between the launchers and the manifest."""
    host.install(carried[0])
    host.install(carried[1])
    known = manifest.read(host.lib_dir)
    assert known
    manifest.write(host.lib_dir, replace(known, versions=(carried[0].name,)))
    host.install(carried[2])
    both = {carried[1].name, carried[2].name}
    assert set(os.listdir(f"{host.lib_dir}/versions")) == both


def test_what_runs_goes_on_with_the_version_it_began_with(
    host: Host, carried: list[Bundle]
) -> None:
    host.install(carried[0])
    running = begun(host)
    host.install(carried[1])
    host.install(carried[1])
    assert ended(running) == ["1", "1"]
    assert host.versions() == ["2", "2"]


def begun(host: Host) -> subprocess.Popen[bytes]:
    """Start the plugin and wait until it has begun, with half of it to be loaded."""
    process = subprocess.Popen(
        [host.plugin()],
        env={"WAIT": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stdout.read(6) == b"begun "
    return process


def ended(process: subprocess.Popen[bytes]) -> object:
    out, _ = process.communicate(timeout=PATIENCE)
    return json.loads(out)["versions"]


def test_the_same_version_again_repairs_it(host: Host, carried: list[Bundle]) -> None:
    host.install(carried[0])
    before = snapshots.taken(Path(host.lib_dir), Path(host.places.bin_dir))
    later = Path(host.lib_dir, "versions", carried[0].name, standin.LIBRARY, "multus_py/later.py")
    for path in (host.plugin(), Path(host.lib_dir, "current"), later):
        path.unlink()

    host.install(carried[0])

    after = snapshots.taken(Path(host.lib_dir), Path(host.places.bin_dir))
    assert {path for path in before if before[path] != after[path]} <= {
        path for path in before if "__pycache__" in path
    }


def test_names_that_were_installed_once_are_renewed(host: Host, carried: list[Bundle]) -> None:
    """Somebody's configuration may call them; the version that they start will not stay."""
    host.install(carried[0], "multus")
    host.install(carried[1])
    assert host.versions("multus") == ["2", "2"]


def test_somebody_elses_plugin_is_kept(host: Host, carried: list[Bundle]) -> None:
    foreign = host.foreign("multus")
    before = snapshots.taken(foreign.parent)[str(foreign)]

    host.install(carried[0], "multus")
    host.install(carried[1], "multus")

    place = kept.place(host.lib_dir, str(foreign))
    assert host.versions("multus") == ["2", "2"]
    assert snapshots.taken(Path(place).parent)[place] == before


def test_it_is_kept_on_another_file_system_too(
    node: None, host: Host, carried: list[Bundle]
) -> None:
    with mounted(Path(host.places.bin_dir), "size=8m"):
        foreign = host.foreign("multus")
        foreign.with_name("link").symlink_to("multus")
        before = snapshots.taken(foreign.parent)
        host.install(carried[0], "multus", "link")
        assert host.versions("multus") == host.versions("link") == ["1", "1"]
        remove(host)
        assert snapshots.taken(foreign.parent) == before


def test_somebody_elses_passthru_serves(host: Host, carried: list[Bundle]) -> None:
    foreign = host.foreign("passthru")
    done = host.install(carried[0])
    assert foreign.read_bytes() == b"\x7fELF foreign"
    assert str(foreign) not in done.launchers


def test_what_is_damaged_is_not_installed(
    host: Host, carried: list[Bundle], tmp_path: Path
) -> None:
    host.install(carried[0])
    damaged = standin.small(tmp_path / "damaged", "4")
    Path(damaged.root, standin.LIBRARY, "multus_py/shim.py").write_text("")

    with pytest.raises(CniError, match="is damaged"):
        host.install(damaged)
    assert host.versions() == ["1", "1"]
    host.install(carried[1])
    assert set(os.listdir(f"{host.lib_dir}/versions")) == {carried[0].name, carried[1].name}


@pytest.mark.parametrize(
    ("shim", "reason"),
    [
        ("raise OSError('not this libc')", "not this libc"),
        ("main = lambda **_: print('{}')", "supportedVersions"),
        ("import sys\ndef main(**_): sys.exit(7)", "status 7"),
        ("main = lambda **_: print('[]')", "indices"),
    ],
)
def test_what_does_not_answer_is_not_installed(
    host: Host, carried: list[Bundle], tmp_path: Path, shim: str, reason: str
) -> None:
    host.install(carried[0])
    before = snapshots.taken(Path(host.places.bin_dir))
    dumb = standin.small(tmp_path / "dumb", "4", shim=shim)

    with pytest.raises(CniError, match=reason) as raised:
        host.install(dumb)
    assert len(raised.value.message()) <= 300
    assert snapshots.taken(Path(host.places.bin_dir)) == before
    assert host.versions() == ["1", "1"]


def test_without_a_bundle_the_interpreter_is_used_where_it_lies(host: Host) -> None:
    done = host.install(None)

    assert (done.version, done.program.interpreter) == ("", sys.executable)
    assert "1.1.0" in json.loads(standin.run(host.plugin()))["supportedVersions"]
    assert json.loads(standin.run(host.plugin("passthru")))
    assert sorted(os.listdir(host.lib_dir)) == ["manifest.json"]


def test_a_daemon_that_does_not_answer_holds_nothing_up(host: Host) -> None:
    """What is installed is tried by itself: the old daemon has ended, its socket is there."""
    host.install(None)
    with standin.dead_socket(f"{host.places.socket_dir}/multus-py.sock"):
        host.install(None)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "passthru"])
def test_a_name_is_a_file_name(host: Host, name: str) -> None:
    with pytest.raises(CniError, match="cannot have the name"):
        host.install(None, name)
    assert not os.path.exists(host.lib_dir)


@pytest.mark.parametrize("directory", ["white space", "x" * 200])
def test_a_path_that_the_kernel_does_not_take_is_refused(
    tmp_path: Path, carried: list[Bundle], directory: str
) -> None:
    host = standin.Host(tmp_path / directory)
    with pytest.raises(CniError, match="executes no script"):
        host.install(carried[0])
    remove(host)
    assert not (tmp_path / directory).exists()


def test_what_cannot_be_written_is_told(host: Host, carried: list[Bundle]) -> None:
    Path(host.lib_dir).write_text("a file")
    with pytest.raises(CniError, match=r"cannot install: .*multus-py"):
        host.install(carried[0])


def test_it_takes_back_that_it_was_leaving(host: Host, carried: list[Bundle]) -> None:
    host.install(carried[0])
    left = Path(host.places.socket_dir, presence.LEAVING)
    left.parent.mkdir(parents=True)
    left.touch()
    known = manifest.read(host.lib_dir)
    assert known
    installation.put_launcher(str(host.plugin()), launcher.passthru_text(Program("/x", "/y")))

    host.install(carried[0])

    assert not left.exists()
    assert host.versions() == ["1", "1"]
    assert manifest.read(host.lib_dir) == known


def test_further_places_are_remembered(tmp_path: Path, carried: list[Bundle]) -> None:
    """Values of a chart change. Whatever was used is still to be removed."""
    first, second = standin.Host(tmp_path / "1"), standin.Host(tmp_path / "2")
    before = snapshots.taken(tmp_path)
    first.install(carried[0])
    installation.install(second.places, lib_dir=first.lib_dir, source=carried[1])
    assert first.versions() == second.versions() == ["2", "2"]
    remove(first)
    assert snapshots.taken(tmp_path) == before


def test_several_at_once_take_turns(host: Host, carried: list[Bundle]) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(host.install, carried[n % 2]) for n in range(8)]:
            done.result()
    known = manifest.read(host.lib_dir)
    assert known
    assert sorted(known.versions) == sorted(os.listdir(f"{host.lib_dir}/versions"))
    assert host.versions() in (["1", "1"], ["2", "2"])


@pytest.fixture
def fast(node: None, tmp_path: Path) -> Iterator[Host]:
    """A node whose disk is memory: what is synced is not the question."""
    with mounted(tmp_path / "memory", "size=64m") as directory:
        yield standin.Host(directory)


def test_a_thousand_times_under_running_invocations(fast: Host, carried: list[Bundle]) -> None:
    fast.install(carried[0])
    stopping = threading.Event()

    def invoke() -> int:
        count = 0
        while not stopping.is_set():
            first, second = fast.versions()
            assert first == second
            count += 1
        return count

    with ThreadPoolExecutor(1) as pool:
        invocations = pool.submit(invoke)
        try:
            for number in range(TIMES):
                waiting = begun(fast) if number % 100 == 0 else None
                fast.install(carried[number % 2])
                if waiting:
                    answer = ended(waiting)
                    assert answer in (["1", "1"], ["2", "2"])
        finally:
            stopping.set()
        assert invocations.result() > TIMES / 20


def test_the_power_may_fail_at_any_time_of_a_first_installation(
    fast: Host, carried: list[Bundle]
) -> None:
    foreign = fast.foreign("multus")
    os.makedirs(os.path.dirname(fast.lib_dir), exist_ok=True)
    before = snapshots.taken(fast.directory)

    def check(calls: int) -> None:
        if foreign.read_bytes() != b"\x7fELF foreign":
            assert fast.versions("multus") == ["1", "1"]
        if fast.plugin().exists():
            assert fast.versions() == ["1", "1"]
        if calls % 3 == 0:
            fast.install(carried[0], "multus")
            assert fast.versions("multus") == ["1", "1"]
        remove(fast)
        assert snapshots.taken(fast.directory) == before, calls

    install = lambda: fast.install(carried[0], "multus")  # noqa: E731 - two words
    assert powercut.at_every_call(install, lambda: None, check) > 100


def test_the_power_may_fail_at_any_time_of_an_upgrade(
    fast: Host, carried: list[Bundle], tmp_path: Path
) -> None:
    """It goes from 1 to 3, while 2 is there from before."""
    fast.install(carried[1])
    fast.install(carried[0])
    before = Path(tmp_path, "before")
    shutil.copytree(fast.directory, before, symlinks=True)
    seen = set()

    def prepare() -> None:
        for path in fast.directory.iterdir():
            shutil.rmtree(path)
        shutil.copytree(before, fast.directory, symlinks=True, dirs_exist_ok=True)

    def check(calls: int) -> None:
        first, second = fast.versions()
        assert first == second
        seen.add(first)
        if calls % 3 == 0:
            fast.install(carried[2])
            assert fast.versions() == ["3", "3"]
            assert len(os.listdir(f"{fast.lib_dir}/versions")) == 2

    assert powercut.at_every_call(lambda: fast.install(carried[2]), prepare, check) > 50
    assert seen == {"1", "3"}


def test_a_launcher_that_is_still_open_somewhere_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "plugin"
    shutil.copy("/bin/true", path)
    writing = path.open("r+b")
    closing = threading.Timer(0.2, writing.close)
    closing.start()
    assert installation._run(str(path)).returncode == 0
    closing.join()
