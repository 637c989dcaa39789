"""The keeper, look by look: what the runtime finds after each thing that happens on a node."""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.node.place import REPLACED, TEMPORARY
from multus_py.node.task import Pace, State
from tests import nodes, powercut
from tests.node.kept import BRIDGE, CALICO, OF_MULTUS, Ground, network
from tests.processes import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from multus_py.node.keeper import Keeper


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path / "net.d")


# -- the first time


def test_it_is_made_from_the_primary_network(ground: Ground) -> None:
    ground.write("10-calico.conflist", CALICO)
    keeper = ground.keeper(wanted={"settings": {"namespaceIsolation": True}})
    assert keeper.step() == Pace().interval
    assert keeper.state is State.KEPT
    assert ground.names == ["00-multus.conf", "10-calico.conflist"]
    assert ground.plugin["delegates"] == [CALICO]
    assert ground.plugin["namespaceIsolation"] is True
    assert ground.first.stat().st_mode & 0o777 == 0o600
    assert keeper.path == str(ground.first)
    assert ground.books.written == ["00-multus.conf first"]


def test_without_a_primary_network_nothing_is_written_until_there_is_one(ground: Ground) -> None:
    keeper = ground.keeper()
    keeper.step()
    assert (keeper.state, ground.names, keeper.path) == (State.WAITING, [], "")
    assert "no configuration of a primary network is there" in keeper.trouble
    ground.write("10-lan.conf", BRIDGE)
    keeper.step()
    assert (keeper.state, keeper.trouble, ground.embedded) == (State.KEPT, "", "lan")


def test_the_second_look_changes_nothing(ground: Ground) -> None:
    ground.write("10-lan.conf", BRIDGE)
    keeper = ground.keeper()
    keeper.step()
    before = ground.first.stat()
    keeper.step()
    assert ground.first.stat() == before
    assert ground.books.written == ["00-multus.conflist first"]


def test_another_life_finds_it_as_it_should_be(ground: Ground) -> None:
    ground.write("10-lan.conf", BRIDGE)
    ground.keeper().step()
    ground.books.written.clear()
    ground.keeper().step()
    assert ground.books.written == []


def test_the_primary_network_may_be_in_another_directory(ground: Ground, tmp_path: Path) -> None:
    elsewhere = Ground(tmp_path / "primaries")
    elsewhere.write("10-lan.conf", BRIDGE)
    keeper = ground.keeper(primaries=str(elsewhere.directory))
    ground.write("20-other.conf", network("other"))
    keeper.step()
    assert ground.embedded == "lan"
    assert elsewhere.names == ["10-lan.conf"]


def test_the_plugins_of_the_directory_beside_are_embedded_too(ground: Ground) -> None:
    ground.write("10-calico.conflist", CALICO)
    ground.write("k8s-pod-network/10-tuning.conf", {"type": "tuning"})
    keeper = ground.keeper()
    keeper.step()
    assert [p["type"] for p in ground.plugin["delegates"][0]["plugins"]][-1] == "tuning"
    ground.write("k8s-pod-network/20-sbr.conf", {"type": "sbr"})
    keeper.step()
    assert [p["type"] for p in ground.plugin["delegates"][0]["plugins"]][-1] == "sbr"


def test_it_waits_for_the_readiness_file_and_not_for_its_end(
    ground: Ground, tmp_path: Path
) -> None:
    ground.write("10-lan.conf", BRIDGE)
    ready = tmp_path / "ready"
    keeper = ground.keeper(readiness_file=str(ready))
    keeper.step()
    assert ground.names == ["10-lan.conf"]
    assert (keeper.state, keeper.trouble) == (State.WAITING, f"{ready} is not there yet")
    ready.touch()
    keeper.step()
    ready.unlink()
    ground.first.unlink()
    keeper.step()
    assert (keeper.state, ground.embedded) == (State.KEPT, "lan")


def test_a_plugin_that_is_a_copy_of_ours_is_no_primary_network(
    ground: Ground, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    ground.write("05-disguise.conf", network("x", type="other-name"))
    ground.write("10-lan.conf", BRIDGE)
    keeper = ground.keeper(bin_dir=str(programs))
    (programs / "other-name").write_text("#!/x/python3 -IS\n# multus-py: executed by ...\n")
    keeper.step()
    assert ground.embedded == "lan"


# -- following the primary network


def test_a_change_is_followed(ground: Ground) -> None:
    ground.write("10-lan.conf", BRIDGE)
    keeper = ground.keeper()
    keeper.step()
    ground.write("10-lan.conf", {**BRIDGE, "mtu": 9000})
    keeper.step()
    assert ground.plugin["delegates"][0]["mtu"] == 9000
    assert ground.books.written[1:] == ["00-multus.conflist changed"]


@pytest.mark.parametrize("broken", [b"", b'{"name": "la', b"{}", b"[]", b"\xff"])
def test_while_it_is_half_written_the_last_good_one_stays(ground: Ground, broken: bytes) -> None:
    ground.write("10-lan.conf", BRIDGE)
    ground.write("20-other.conf", network("other"))
    keeper = ground.keeper()
    keeper.step()
    ground.write("10-lan.conf", broken)
    ground.pass_time(keeper, 120)
    assert (keeper.state, ground.embedded) == (State.HELD, "lan")
    assert keeper.trouble.startswith("10-lan.conf")
    ground.first.unlink()
    keeper.step()
    assert ground.embedded == "lan"
    ground.write("10-lan.conf", network("new"))
    keeper.step()
    assert (keeper.state, ground.embedded) == (State.KEPT, "new")


def test_when_it_is_gone_the_last_good_one_stays(ground: Ground) -> None:
    path = ground.write("10-lan.conf", BRIDGE)
    keeper = ground.keeper()
    keeper.step()
    path.unlink()
    ground.pass_time(keeper, 120)
    assert (keeper.state, ground.embedded) == (State.HELD, "lan")


def test_when_it_is_gone_another_one_is_followed_after_a_while(ground: Ground) -> None:
    path = ground.write("10-lan.conf", BRIDGE)
    ground.write("20-other.conf", network("other"))
    keeper = ground.keeper()
    keeper.step()
    path.unlink()
    assert keeper.step() <= 2
    assert ground.embedded == "lan"
    assert "20-other.conf is about to be followed" in keeper.trouble
    ground.pass_time(keeper, 2)
    assert (keeper.state, ground.embedded) == (State.KEPT, "other")


def test_a_file_that_is_renamed_is_followed_without_a_detour(ground: Ground) -> None:
    path = ground.write("10-lan.conf", BRIDGE)
    ground.write("20-other.conf", network("other"))
    keeper = ground.keeper()
    keeper.step()
    path.unlink()
    ground.pass_time(keeper, 1)
    ground.write("15-lan.conf", {**BRIDGE, "mtu": 1})
    ground.pass_time(keeper, 2)
    assert ground.plugin["delegates"][0]["mtu"] == 1
    assert len(ground.books.written) == 2


def test_a_better_one_is_followed_at_once(ground: Ground) -> None:
    ground.write("10-lan.conf", BRIDGE)
    keeper = ground.keeper()
    keeper.step()
    ground.write("05-better.conf", network("better"))
    keeper.step()
    assert ground.embedded == "better"


def test_a_better_one_that_is_broken_changes_nothing(ground: Ground) -> None:
    ground.write("10-lan.conf", BRIDGE)
    keeper = ground.keeper()
    keeper.step()
    ground.write("05-better.conf", b"{")
    ground.pass_time(keeper, 10)
    assert (keeper.state, ground.embedded) == (State.KEPT, "lan")


def test_a_named_one_is_the_only_one(ground: Ground) -> None:
    ground.write("10-lan.conf", BRIDGE)
    path = ground.write("20-other.conf", network("other"))
    keeper = ground.keeper(named="20-other.conf")
    keeper.step()
    assert ground.embedded == "other"
    path.unlink()
    ground.pass_time(keeper, 120)
    assert (keeper.state, ground.embedded) == (State.HELD, "other")


def test_a_better_one_that_is_half_written_at_the_start_is_waited_for(ground: Ground) -> None:
    ground.write("10-calico.conflist", b'{"name":')
    ground.write("87-podman.conflist", {**CALICO, "name": "podman"})
    keeper = ground.keeper()
    keeper.step()
    assert keeper.state is State.WAITING
    ground.write("10-calico.conflist", CALICO)
    keeper.step()
    assert ground.embedded == "k8s-pod-network"


def test_one_that_stays_broken_is_not_waited_for_for_ever(ground: Ground) -> None:
    ground.write("10-calico.conflist", b'{"name":')
    ground.write("87-podman.conflist", {**CALICO, "name": "podman"})
    keeper = ground.keeper()
    ground.pass_time(keeper, 2)
    assert ground.embedded == "podman"


def test_another_life_does_not_take_another_network_too_soon(ground: Ground) -> None:
    path = ground.write("10-calico.conflist", CALICO)
    ground.keeper().step()
    path.unlink()
    ground.write("87-podman.conflist", {**CALICO, "name": "podman"})
    keeper = ground.keeper()
    keeper.step()
    assert (keeper.state, ground.embedded) == (State.HELD, "k8s-pod-network")
    ground.pass_time(keeper, 2)
    assert (keeper.state, ground.embedded) == (State.KEPT, "podman")


def test_another_life_without_a_primary_network_leaves_what_is_good(ground: Ground) -> None:
    path = ground.write("10-lan.conf", BRIDGE)
    ground.keeper().step()
    path.unlink()
    content = ground.first.read_bytes()
    keeper = ground.keeper()
    keeper.step()
    assert (keeper.state, ground.first.read_bytes()) == (State.HELD, content)
    ground.first.unlink()
    keeper.step()
    assert ground.first.read_bytes() == content


def test_settings_that_no_pod_could_start_with_change_nothing(ground: Ground) -> None:
    ground.write("10-lan.conf", BRIDGE)
    ground.keeper().step()
    keeper = ground.keeper(wanted={"settings": {"binDir": 7}})
    keeper.step()
    assert (keeper.state, ground.embedded) == (State.HELD, "lan")
    assert "binDir" in keeper.trouble


def test_a_named_one_may_have_any_extension(ground: Ground) -> None:
    ground.write("10-lan.conf.old", BRIDGE)
    ground.write("20-other.conf", network("other"))
    ground.keeper(named="10-lan.conf.old").step()
    assert ground.embedded == "lan"


# -- our file


def test_a_deleted_one_is_restored(ground: Ground) -> None:
    ground.write("10-lan.conf", BRIDGE)
    keeper = ground.keeper()
    keeper.step()
    ground.first.unlink()
    keeper.step()
    assert ground.embedded == "lan"
    assert ground.books.written[1:] == ["00-multus.conflist restored"]


@pytest.mark.parametrize(
    "content", [b"", b"{}", network("intruder"), OF_MULTUS, {"name": "n", "type": "multus-py"}]
)
def test_an_edited_one_is_restored(ground: Ground, content: object) -> None:
    ground.write("10-lan.conf", BRIDGE)
    keeper = ground.keeper()
    keeper.step()
    ground.write("00-multus.conflist", content)
    keeper.step()
    assert ground.embedded == "lan"
    assert ground.names == ["00-multus.conflist", "10-lan.conf"]


@pytest.mark.parametrize("name", ["00-multus.conflist.cilium_bak", "zz"])
def test_a_renamed_one_is_restored(ground: Ground, name: str) -> None:
    ground.write("10-lan.conf", BRIDGE)
    keeper = ground.keeper()
    keeper.step()
    ground.first.rename(ground.directory / name)
    keeper.step()
    assert ground.embedded == "lan"
    assert name in ground.names


def test_a_copy_that_a_runtime_would_read_is_removed(ground: Ground) -> None:
    ground.write("10-lan.conf", BRIDGE)
    keeper = ground.keeper()
    keeper.step()
    ground.first.rename(ground.directory / "05-copy.conflist")
    keeper.step()
    assert ground.names == ["00-multus.conflist", "10-lan.conf"]


def test_an_older_one_with_another_extension_is_removed(ground: Ground) -> None:
    ground.write("10-lan.conf", {**BRIDGE, "cniVersion": "0.4.0"})
    keeper = ground.keeper()
    keeper.step()
    assert ground.first.name == "00-multus.conf"
    ground.write("10-lan.conf", BRIDGE)
    keeper.step()
    assert ground.names == ["00-multus.conflist", "10-lan.conf"]
    ground.keeper(wanted={"cni_version": "0.3.1"}).step()
    assert ground.names == ["00-multus.conf", "10-lan.conf"]
    assert not (ground.directory / REPLACED).exists()


def test_it_is_the_first_for_the_runtime(ground: Ground) -> None:
    ground.write("10-lan.conf", BRIDGE)
    keeper = ground.keeper()
    keeper.step()
    early = ground.write("00-early.conf", b"not for us to judge")
    keeper.step()
    assert ground.names == ["0-multus.conflist", "00-early.conf", "10-lan.conf"]
    assert (keeper.state, ground.embedded) == (State.KEPT, "lan")
    early.unlink()
    keeper.step()
    assert ground.names == ["00-multus.conflist", "10-lan.conf"]
    assert [line.split()[1] for line in ground.books.written] == ["first", "changed", "changed"]


def test_a_name_that_nothing_sorts_before_is_told(ground: Ground) -> None:
    ground.write("10-lan.conf", BRIDGE)
    ground.write("  .conf", b"")
    keeper = ground.keeper()
    ground.pass_time(keeper, 2)
    assert keeper.state is State.FAILED
    assert "  .conf before" in keeper.trouble
    assert "!!!!multus.conflist" in ground.names


def test_a_primary_network_may_have_our_name(ground: Ground) -> None:
    content = ground.write("00-multus.conf", BRIDGE).read_bytes()
    keeper = ground.keeper()
    ground.pass_time(keeper, 10)
    assert (keeper.state, ground.embedded) == (State.KEPT, "lan")
    assert ground.names == ["0-multus.conflist", "00-multus.conf"]
    assert (ground.directory / "00-multus.conf").read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"{", b"{}"])
def test_what_is_left_of_a_broken_one_is_removed(ground: Ground, content: bytes) -> None:
    """Multus leaves an empty file when it cannot read the primary network's."""
    ground.write("00-multus.conf", content)
    ground.write("10-lan.conf", BRIDGE)
    ground.keeper().step()
    assert ground.names == ["00-multus.conflist", "10-lan.conf"]
    assert not (ground.directory / REPLACED).exists()


@pytest.mark.parametrize("name", ["00-multus.conf", "00-multus.conflist"])
def test_multuss_own_is_replaced_and_kept(ground: Ground, name: str) -> None:
    content = ground.write(name, OF_MULTUS).read_bytes()
    ground.write("10-lan.conf", BRIDGE)
    ground.keeper().step()
    assert ground.names == ["00-multus.conflist", "10-lan.conf"]
    assert ground.embedded == "lan"
    kept = ground.directory / REPLACED
    assert (kept / name).read_bytes() == content
    assert kept.stat().st_mode & 0o777 == 0o700


def test_without_a_primary_network_multuss_own_stays(ground: Ground) -> None:
    ground.write("00-multus.conf", OF_MULTUS)
    keeper = ground.keeper()
    keeper.step()
    assert (keeper.state, ground.names) == (State.WAITING, ["00-multus.conf"])
    assert ground.plugin == OF_MULTUS


def test_nothing_that_is_not_ours_is_touched(ground: Ground) -> None:
    others: dict[str, object] = {
        "10-lan.conf": BRIDGE,
        "70-multus.conf": OF_MULTUS,
        "20-hand.conf": {"name": "n", "type": "multus-py", "delegates": [BRIDGE]},
        "30.conf": b"",
        "00-multus.conf.bak": b"x",
        "notes": b"y",
        "multus.d/daemon-config.json": b"{}",
    }
    for name, content in others.items():
        ground.write(name, content)
    written = {name: (ground.directory / name).read_bytes() for name in others}
    ground.keeper().step()
    assert {name: (ground.directory / name).read_bytes() for name in others} == written
    assert ground.embedded == "lan"


def test_when_the_node_is_being_left_nothing_is_kept(ground: Ground, tmp_path: Path) -> None:
    ground.write("10-lan.conf", BRIDGE)
    leaving = tmp_path / "leaving"
    keeper = ground.keeper(leaving=str(leaving))
    keeper.step()
    leaving.touch()
    ground.first.unlink()
    keeper.step()
    assert (keeper.state, ground.names) == (State.LEFT, ["10-lan.conf"])
    leaving.unlink()
    keeper.step()
    assert (keeper.state, ground.embedded) == (State.KEPT, "lan")


# -- a file that is given


def test_a_given_file_is_kept_under_its_own_name(ground: Ground, tmp_path: Path) -> None:
    ground.write("10-lan.conf", BRIDGE)
    ground.keeper().step()
    given = tmp_path / "05-mine.conf"
    config = {"name": "mine", "type": "multus-py", "delegates": [BRIDGE]}
    given.write_text(json.dumps(config))
    keeper = ground.keeper(copied=str(given))
    keeper.step()
    assert (keeper.state, ground.names) == (State.KEPT, ["05-mine.conf", "10-lan.conf"])
    assert ground.plugin == config
    for content in ("", '{"name": "mi', json.dumps(BRIDGE)):
        given.write_text(content)
        keeper.step()
        assert (keeper.state, ground.plugin) == (State.HELD, config)
    given.write_text(json.dumps({**config, "logLevel": "debug"}))
    keeper.step()
    assert ground.plugin["logLevel"] == "debug"
    ground.first.unlink()
    given.unlink()
    keeper.step()
    assert (keeper.state, ground.plugin["logLevel"]) == (State.HELD, "debug")


def test_a_given_file_that_is_missing_or_not_the_first_is_told(
    ground: Ground, tmp_path: Path
) -> None:
    given = tmp_path / "70-mine.conf"
    keeper = ground.keeper(copied=str(given))
    ground.write("10-lan.conf", BRIDGE)
    keeper.step()
    assert (keeper.state, ground.names) == (State.WAITING, ["10-lan.conf"])
    assert f"{given} is not there" in keeper.trouble
    given.write_text(json.dumps({"name": "n", "type": "multus-py", "delegates": [BRIDGE]}))
    keeper.step()
    assert keeper.state is State.FAILED
    assert "runtimes take 10-lan.conf before" in keeper.trouble
    assert "70-mine.conf" in ground.names


# -- those who fight


def disturb(ground: Ground, keeper: Keeper, times: int) -> None:
    for _ in range(times):
        ground.first.rename(ground.directory / f"{ground.first.name}.cilium_bak")
        ground.now += 1
        keeper.step()


def test_the_third_fight_within_a_minute_is_told_and_makes_it_slow(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    ground.write("10-cilium.conflist", CALICO)
    keeper = ground.keeper()
    keeper.step()
    disturb(ground, keeper, 2)
    assert (keeper.state, ground.books.rivals) == (State.KEPT, [])
    disturb(ground, keeper, 1)
    assert ground.books.rivals == ["00-multus.conf.cilium_bak"]
    assert (keeper.state, ground.embedded) == (State.CONTESTED, "k8s-pod-network")
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "there is 00-multus.conf.cilium_bak instead" in errors[0].getMessage()

    ground.first.unlink()
    ground.pass_time(keeper, 25)
    assert ground.first.name == "10-cilium.conflist"
    ground.pass_time(keeper, 5)
    assert ground.embedded == "k8s-pod-network"
    assert len(errors) == 1


def test_after_a_time_of_peace_it_is_quick_again(ground: Ground) -> None:
    ground.write("10-cilium.conflist", CALICO)
    keeper = ground.keeper()
    keeper.step()
    disturb(ground, keeper, 3)
    ground.pass_time(keeper, 59)
    assert (keeper.state, len(ground.books.rivals)) == (State.CONTESTED, 1)
    ground.pass_time(keeper, 4)
    assert (keeper.state, ground.books.rivals[1:]) == (State.KEPT, [""])
    disturb(ground, keeper, 1)
    assert (keeper.state, ground.embedded) == (State.KEPT, "k8s-pod-network")


def test_the_primary_network_is_followed_in_a_fight_too(ground: Ground) -> None:
    ground.write("10-cilium.conflist", CALICO)
    keeper = ground.keeper()
    keeper.step()
    disturb(ground, keeper, 3)
    ground.write("10-cilium.conflist", network("new"))
    ground.write("10-cilium.conflist", {**CALICO, "name": "new"})
    keeper.step()
    assert ground.embedded == "new"


@pytest.mark.parametrize(
    ("content", "rival"),
    [(None, "10-cilium.conflist"), (network("x"), "00-multus.conf"), (b"", "00-multus.conf")],
)
def test_the_rival_is_what_a_runtime_would_take_now(
    ground: Ground, content: object, rival: str
) -> None:
    ground.write("10-cilium.conflist", CALICO)
    keeper = ground.keeper()
    keeper.step()
    for _ in range(3):
        if content is None:
            ground.first.unlink()
        else:
            ground.write("00-multus.conf", content)
        keeper.step()
    assert ground.books.rivals == [rival]


def test_seldom_fights_are_none(ground: Ground) -> None:
    ground.write("10-lan.conf", BRIDGE)
    keeper = ground.keeper()
    keeper.step()
    for _ in range(10):
        disturb(ground, keeper, 1)
        ground.now += 35
    assert (keeper.state, ground.books.rivals) == (State.KEPT, [])


# -- disks


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_directory_that_is_missing_is_told_once(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = ground.keeper()
    ground.directory.rmdir()
    for _ in range(3):
        keeper.step()
    assert keeper.state is State.FAILED
    [line] = told(caplog)
    assert line == (
        f"configuration: cannot keep a configuration in {ground.directory}:"
        " No such file or directory"
    )
    ground.write("10-lan.conf", BRIDGE)
    keeper.step()
    assert (keeper.state, ground.embedded) == (State.KEPT, "lan")


@pytest.mark.usefixtures("node")
def test_a_full_disk_costs_nothing_that_is_there(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    with nodes.mounted(ground.directory, "size=1m"):
        ground.write("10-lan.conf", BRIDGE)
        keeper = ground.keeper()
        keeper.step()
        filler = ground.directory / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
        (ground.directory / "10-lan.conf").write_text(json.dumps(network("new")))
        keeper.step()
        keeper.step()
        assert (keeper.state, ground.embedded) == (State.FAILED, "lan")
        assert [line.rpartition(": ")[2] for line in told(caplog)] == ["No space left on device"]
        assert not (ground.directory / TEMPORARY).exists()
        filler.unlink()
        keeper.step()
        assert (keeper.state, ground.embedded) == (State.KEPT, "new")


@pytest.mark.usefixtures("node")
def test_a_read_only_directory_is_told(ground: Ground) -> None:
    with nodes.mounted(ground.directory, "size=64k"):
        ground.write("10-lan.conf", BRIDGE)
        keeper = ground.keeper()
        nodes.run("mount", "-o", "remount,ro", str(ground.directory))
        keeper.step()
        assert (keeper.state, ground.names) == (State.FAILED, ["10-lan.conf"])
        assert "Read-only file system" in keeper.trouble
        nodes.run("mount", "-o", "remount,rw", str(ground.directory))
        keeper.step()
        assert (keeper.state, ground.embedded) == (State.KEPT, "lan")


def test_what_is_no_file_is_no_trouble(ground: Ground) -> None:
    ground.write("10-lan.conf", BRIDGE)
    (ground.directory / "05-directory.conf").mkdir()
    os.mkfifo(ground.directory / "20-pipe.conf")
    (ground.directory / "30-nowhere.conf").symlink_to("nothing")
    (ground.directory / os.fsdecode(b"40-\xff.conf")).write_bytes(b"")
    keeper = ground.keeper()
    keeper.step()
    assert (keeper.state, ground.embedded) == (State.KEPT, "lan")


def test_a_name_that_is_no_text_can_be_told(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    ground.write("10-lan.conf", BRIDGE)
    (ground.directory / os.fsdecode(b" \xff.conf")).write_bytes(b"")
    keeper = ground.keeper()
    ground.pass_time(keeper, 3)
    assert [line.encode() for line in told(caplog) if "\\udcff.conf before" in line]


# -- power cuts


@dataclass
class Cut:
    """A change of ``given`` files to one network, by a keeper that is cut short."""

    ground: Ground
    given: dict[str, Any]
    earlier: bool = False
    """Whether the given files were kept before."""

    def prepare(self) -> None:
        shutil.rmtree(self.ground.directory, ignore_errors=True)
        for name, content in self.given.items():
            self.ground.write(name, content)
        if self.earlier:
            self.ground.keeper().step()
        self.ground.write("10-lan.conf", network("after"))

    def check(self, calls: int) -> None:
        found = self.ground.plugin
        assert found in (OF_MULTUS, network("after")) or self.ground.embedded in {"lan", "after"}
        assert found != network("after") or not (self.earlier or OF_MULTUS in self.given.values())
        keeper = self.ground.keeper()
        self.ground.pass_time(keeper, 3)
        assert (keeper.state, self.ground.embedded) == (State.KEPT, "after"), calls
        assert self.ground.names == ["00-multus.conflist", "10-lan.conf"]
        hidden = {path.name for path in self.ground.directory.iterdir()}
        assert TEMPORARY not in hidden, "an unfinished one is finished by the next"


@pytest.mark.parametrize(
    ("given", "earlier"),
    [
        ({}, False),
        ({"10-lan.conf": BRIDGE}, True),
        ({"10-lan.conf": {**BRIDGE, "cniVersion": "0.4.0"}}, True),
        ({"00-multus.conf": OF_MULTUS}, False),
    ],
    ids=["the first", "a change", "another extension", "from Multus"],
)
def test_a_power_cut_at_any_call_leaves_a_file_that_works(
    ground: Ground, given: dict[str, Any], *, earlier: bool
) -> None:
    cut = Cut(ground, given, earlier=earlier)
    calls = powercut.at_every_call(lambda: ground.keeper().step(), cut.prepare, cut.check)
    assert calls > 8
    if OF_MULTUS in given.values():
        kept = ground.directory / REPLACED / "00-multus.conf"
        assert json.loads(kept.read_bytes()) == OF_MULTUS


# -- its thread


def test_it_follows_by_itself_until_it_is_stopped(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "net.d")
    ground.write("10-lan.conf", BRIDGE)
    keeper = ground.keeper()
    keeper.start()
    eventually(lambda: keeper.state is State.KEPT)
    ground.write("10-lan.conf", network("new"))
    eventually(lambda: ground.embedded == "new")
    ground.first.unlink()
    eventually(lambda: ground.first.name == "00-multus.conflist")
    threads = threading.active_count()
    keeper.stop()
    assert threading.active_count() < threads
    ground.first.unlink()
    assert ground.names == ["10-lan.conf"]


def test_one_that_was_never_started_can_be_stopped(ground: Ground) -> None:
    ground.keeper().stop()
