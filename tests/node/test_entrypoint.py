"""A node without a daemon, step by step: each turn of the entry point is a step of the test.

As a process, in a container, it is in :mod:`tests.system.test_thin_entrypoint`.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.node.entrypoint import Entrypoint
from multus_py.node.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENVIRON = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
PRIMARY = {"cniVersion": "1.0.0", "name": "a", "type": "bridge"}


class Steps:
    """Stands for the time until the end: each wait is one of these, and the end is after them."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self._steps = list(steps)

    def __call__(self, seconds: float) -> bool:
        if not self._steps:
            return True
        self._steps.pop(0)()
        return False


class Node:
    """A node below one directory."""

    def __init__(self, directory: Path) -> None:
        self.net_d = directory / "net.d"
        self.primaries = directory / "primaries"
        self.account = directory / "account"
        self.conf_dir = directory / "multus"
        for path in (self.net_d, self.primaries, self.account):
            path.mkdir()
        (self.account / "token").write_text("first")
        (self.account / "ca.crt").write_text("an authority")

    @property
    def kubeconfig(self) -> Path:
        return self.net_d / "multus.d/multus.kubeconfig"

    def write(self, **members: Any) -> None:
        (self.primaries / "10-a.conf").write_text(json.dumps(PRIMARY | members))

    def rotate(self, token: str) -> None:
        (self.account / "token").write_text(token)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.net_d.glob("*.conf*"))

    def primary(self) -> str:
        config = json.loads((self.net_d / "00-multus.conflist").read_bytes())
        return str(config["plugins"][0]["delegates"][0]["name"])

    def token(self) -> str:
        user = json.loads(self.kubeconfig.read_bytes())["users"][0]["user"]
        return str(user["token"])

    def entrypoint(self, **flags: Any) -> Entrypoint:
        given = {
            "cni_conf_dir": str(self.net_d),
            "multus_autoconfig_dir": str(self.primaries),
            "multus_cni_conf_dir": str(self.conf_dir),
            "skip_multus_binary_copy": True,
            "skip_config_watch": True,
            **flags,
        }
        return Entrypoint(Options(**given), environ=ENVIRON, account=str(self.account))


@pytest.fixture
def host(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_it_waits_for_the_primary_network_and_writes_once(host: Node) -> None:
    def nothing_yet() -> None:
        assert host.names() == []
        assert host.token() == "first"
        assert host.conf_dir.is_dir()
        host.write()

    def written() -> None:
        assert host.primary() == "a"
        host.write(name="changed")

    def as_before() -> None:
        assert host.primary() == "a"

    host.entrypoint().run(Steps(nothing_yet, written, as_before, as_before))
    assert host.names() == ["00-multus.conflist"]
    assert not host.kubeconfig.exists()


def test_what_was_there_before_is_made_anew(host: Node) -> None:
    host.write()
    host.entrypoint().run(Steps())
    host.write(mtu=1400)
    host.entrypoint(namespace_isolation=True).run(Steps())
    assert "namespaceIsolation" in (host.net_d / "00-multus.conflist").read_text()
    assert "1400" in (host.net_d / "00-multus.conflist").read_text()


def test_the_credential_is_followed_while_the_rest_fails(host: Node) -> None:
    host.write()

    def lose_the_directory() -> None:
        shutil.rmtree(host.primaries)
        host.rotate("second")

    def followed() -> None:
        assert host.token() == "second"
        host.rotate("third")

    def followed_again() -> None:
        assert host.token() == "third"
        host.primaries.mkdir()
        host.write(name="b")

    entrypoint = host.entrypoint(rename_conf_file=True, skip_config_watch=False)
    entrypoint.run(Steps(lose_the_directory, followed, followed_again))
    assert [path.name for path in host.primaries.iterdir()] == ["10-a.conf.old"]


def test_a_service_account_that_is_gone_for_a_moment_is_no_end(host: Node) -> None:
    host.write()

    def followed() -> None:
        assert host.token() == "first"
        host.rotate("second")

    def found() -> None:
        assert host.token() == "second"

    steps = Steps((host.account / "token").unlink, followed, found)
    host.entrypoint().run(steps)


def test_a_start_that_fails_leaves_the_configuration_and_no_token(host: Node) -> None:
    host.write()
    host.entrypoint().run(Steps())
    (host.account / "mine.conf").write_text("[]")
    given = str(host.account / "mine.conf")
    with pytest.raises(CniError) as raised:
        host.entrypoint(multus_conf_file=given, cleanup_config_on_exit=True).run(Steps())
    assert "no configuration is written: mine.conf" in raised.value.cause
    assert host.primary() == "a"
    assert not host.kubeconfig.exists()


def test_an_end_in_haste_leaves_the_configuration_and_no_token(host: Node) -> None:
    def haste() -> None:
        raise SystemExit(1)

    host.write()
    with pytest.raises(SystemExit):
        host.entrypoint(cleanup_config_on_exit=True).run(Steps(haste))
    assert host.primary() == "a"
    assert not host.kubeconfig.exists()


def test_without_a_directory_nothing_can_be_renamed(host: Node) -> None:
    host.primaries.rmdir()
    with pytest.raises(CniError) as raised:
        host.entrypoint(rename_conf_file=True).run(Steps())
    assert raised.value.code == Code.IO_FAILURE
    assert f"no file is renamed in {host.primaries}" in raised.value.cause


def test_the_end_removes_what_earlier_lives_wrote(host: Node) -> None:
    host.write()
    host.entrypoint().run(Steps())
    (host.net_d / "00-multus.conflist").rename(host.net_d / "00-multus.conflist.cilium_bak")
    (host.net_d / "80-theirs.conf").write_text(json.dumps(PRIMARY))
    host.entrypoint(cleanup_config_on_exit=True).run(Steps())
    assert sorted(path.name for path in host.net_d.iterdir()) == ["80-theirs.conf"]


def test_nothing_is_renamed_before_ours_is_in_place(host: Node) -> None:
    host.write()
    (host.net_d / ".multus-py.new").mkdir()  # where it is prepared
    with pytest.raises(CniError, match="no configuration is written"):
        host.entrypoint(rename_conf_file=True).run(Steps())
    assert [path.name for path in host.primaries.iterdir()] == ["10-a.conf"]


def test_a_removal_that_fails_is_told_and_takes_the_token_away(host: Node) -> None:
    def put_a_directory_in_its_place() -> None:
        ours = host.net_d / "00-multus.conflist"
        ours.unlink()
        ours.mkdir()

    host.write()
    with pytest.raises(CniError, match="the configuration stays in"):
        host.entrypoint(cleanup_config_on_exit=True).run(Steps(put_a_directory_in_its_place))
    assert not host.kubeconfig.exists()


def test_a_directory_for_definitions_that_cannot_be_made_is_no_failure(host: Node) -> None:
    host.write()
    host.entrypoint(multus_cni_conf_dir="/proc/no/where", multus_token_dir="").run(Steps())
    assert host.primary() == "a"
