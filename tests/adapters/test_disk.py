from __future__ import annotations

import base64
import json
import os
import sys
import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.adapters import atomic
from multus_py.adapters.disk import Disk
from multus_py.cni import network, result
from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.cni.request import Attachment
from multus_py.models.cached import CachedResult
from multus_py.models.delegate import Delegate, Record
from tests.nodes import mounted
from tests.processes import PATIENCE, python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

FIRST = Attachment("ctr", "eth0")
SECOND = Attachment("ctr", "eth1")
CONFIG = {"cniVersion": "1.0.0", "name": "net", "type": "bridge", "mtu": 1400}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "multus"


@pytest.fixture
def disk(directory: Path) -> Disk:
    return disk_at(directory)


def disk_at(directory: Path) -> Disk:
    return Disk(str(directory), lock=no_lock)


@contextmanager
def no_lock(path: str, seconds: float) -> Iterator[None]:
    """Show what is asked for: the lock itself is another adapter's."""
    raise CniError(Code.TRY_AGAIN_LATER, f"{path} for {seconds} s")
    yield


def record(attachment: Attachment = FIRST, netns: str = "/run/netns/a") -> Record:
    delegate = Delegate(
        name="default/net",
        network=network.parse(CONFIG),
        ifname="net1",
        cni_args=(("IgnoreUnknown", "true"),),
        capability_args={"mac": "02:00:00:00:00:01"},
    )
    return Record(attachment=attachment, netns=netns, owner="multus", delegates=(delegate,))


def cached(container_id: str = "ctr", name: str = "net") -> CachedResult:
    return CachedResult(
        container_id=container_id,
        ifname="net1",
        network_name=name,
        netns="/run/netns/a",
        config=network.parse(CONFIG),
        cni_args=(("K", "v"),),
        capability_args={"mac": "02:00:00:00:00:01"},
        result=result.checked({"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/24"}]}, ""),
    )


def failure_of(action: Callable[[], object]) -> CniError:
    with pytest.raises(CniError) as caught:
        action()
    return caught.value


def modes(directory: Path) -> dict[str, int]:
    """Return the permissions of a directory, as ``.``, and of everything in it."""
    paths = [directory, *directory.rglob("*")] if directory.exists() else []
    return {str(path.relative_to(directory)): path.stat().st_mode & 0o777 for path in paths}


# -- records


def test_a_record_is_read_as_it_was_written(disk: Disk) -> None:
    disk.write_record(record())
    assert disk.read_record(FIRST) == record()
    assert disk.records() == [record()]


def test_a_record_replaces_the_one_before(disk: Disk) -> None:
    disk.write_record(record())
    disk.write_record(record(netns="/run/netns/b"))
    assert disk.records() == [record(netns="/run/netns/b")]


def test_without_a_record_there_is_none(disk: Disk, directory: Path) -> None:
    assert disk.read_record(FIRST) is None
    assert disk.records() == []
    disk.delete_record(FIRST)
    assert not directory.exists()


def test_a_deleted_record_leaves_nothing(disk: Disk, directory: Path) -> None:
    disk.write_record(record())
    disk.delete_record(FIRST)
    assert disk.read_record(FIRST) is None
    assert os.listdir(directory) == []


def test_only_root_can_read(disk: Disk, directory: Path) -> None:
    disk.write_record(record())
    disk.write_result(cached())
    assert modes(directory) == {
        ".": 0o700,
        "ctr": 0o600,
        "results": 0o700,
        "results/net-ctr-net1": 0o600,
    }


def test_the_first_interface_has_the_file_where_multus_looks(disk: Disk, directory: Path) -> None:
    disk.write_record(record(FIRST))
    disk.write_record(record(SECOND))
    assert sorted(os.listdir(directory)) == ["ctr", "ctr@eth1"]


def test_records_of_two_interfaces_stand_beside_each_other(disk: Disk) -> None:
    for netns in ("/run/netns/a", "/run/netns/b"):
        disk.write_record(record(FIRST, netns))
        disk.write_record(record(SECOND, netns))
    assert disk.read_record(FIRST) == record(FIRST, "/run/netns/b")
    assert disk.read_record(SECOND) == record(SECOND, "/run/netns/b")
    assert disk.records() == [record(FIRST, "/run/netns/b"), record(SECOND, "/run/netns/b")]


@pytest.mark.parametrize("order", [(FIRST, SECOND), (SECOND, FIRST)])
def test_records_of_two_interfaces_are_deleted_one_by_one(
    disk: Disk, directory: Path, order: tuple[Attachment, Attachment]
) -> None:
    disk.write_record(record(FIRST))
    disk.write_record(record(SECOND))
    deleted, kept = order
    disk.delete_record(deleted)
    assert disk.read_record(deleted) is None
    assert disk.read_record(kept) == record(kept)
    disk.delete_record(kept)
    assert os.listdir(directory) == []


def by_multus(name: str = "default/net") -> bytes:
    """Return a record as Multus writes it."""
    entry = {
        "Conf": {"cniVersion": "1.0.0", "name": "net", "type": "bridge", "ipam": {}},
        "ConfList": {},
        "CNINetworkConfigList": {"Name": "", "Plugins": None, "Bytes": None},
        "Name": name,
        "ifnameRequest": "net1",
        "IsFilterV4Gateway": False,
        "IsFilterV6Gateway": False,
        "Bytes": base64.b64encode(json.dumps(CONFIG).encode()).decode(),
    }
    return json.dumps([entry]).encode()


def test_a_record_of_multus_is_read_for_whichever_interface(disk: Disk, directory: Path) -> None:
    directory.mkdir()
    (directory / "ctr").write_bytes(by_multus())
    for attachment in (FIRST, SECOND):
        found = disk.read_record(attachment)
        assert found
        assert (found.attachment, found.owner) == (attachment, "")
        assert [delegate.network.document for delegate in found.delegates] == [CONFIG]
    assert [found.attachment for found in disk.records()] == [Attachment("ctr", "")]


def test_a_record_of_multus_is_replaced_and_deleted(disk: Disk, directory: Path) -> None:
    directory.mkdir()
    (directory / "ctr").write_bytes(by_multus())
    disk.write_record(record(SECOND))
    assert disk.records() == [record(SECOND)]
    (directory / "ctr").write_bytes(by_multus())
    disk.delete_record(FIRST)
    assert os.listdir(directory) == []


BROKEN = [b"", b"[", b"{}", b"[]", b"\xff", b'[{"Bytes": "e30="}]', b'[{"Bytes": "?"}]', b"[1]"]


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_record_is_an_error_and_can_be_deleted(
    disk: Disk, directory: Path, content: bytes
) -> None:
    directory.mkdir()
    (directory / "ctr").write_bytes(content)
    assert failure_of(lambda: disk.read_record(FIRST)).code == Code.DECODING_FAILURE
    assert disk.records() == [Record(attachment=Attachment("ctr", ""), delegates=())]
    disk.delete_record(FIRST)
    assert os.listdir(directory) == []


def test_a_record_that_cannot_be_read_hides_no_other(disk: Disk, directory: Path) -> None:
    disk.write_record(record())
    (directory / "bad").symlink_to("/proc/self/mem")  # reading it is an input/output error
    assert [found.attachment.container_id for found in disk.records()] == ["bad", "ctr"]
    assert failure_of(lambda: disk.read_record(Attachment("bad", "eth0"))).code == Code.IO_FAILURE


def test_files_that_are_no_records_are_left_alone(disk: Disk, directory: Path) -> None:
    disk.write_record(record())
    (directory / "subdirectory").mkdir()
    for name in (".hidden", ".ctr.new", "no container", "-dash", "a+b"):
        (directory / name).write_bytes(by_multus())
    assert disk.records() == [record()]


# -- what is written is complete or not there


WRITE = """
import os, sys
from tests.adapters.test_disk import disk_at, record

def watch(event, arguments, left=[int(sys.argv[2])]):
    if event in {"open", "os.mkdir", "os.chmod", "os.rename", "os.remove"}:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), 9)

disk, new = disk_at(sys.argv[1]), record(netns="/run/netns/new")
sys.addaudithook(watch)
disk.write_record(new)
"""


@pytest.mark.parametrize("before", [None, record()])
def test_a_record_survives_the_end_of_its_writer_at_any_step(
    disk: Disk, directory: Path, before: Record | None
) -> None:
    new = record(netns="/run/netns/new")
    seen = []
    for step in count(1):
        if before:
            disk.write_record(before)
        writer = python(WRITE, directory, step)
        writer.communicate(timeout=PATIENCE)
        seen.append(disk.read_record(FIRST))
        assert all(mode & 0o077 == 0 for mode in modes(directory).values())
        assert disk.records() == [found for found in seen[-1:] if found]
        disk.delete_record(FIRST)
        assert not directory.exists() or os.listdir(directory) == []
        if writer.returncode == 0:
            break
        assert writer.returncode == -9
    written = seen.index(new)
    assert written >= 3
    assert seen == [before] * written + [new] * (len(seen) - written)


def test_an_unfinished_record_of_a_second_interface_is_deleted_too(
    disk: Disk, directory: Path
) -> None:
    disk.write_record(record(FIRST))
    (directory / ".ctr@eth1.new").touch()
    disk.delete_record(FIRST)
    disk.delete_record(SECOND)
    assert os.listdir(directory) == []


@pytest.fixture
def full(directory: Path, node: None) -> Iterator[Path]:
    """A file system with room for one small file, which holds a record."""
    with mounted(directory, "size=4k"):
        yield directory


def test_a_full_disk_is_an_error_and_leaves_no_part_of_a_file(disk: Disk, full: Path) -> None:
    disk.write_record(record())
    error = failure_of(lambda: disk.write_record(record(Attachment("other", "eth0"))))
    assert error.code == Code.IO_FAILURE
    assert f"cannot write {full}/other: No space left on device" in error.cause
    assert failure_of(lambda: disk.write_result(cached())).code == Code.IO_FAILURE
    assert disk.records() == [record()]
    assert sorted(os.listdir(full)) == ["ctr", "results"]
    assert os.listdir(full / "results") == []


def test_a_record_outlives_one_that_does_not_fit(disk: Disk, full: Path) -> None:
    disk.write_record(record())
    failure_of(lambda: disk.write_record(record(netns="/run/netns/new")))
    assert disk.read_record(FIRST) == record()


@pytest.mark.usefixtures("node")
def test_a_disk_that_cannot_be_written_is_an_error(disk: Disk, directory: Path) -> None:
    with mounted(directory, "ro"):
        for action in (
            lambda: disk.write_record(record()),
            lambda: disk.write_result(cached()),
            lambda: disk.copy_device_info("/proc/version", f"{directory}/info"),
        ):
            error = failure_of(action)
            assert error.code == Code.IO_FAILURE
            assert "Read-only file system" in error.cause


def test_a_symlink_does_not_lead_a_write_elsewhere(
    disk: Disk, directory: Path, tmp_path: Path
) -> None:
    directory.mkdir()
    (tmp_path / "elsewhere").write_text("precious")
    (directory / ".ctr.new").symlink_to(tmp_path / "elsewhere")
    assert failure_of(lambda: disk.write_record(record())).code == Code.IO_FAILURE
    assert (tmp_path / "elsewhere").read_text() == "precious"


# -- the lock of a container


def test_a_container_is_locked_beside_its_record(disk: Disk, directory: Path) -> None:
    with pytest.raises(CniError, match=rf"{directory}/\.ctr\.lock for 5 s"), disk.lock("ctr", 5):
        pass
    assert modes(directory) == {".": 0o700}


def test_no_container_has_the_name_of_the_cache(disk: Disk, directory: Path) -> None:
    error = failure_of(lambda: disk.lock("results", 5))
    assert error.code == Code.INVALID_ENVIRONMENT
    assert not directory.exists()


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = failure_of(lambda: disk_at(tmp_path / "file/multus").lock("ctr", 5))
    assert error.code == Code.IO_FAILURE


# -- cached results


def test_a_result_is_read_as_it_was_written(disk: Disk) -> None:
    disk.write_result(cached())
    assert disk.read_result(Attachment("ctr", "net1"), "net") == cached()
    assert disk.read_result(Attachment("ctr", "net1"), "other") is None
    assert disk.read_result(Attachment("ctr", "net2"), "net") is None


@contextmanager
def synced() -> Iterator[list[str]]:
    """Yield the files and directories that are synced after they were written, in their order."""
    seen: list[str] = []

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is atomic.sync.__code__:
            seen.append(frame.f_locals["path"])

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield seen
    finally:
        sys.setprofile(before)


def test_what_undoes_an_add_survives_a_power_cut_in_whichever_file_it_is(tmp_path: Path) -> None:
    disk = disk_at(tmp_path / "cni" / "multus")
    with synced() as seen:
        disk.write_record(record())
    assert seen == [str(tmp_path), f"{tmp_path}/cni", f"{tmp_path}/cni/multus"]

    with synced() as seen:
        disk.write_result(cached())
        assert seen == [f"{tmp_path}/cni/multus"]
        disk.settle()
    assert seen[1:] == [
        f"{tmp_path}/cni/multus/results/net-ctr-net1",
        f"{tmp_path}/cni/multus/results",
    ]


def test_results_are_settled_once_and_together(disk: Disk, directory: Path) -> None:
    for name in ("a", "b", "b", "c"):
        disk.write_result(cached(name=name))
    disk.delete_result(Attachment("ctr", "net1"), "c")
    with synced() as seen:
        disk.settle()
    results = directory / "results"
    assert sorted(seen[:-1]) == [f"{results}/{name}-ctr-net1" for name in "abc"]
    assert seen[-1] == str(results)
    with synced() as seen:
        disk.settle()
    assert seen == []


def test_results_that_cannot_be_settled_are_an_error_and_are_tried_again(
    disk: Disk, directory: Path
) -> None:
    disk.write_result(cached())
    (directory / "results").rename(directory / "away")
    assert failure_of(disk.settle).code == Code.IO_FAILURE
    (directory / "away").rename(directory / "results")
    with synced() as seen:
        disk.settle()
    assert len(seen) == 2


def test_results_can_be_settled_while_something_else_is_done(directory: Path) -> None:
    go = threading.Event()
    with ThreadPoolExecutor(1) as beside, ThreadPoolExecutor(1) as pool:
        disk = Disk(str(directory), lock=no_lock, beside=beside)
        disk.write_result(cached())
        beside.submit(go.wait)

        def settle() -> None:
            with disk.settling():
                go.set()  # or what is beside would wait for ever

        pool.submit(settle).result(PATIENCE)
    with synced() as seen:
        disk.settle()
    assert seen == []


class Exhausted(Executor):
    """What nobody can be found to do is done, if at all, much later."""

    def submit(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("beside", [None, Exhausted()])
def test_without_anybody_to_do_it_meanwhile_results_are_settled_before(
    directory: Path, beside: Executor | None
) -> None:
    disk = Disk(str(directory), lock=no_lock, beside=beside)
    disk.write_result(cached())
    with synced() as seen, disk.settling():
        assert len(seen) == 2


@pytest.mark.parametrize("alone", [True, False])
def test_results_that_could_not_be_settled_meanwhile_are_an_error(
    directory: Path,
    alone: bool,  # noqa: FBT001
) -> None:
    with ThreadPoolExecutor(1) as beside:
        disk = Disk(str(directory), lock=no_lock, beside=None if alone else beside)
        disk.write_result(cached())
        (directory / "results").rename(directory / "away")

        def settle() -> None:
            with disk.settling():
                pass

        assert failure_of(settle).code == Code.IO_FAILURE


def test_a_deleted_result_leaves_nothing(disk: Disk, directory: Path) -> None:
    disk.write_result(cached())
    for _ in range(2):
        disk.delete_result(Attachment("ctr", "net1"), "net")
    assert os.listdir(directory / "results") == []


def test_results_are_listed_in_the_order_of_their_age(disk: Disk, directory: Path) -> None:
    for age, name in enumerate(["b", "c", "a"]):
        disk.write_result(cached(name=name))
        os.utime(directory / f"results/{name}-ctr-net1", (1000 + age, 1000 + age))
    assert [found.network_name for found in disk.results()] == ["b", "c", "a"]


def test_results_that_cannot_be_read_are_left_out(disk: Disk, directory: Path) -> None:
    disk.write_result(cached())
    (directory / "results/broken-ctr-net2").write_bytes(b"{")
    (directory / "results/subdirectory").mkdir()
    (directory / "results/lost").symlink_to("nowhere")
    assert disk.results() == [cached()]
    assert disk.read_result(Attachment("ctr", "net2"), "broken") is None


def test_without_results_there_are_none(disk: Disk) -> None:
    assert disk.results() == []


@pytest.mark.parametrize("name", ["../../x", "a/b", "a\0b"])
def test_a_network_cannot_leave_the_cache(disk: Disk, name: str) -> None:
    error = failure_of(lambda: disk.write_result(cached(name=name)))
    assert error.code == Code.INVALID_CONFIGURATION


@pytest.mark.parametrize("name", ["../../x", "a/b", "a\0b", "n" * 250, "n" * 400])
def test_what_cannot_be_a_file_is_not_in_the_cache(disk: Disk, directory: Path, name: str) -> None:
    disk.write_result(cached())
    (directory.parent / "x-ctr-net1").write_text("of somebody else")
    before = sorted(directory.parent.rglob("*"))

    assert disk.read_result(Attachment("ctr", "net1"), name) is None
    disk.delete_result(Attachment("ctr", "net1"), name)

    assert sorted(directory.parent.rglob("*")) == before


def test_a_name_may_be_as_long_as_a_file_can_be_written_under(disk: Disk) -> None:
    longest = "n" * (250 - len("-ctr-net1"))
    disk.write_result(cached(name=longest))
    assert disk.read_result(Attachment("ctr", "net1"), longest)

    error = failure_of(lambda: disk.write_result(cached(name=f"n{longest}")))
    assert error.code == Code.INVALID_CONFIGURATION
    assert "has 251 bytes (at most 250)" in error.message()


def test_a_result_of_multus_may_have_the_longest_name_there_is(disk: Disk, directory: Path) -> None:
    name = "n" * (255 - len("-ctr-net1"))
    disk.write_result(cached())
    (made,) = (directory / "results").iterdir()
    made.rename(directory / "results" / f"{name}-ctr-net1")

    assert disk.read_result(Attachment("ctr", "net1"), name)
    disk.delete_result(Attachment("ctr", "net1"), name)
    assert list((directory / "results").iterdir()) == []


def test_device_information_under_a_name_that_is_too_long_is_not_there(
    disk: Disk, tmp_path: Path
) -> None:
    path = str(tmp_path / ("x" * 300))
    assert disk.read_device_info(path) is None
    disk.delete_device_info(path)
    disk.copy_device_info(path, str(tmp_path / "copy"))
    assert list(tmp_path.iterdir()) == []


# -- configuration files


def test_configuration_files_are_sorted_by_name(disk: Disk, tmp_path: Path) -> None:
    for name in ("20.conf", "10.json", "30.conflist", "05.txt", ".00.conf", "conf", "15.conf~"):
        (tmp_path / name).write_text(name)
    (tmp_path / "25.conf").mkdir()
    (tmp_path / "26.conf").symlink_to("nowhere")
    files = disk.config_files(str(tmp_path))
    assert [file.content for file in files] == [b"10.json", b"20.conf", b"30.conflist"]
    assert files[0].path == f"{tmp_path}/10.json"


@pytest.mark.parametrize("name", ["missing", "file/below"])
def test_a_directory_that_is_not_there_has_no_files(disk: Disk, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    assert disk.config_files(str(tmp_path / name)) == []


def test_a_configuration_file_is_read_or_not_found(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "net.conf").write_bytes(b"\xff")
    assert disk.config_file(str(tmp_path / "net.conf")).content == b"\xff"
    with pytest.raises(NotFoundError, match=r"net2\.conf does not exist"):
        disk.config_file(str(tmp_path / "net2.conf"))


def test_a_directory_is_no_configuration_file(disk: Disk, tmp_path: Path) -> None:
    assert failure_of(lambda: disk.config_file(str(tmp_path))).code == Code.IO_FAILURE
    assert disk.is_directory(str(tmp_path))
    assert not disk.is_directory(str(tmp_path / "missing"))


# -- device information


def write_info(path: Path, content: Any) -> str:
    path.write_text(json.dumps(content))
    return str(path)


def test_device_information_is_copied_over_an_older_copy(disk: Disk, tmp_path: Path) -> None:
    target = tmp_path / "cni/copy"
    for address in ("0000:00:01.0", "0000:00:02.0"):
        info = {"type": "pci", "version": "1.1.0", "pci": {"pci-address": address}}
        disk.copy_device_info(write_info(tmp_path / "source", info), str(target))
        assert disk.read_device_info(str(target)) == info
    assert modes(tmp_path / "cni") == {".": 0o700, "copy": 0o444}
    disk.delete_device_info(str(target))
    assert os.listdir(tmp_path / "cni") == []


def test_without_device_information_nothing_happens(disk: Disk, tmp_path: Path) -> None:
    target = tmp_path / "cni/copy"
    disk.copy_device_info(str(tmp_path / "missing"), str(target))
    disk.delete_device_info(str(target))
    assert disk.read_device_info(str(target)) is None
    assert not target.parent.exists()


@pytest.mark.parametrize("content", [[], {"type": 1}, {"pci": []}])
def test_device_information_that_cannot_be_read_is_none(
    disk: Disk, tmp_path: Path, content: Any
) -> None:
    assert disk.read_device_info(write_info(tmp_path / "info", content)) is None


def test_a_path_that_cannot_be_is_an_error(disk: Disk, tmp_path: Path) -> None:
    source = write_info(tmp_path / "source", {})
    for action in (
        lambda: disk.copy_device_info(source, f"{tmp_path}/a\0b"),
        lambda: disk.delete_device_info(f"{tmp_path}/a\0b"),
    ):
        assert failure_of(action).code == Code.IO_FAILURE
