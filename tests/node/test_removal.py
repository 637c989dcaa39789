"""Removing: the node is as it was, whoever did what meanwhile and whenever the power failed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.adapters import locks, presence
from multus_py.adapters.disk import Disk
from multus_py.cni import network
from multus_py.cni.errors import CniError
from multus_py.cni.request import Attachment
from multus_py.models.delegate import Delegate, Record
from multus_py.node import aside, kubeconfig, place, removal
from multus_py.node.aside import Aside
from multus_py.node.kubeconfig import Kubeconfig
from multus_py.node.launchers import OwnTypes
from multus_py.node.removal import Way
from tests import powercut, snapshots
from tests.node import standin
from tests.nodes import mounted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from multus_py.node.bundle import Bundle
    from multus_py.node.removal import Removed
    from tests.node.standin import Host


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return standin.small(tmp_path_factory.mktemp("bundles") / "1", "1")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = standin.Host(tmp_path / "node")
    made.configure("10-primary.conflist", plugins=[{"type": "bridge"}])
    made.foreign("bridge")
    return made


def remove(host: Host, **changes: bool) -> Removed:
    return removal.uninstall(host.lib_dir, Way(**changes))


def attach(
    host: Host,
    container_id: str = "ctr",
    owner: str = "multus-cni-network",
    *,
    further: bool = True,
) -> Path:
    """Write the record and a cached result of a pod, with a further network or without."""
    pod = (("K8S_POD_NAMESPACE", "default"), ("K8S_POD_NAME", "web"))
    names = {"primary": "eth0", "default/blue": "net1"} if further else {"primary": "eth0"}
    delegates = tuple(
        Delegate(
            name=name,
            network=network.parse(
                {"cniVersion": "1.0.0", "name": name.rpartition("/")[2], "type": "bridge"}
            ),
            ifname=ifname,
            master=ifname == "eth0",
            cni_args=pod,
        )
        for name, ifname in names.items()
    )
    record = Record(attachment=Attachment(container_id, "eth0"), owner=owner, delegates=delegates)
    Disk(host.places.cni_dir, lock=locks.held).write_record(record)
    result = Path(host.places.cni_dir, "results", f"blue-{container_id}-net1")
    result.parent.mkdir(exist_ok=True)
    result.write_text("{}")
    return result


def configurations(host: Host) -> list[str]:
    return sorted(os.listdir(host.places.conf_dir))


def test_nothing_is_different_afterwards(host: Host, carried: Bundle) -> None:
    before = snapshots.taken(host.directory)
    host.install(carried, "multus")
    host.configure("00-multus.conf", **generated())
    host.install(carried)

    done = remove(host)

    assert snapshots.taken(host.directory) == before
    assert not done.waiting
    assert remove(host).steps == ()


generated = standin.generated


def test_what_was_replaced_is_put_back(host: Host, carried: Bundle) -> None:
    host.foreign("multus")
    host.foreign("passthru")
    before = snapshots.taken(host.directory)
    host.install(carried, "multus")
    host.install(carried, "multus")
    remove(host)
    assert snapshots.taken(host.directory) == before


def test_what_somebody_has_put_in_our_place_stays(host: Host, carried: Bundle) -> None:
    """As the installer of Multus does with its own binary."""
    host.foreign("multus")
    host.install(carried, "multus")
    host.plugin("multus").unlink()
    host.plugin("multus").write_bytes(b"newer")
    remove(host)
    assert host.plugin("multus").read_bytes() == b"newer"
    assert not os.path.exists(host.lib_dir)


def test_what_somebody_has_deleted_is_put_back_too(host: Host, carried: Bundle) -> None:
    foreign = host.foreign("multus")
    host.install(carried, "multus")
    foreign.unlink()
    remove(host)
    assert foreign.read_bytes() == b"\x7fELF foreign"


def test_every_configuration_of_ours_goes_and_no_other(host: Host, carried: Bundle) -> None:
    host.configure("20-other.conf", type="other")
    Path(host.places.conf_dir, "readme").write_text("multus-py was here")
    before = configurations(host)
    host.install(carried)
    host.configure("00-multus.conf", **generated())
    host.configure("!multus.conflist", plugins=[generated()])
    host.configure("00-multus.conflist.cilium_bak", plugins=[generated()])
    host.configure("05-by-hand.conf", type="multus-py", delegates=[])
    Path(host.places.conf_dir, place.TEMPORARY).write_text("{")

    remove(host)

    assert configurations(host) == before


def test_the_configuration_goes_before_anything_that_it_needs(host: Host, carried: Bundle) -> None:
    host.install(carried)
    path = host.configure("00-multus.conf", **generated())
    steps = remove(host, dry_run=True).steps
    order = [
        f"remove configuration {path}",
        f"remove executable {host.plugin()}",
        f"remove {host.lib_dir}/versions with all that is in it",
        "remove the manifest",
    ]
    assert [step for step in steps if step in order] == order


def test_a_configuration_from_before_stays_and_is_told(host: Host, carried: Bundle) -> None:
    path = host.configure("05-by-hand.conf", type="multus-py", delegates=[])
    before = snapshots.taken(host.directory)
    host.install(carried)
    done = remove(host)
    assert done.left == (str(path),)
    assert snapshots.taken(host.directory) == before


def test_what_we_generated_under_an_earlier_installation_goes(host: Host, carried: Bundle) -> None:
    """Its manifest may be lost; a node whose configuration calls nobody starts no pods."""
    host.configure("00-multus.conf", **generated())
    host.install(carried)
    remove(host)
    assert configurations(host) == ["10-primary.conflist"]


def test_a_drop_in_for_multus_is_undone(host: Host, carried: Bundle) -> None:
    """Its configuration calls its own binary again."""
    host.foreign("multus")
    host.configure("00-multus.conf", type="multus", delegates=[])
    before = snapshots.taken(host.directory)
    host.install(carried, "multus")
    done = remove(host)
    assert (snapshots.taken(host.directory), done.left) == (before, ())


def taken_over(host: Host) -> None:
    """Do what the daemon does with a configuration of Multus."""
    kept = Path(host.places.conf_dir, place.REPLACED)
    kept.mkdir(mode=0o700)
    Path(host.places.conf_dir, "00-multus.conf").rename(kept / "00-multus.conf")
    host.configure("00-multus.conf", **generated())


def test_multus_gets_its_node_back(host: Host, carried: Bundle) -> None:
    host.foreign("multus")
    host.configure("00-multus.conf", type="multus", delegates=[])
    before = snapshots.taken(host.directory)
    host.install(carried, "multus")
    taken_over(host)
    steps = remove(host, hand_back=True, dry_run=True).steps
    assert steps.index(f"put {host.plugin('multus')} back") < steps.index(
        f"put {host.places.conf_dir}/00-multus.conf back"
    )
    remove(host, hand_back=True)
    assert snapshots.taken(host.directory) == before


def test_multus_gets_its_pods_back(host: Host, carried: Bundle) -> None:
    host.foreign("multus")
    host.configure("00-multus.conf", type="multus", delegates=[])
    attach(host, "old", owner="")
    before = snapshots.taken(host.directory)
    host.install(carried, "multus")
    taken_over(host)
    done = remove(host, hand_back=True)
    assert (done.waiting, done.attachments) == (False, ())
    assert snapshots.taken(host.directory) == before


def test_pods_of_multus_are_its_own_where_it_stays(host: Host, carried: Bundle) -> None:
    host.foreign("multus")
    host.configure("00-multus.conf", type="multus", delegates=[])
    attach(host, "old", owner="")
    before = snapshots.taken(host.directory)
    host.install(carried, "multus")
    assert remove(host).attachments == ()
    assert snapshots.taken(host.directory) == before


def test_pods_of_a_multus_that_came_later_are_its_own(host: Host, carried: Bundle) -> None:
    host.install(carried, "multus")
    host.configure("00-multus.conflist", **generated())
    attach(host, "ours")
    assert remove(host).waiting
    host.configure("00-multus.conf", type="multus-shim")
    Path(host.places.cni_dir, "ours").unlink()  # released, by Multus
    attach(host, "theirs", owner="")
    done = remove(host)
    assert (done.waiting, done.attachments) == (False, ())
    assert configurations(host) == ["00-multus.conf", "10-primary.conflist"]
    assert os.path.exists(Path(host.places.cni_dir, "theirs"))


def test_without_that_the_primary_network_serves(host: Host, carried: Bundle) -> None:
    host.foreign("multus")
    host.configure("00-multus.conf", type="multus", delegates=[])
    host.install(carried)
    taken_over(host)
    remove(host)
    assert configurations(host) == ["10-primary.conflist"]


def test_a_trial_changes_nothing_and_tells_what_would(host: Host, carried: Bundle) -> None:
    host.foreign("multus")
    host.install(carried, "multus")
    host.configure("00-multus.conf", **generated())
    before = snapshots.taken(host.directory)
    told = remove(host, dry_run=True).steps
    assert snapshots.taken(host.directory) == before
    assert set(told) <= set(remove(host).steps)


def test_what_is_attached_is_waited_for(host: Host, carried: Bundle) -> None:
    host.foreign("multus")
    before = snapshots.taken(host.directory)
    host.install(carried, "multus")
    host.configure("00-multus.conf", **generated())
    result = attach(host)

    done = remove(host)

    assert done.waiting
    assert done.attachments == ("default/web: primary (eth0), default/blue (net1)",)
    assert configurations(host) == ["00-multus.conf", "10-primary.conflist"]
    for name in ("multus-py", "multus"):
        assert "leaving.main(main" in host.plugin(name).read_text()
    assert Path(host.places.socket_dir, presence.LEAVING).exists()
    removal.finish(host.lib_dir)
    assert host.plugin().exists()

    Path(host.places.cni_dir, "ctr").unlink()
    result.unlink()
    removal.finish(host.lib_dir)

    assert snapshots.taken(host.directory) == before


def test_what_the_primary_network_releases_is_not_waited_for(host: Host, carried: Bundle) -> None:
    before = snapshots.taken(host.directory)
    host.install(carried)
    attach(host, further=False)
    done = remove(host)
    assert (done.waiting, done.attachments) == (False, ())
    assert snapshots.taken(host.directory) == before


def test_a_network_of_the_primary_ones_name_is_waited_for(host: Host, carried: Bundle) -> None:
    """CRI-O releases it as it was attached: by us."""
    host.install(carried)
    attach(host, owner="primary", further=False)
    assert remove(host).waiting
    assert remove(host, hand_back=True).waiting


def test_with_what_is_waited_for_goes_all_that_is_not(host: Host, carried: Bundle) -> None:
    before = snapshots.taken(host.directory)
    host.install(carried)
    result = attach(host)
    attach(host, "plain", further=False)
    assert remove(host).waiting
    Path(host.places.cni_dir, "ctr").unlink()
    result.unlink()
    removal.finish(host.lib_dir)
    assert snapshots.taken(host.directory) == before


def test_what_is_handed_back_is_not_waited_for(host: Host, carried: Bundle) -> None:
    """Multus releases what it finds recorded, whoever recorded it."""
    host.foreign("multus")
    host.configure("00-multus.conf", type="multus", delegates=[])
    host.install(carried, "multus")
    taken_over(host)
    attach(host)
    before = snapshots.taken(Path(host.places.cni_dir))
    assert not remove(host, hand_back=True).waiting
    assert not os.path.exists(host.lib_dir)
    assert snapshots.taken(Path(host.places.cni_dir)) == before


@pytest.mark.parametrize("again", [lambda host: removal.finish(host.lib_dir), remove])
def test_what_was_handed_back_once_stays_so(
    host: Host, carried: Bundle, again: Callable[[Host], object]
) -> None:
    host.foreign("multus")
    host.configure("00-multus.conf", type="multus", delegates=[])
    host.install(carried)
    taken_over(host)
    attach(host)
    with Disk(host.places.cni_dir, lock=locks.held).lock("other", 1.0):
        assert remove(host, hand_back=True).waiting
    again(host)
    assert not os.path.exists(host.lib_dir)
    assert Path(host.places.cni_dir, "ctr").exists()
    assert Path(host.places.conf_dir, "00-multus.conf").exists()


def test_a_request_that_is_under_way_is_waited_for(host: Host, carried: Bundle) -> None:
    host.install(carried)
    disk = Disk(host.places.cni_dir, lock=locks.held)
    with disk.lock("ctr", 1.0):
        done = remove(host)
    assert (done.waiting, done.attachments) == (True, ("a request for container ctr",))
    assert not remove(host).waiting


def test_nothing_is_finished_that_is_not_being_left(host: Host, carried: Bundle) -> None:
    host.install(carried)
    before = snapshots.taken(host.directory)
    removal.finish(host.lib_dir)
    assert snapshots.taken(host.directory) == before


def test_an_installation_meanwhile_keeps_it(host: Host, carried: Bundle) -> None:
    host.install(carried)
    result = attach(host)
    remove(host)
    host.install(carried)
    Path(host.places.cni_dir, "ctr").unlink()
    result.unlink()
    removal.finish(host.lib_dir)
    assert host.versions() == ["1", "1"]


def test_now_it_goes_and_says_what_is_abandoned(host: Host, carried: Bundle) -> None:
    before = snapshots.taken(host.directory)
    host.install(carried)
    attach(host)
    attach(host, "second")
    Path(host.places.cni_dir, "broken").write_text("{")
    Path(host.places.cni_dir, ".ctr.lock").touch()
    Path(host.places.cni_dir, ".ctr.new").touch()

    done = remove(host, now=True)

    assert sorted(done.attachments) == [
        "container broken: unknown networks",
        "default/web: primary (eth0), default/blue (net1)",
        "default/web: primary (eth0), default/blue (net1)",
    ]
    assert not done.waiting
    assert snapshots.taken(host.directory) == before


def test_what_others_keep_beside_our_records_stays(host: Host, carried: Bundle) -> None:
    """Also what Multus has left in the directory that it shares with us."""
    result = attach(host, "old", owner="")
    Path(host.places.cni_dir, "old").unlink()
    before = snapshots.taken(host.directory)
    host.install(carried)
    attach(host, "new")
    remove(host, now=True)
    assert result.exists()
    assert snapshots.taken(host.directory) == before


def test_a_directory_of_ours_that_others_use_by_now_stays(host: Host, carried: Bundle) -> None:
    host.install(carried)
    other = Path(host.places.cni_dir).with_name("networks")
    other.mkdir(parents=True)
    remove(host)
    assert os.listdir(other.parent) == ["networks"]


def test_a_daemon_at_work_stays_told(host: Host, carried: Bundle) -> None:
    host.install(carried)
    sockets = Path(host.places.socket_dir)
    sockets.mkdir(parents=True)
    with locks.held(str(sockets / "multus-py.lock"), 1.0):
        done = remove(host)
        assert done.daemons == (str(sockets),)
        assert (sockets / presence.LEAVING).exists()
        assert not os.path.exists(host.lib_dir)
    removal.forget_daemon(str(sockets))
    assert not sockets.exists()


def test_the_directory_of_the_socket_goes_with_all_that_a_daemon_left(
    host: Host, carried: Bundle
) -> None:
    before = snapshots.taken(host.directory)
    host.install(carried)
    sockets = Path(host.places.socket_dir)
    with standin.dead_socket(str(sockets / "multus-py.sock")):
        (sockets / "multus-py.lock").touch()
        (sockets / "certificates").mkdir()
        remove(host)
    assert snapshots.taken(host.directory) == before


def test_in_a_directory_of_others_only_what_is_ours_goes(host: Host, carried: Bundle) -> None:
    """As where the directories of a node were mounted, and so made, before the installation."""
    sockets, cni_dir = Path(host.places.socket_dir), Path(host.places.cni_dir)
    for directory in (sockets, cni_dir, Path(host.lib_dir)):
        directory.mkdir(parents=True)
    (sockets / "other.sock").touch()
    before = snapshots.taken(host.directory)
    host.install(carried)
    with standin.dead_socket(str(sockets / "multus-py.sock")):
        for name in ("multus-py.lock", "seen.json", "standby.json", "kubeconfig", "kubeconfig.71"):
            (sockets / name).touch()
        attach(host, further=False)
        remove(host)
    assert snapshots.taken(host.directory) == before


def test_it_may_have_lost_files_before(host: Host, carried: Bundle) -> None:
    host.foreign("multus")
    before = snapshots.taken(host.directory)
    host.install(carried, "multus")
    shutil.rmtree(Path(host.lib_dir, "versions"))
    result = attach(host)
    assert remove(host).waiting  # with the interpreter that runs this
    assert json.loads(standin.run(host.plugin()))["supportedVersions"]
    Path(host.places.cni_dir, "ctr").unlink()
    result.unlink()
    Path(host.lib_dir, "current").unlink()
    host.plugin().unlink()
    remove(host)
    assert snapshots.taken(host.directory) == before


def test_where_nothing_is_known_nothing_is_done(tmp_path: Path) -> None:
    lib_dir = tmp_path / "multus-py"
    for dry_run in (True, False):
        assert removal.uninstall(str(lib_dir), Way(dry_run=dry_run)).steps == ()
    removal.finish(str(lib_dir))
    lib_dir.mkdir()
    (lib_dir / "something").touch()
    with pytest.raises(CniError, match="has no manifest"):
        removal.uninstall(str(lib_dir), Way(now=True))
    assert (lib_dir / "something").exists()


def test_what_cannot_be_removed_is_told(host: Host, carried: Bundle) -> None:
    host.install(carried)
    path = host.configure("00-multus.conf", **generated())
    subprocess.run(["chattr", "+i", path], check=True)
    try:
        with pytest.raises(CniError, match=r"cannot remove it completely: .*00-multus\.conf"):
            remove(host)
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
    assert host.versions() == ["1", "1"]
    remove(host)
    assert not os.path.exists(host.lib_dir)


@pytest.fixture
def fast(node: None, tmp_path: Path) -> Iterator[Host]:
    """A node whose disk is memory, with Multus on it."""
    with mounted(tmp_path / "memory", "size=64m") as directory:
        made = standin.Host(directory)
        made.configure("10-primary.conflist", plugins=[{"type": "bridge"}])
        made.configure("00-multus.conf", type="multus", delegates=[])
        made.foreign("multus")
        yield made


@pytest.mark.parametrize("how", [{}, {"hand_back": True}, {"now": True}])
def test_the_power_may_fail_at_any_time(
    fast: Host, carried: Bundle, tmp_path: Path, how: dict[str, bool]
) -> None:
    before = snapshots.taken(fast.directory)
    fast.install(carried, "multus")
    taken_over(fast)
    if "now" in how:
        attach(fast)
    installed = tmp_path / "installed"
    shutil.copytree(fast.directory, installed, symlinks=True)
    if not how.get("hand_back"):
        before.pop(f"{fast.places.conf_dir}/00-multus.conf")

    def prepare() -> None:
        for path in fast.directory.iterdir():
            shutil.rmtree(path)
        shutil.copytree(installed, fast.directory, symlinks=True, dirs_exist_ok=True)

    def check(calls: int) -> None:
        require_usable(fast)
        again = remove(fast, **how)
        assert not again.waiting
        assert snapshots.taken(fast.directory) == before, calls

    assert powercut.at_every_call(lambda: remove(fast, **how), prepare, check) > 30


def require_usable(host: Host) -> None:
    """Require that every configuration calls a plugin that is there, and that ours works."""
    for name in configurations(host):
        path = Path(host.places.conf_dir, name)
        config: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        if "type" in config:
            assert host.plugin(config["type"]).exists()
    if host.plugin().exists():
        assert host.versions() == ["1", "1"]


def test_the_power_may_fail_while_it_begins_to_leave(
    fast: Host, carried: Bundle, tmp_path: Path
) -> None:
    fast.install(carried)
    taken_over(fast)
    attach(fast)
    installed = tmp_path / "installed"
    shutil.copytree(fast.directory, installed, symlinks=True)

    def prepare() -> None:
        for path in fast.directory.iterdir():
            shutil.rmtree(path)
        shutil.copytree(installed, fast.directory, symlinks=True, dirs_exist_ok=True)

    def check(calls: int) -> None:
        del calls
        assert fast.plugin().exists()
        assert remove(fast).waiting
        assert "leaving.main(main" in fast.plugin().read_text()
        assert configurations(fast) == before

    before = configurations(fast)
    assert "00-multus.conf" in before
    assert powercut.at_every_call(lambda: remove(fast), prepare, check) > 8


def test_what_a_thin_entry_point_has_left_goes_too(host: Host, carried: Bundle) -> None:
    """It was killed, so it could not give back what it had renamed."""
    host.install(carried, "multus")
    primary = host.configure("10-primary.conflist", plugins=[{"type": "bridge"}])
    before = snapshots.taken(Path(host.places.conf_dir))
    stage = Path(host.places.conf_dir, aside.STAGE)
    renamed = Aside(host.places.conf_dir, str(stage), own_types=OwnTypes(host.places.bin_dir))
    renamed.look()
    host.configure("00-multus.conf", **generated())
    renamed.rename()
    account = Path(host.directory, "account")
    account.mkdir()
    (account / "token").write_text("secret")
    (account / "ca.crt").write_text("authority")
    Kubeconfig(
        str(Path(host.places.conf_dir, kubeconfig.PLACE)),
        server="https://10.96.0.1:443",
        token_dir=host.places.socket_dir,
        account=str(account),
    ).renew()
    assert not primary.exists()
    remove(host)
    assert snapshots.taken(Path(host.places.conf_dir)) == before
    assert not Path(host.places.socket_dir).exists()


def test_a_kubeconfig_of_multus_stays(host: Host, carried: Bundle) -> None:
    path = Path(host.places.conf_dir, kubeconfig.PLACE)
    path.parent.mkdir()
    path.write_text("apiVersion: v1\ncurrent-context: multus-context\n")
    before = snapshots.taken(host.directory)
    host.install(carried)
    remove(host)
    assert snapshots.taken(host.directory) == before


def test_a_directory_that_was_made_for_a_mount_goes(host: Host, carried: Bundle) -> None:
    sockets = Path(host.places.socket_dir)
    assert sockets.name == "multus-py"
    sockets.mkdir(parents=True)
    host.install(carried)
    remove(host)
    assert not sockets.exists()
