"""What the daemon leaves for plugins while it is away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from multus_py.adapters import connection
from multus_py.cni.errors import CniError
from multus_py.daemon.standby import StandbyFiles
from multus_py.models import standby
from tests.processes import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from multus_py.models.standby import Standby
    from tests.kubeapi import Certificate


@pytest.fixture
def account(tmp_path: Path) -> Path:
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("first\n")
    (account / "ca.crt").write_text("an authority")
    return account


def left(directory: Path, **what: Any) -> StandbyFiles:
    given = {"over": {}, "kubeconfig": "", "server": "", **what}
    files = StandbyFiles(str(directory), **given)
    files.start()
    return files


def read(directory: Path) -> Standby:
    return standby.parse((directory / standby.FILE).read_bytes())


def test_settings_are_left_as_they_are(tmp_path: Path) -> None:
    left(tmp_path, over={"confDir": "/c"}, kubeconfig="/etc/kubeconfig").stop()
    found = read(tmp_path)
    assert (found.over, found.kubeconfig, found.kubernetes) == (
        {"confDir": "/c"},
        "/etc/kubeconfig",
        True,
    )


def test_without_a_cluster_that_is_said(tmp_path: Path) -> None:
    left(tmp_path).stop()
    assert (read(tmp_path).kubernetes, read(tmp_path).kubeconfig) == (False, "")


def test_the_service_accounts_token_is_left_for_root_only(tmp_path: Path, account: Path) -> None:
    left(tmp_path, server="https://10.0.0.1:443", account=str(account)).stop()
    path = tmp_path / "kubeconfig"
    assert read(tmp_path).kubeconfig == str(path)
    assert [file.stat().st_mode & 0o777 for file in (path, tmp_path / standby.FILE)] == [0o600] * 2
    assert yaml.safe_load(path.read_text())["users"][0]["user"] == {"token": "first"}


def test_what_is_left_is_a_kubeconfig_that_the_client_takes(
    tmp_path: Path, account: Path, certificate: Certificate
) -> None:
    (account / "ca.crt").write_bytes(certificate.path.read_bytes())
    left(tmp_path, server="https://10.0.0.1:443", account=str(account)).stop()
    client = connection.from_kubeconfig(str(tmp_path / "kubeconfig"))
    assert client.configuration.host == "https://10.0.0.1:443"


def test_a_token_that_rotates_is_followed(tmp_path: Path, account: Path) -> None:
    files = left(tmp_path, server="https://s", account=str(account), seconds=0.01)
    (account / "token").write_text("second")
    eventually(lambda: "second" in (tmp_path / "kubeconfig").read_text())
    files.stop()


def test_a_token_that_is_not_there_yet_is_waited_for(
    tmp_path: Path, account: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (account / "token").rename(account / "later")
    files = left(tmp_path, server="https://s", account=str(account), seconds=0.01)
    assert "cannot leave a credential" in caplog.text
    (account / "later").rename(account / "token")
    eventually((tmp_path / "kubeconfig").exists)
    files.stop()


def test_what_cannot_be_read_is_an_error_with_a_next_step() -> None:
    with pytest.raises(CniError) as caught:
        standby.parse(json.dumps({"over": []}).encode())
    assert "start the daemon again" in str(caught.value)
