"""What the daemon leaves for plugins while it is away."""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from multus_py.adapters import credentials
from multus_py.cni.errors import CniError, Code
from multus_py.daemon.standby import StandbyFiles, of_service_account
from multus_py.models import standby
from tests.processes import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from multus_py.models.standby import Standby
    from tests.kubeapi import Certificate


@pytest.fixture
def account(tmp_path: Path) -> Path:
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("first\n")
    (account / "ca.crt").write_text("an authority")
    return account


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A directory in memory."""
    with tempfile.TemporaryDirectory(prefix="standby-", dir="/dev/shm") as directory:
        yield Path(directory)


def left(directory: Path, account: Path | None = None, **what: Any) -> StandbyFiles:
    if account:
        what["credential"] = lambda: of_service_account("https://10.0.0.1:443", str(account))
    files = StandbyFiles(str(directory), **{"over": {}, **what})
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


def test_the_service_accounts_token_is_left_for_root_only(sockets: Path, account: Path) -> None:
    left(sockets, account).stop()
    path = sockets / "kubeconfig"
    assert read(sockets).kubeconfig == path.name
    assert [file.stat().st_mode & 0o777 for file in (path, sockets / standby.FILE)] == [0o600] * 2
    assert yaml.safe_load(path.read_text())["users"][0]["user"] == {"token": "first"}


def test_what_is_left_is_a_kubeconfig_that_the_client_takes(
    sockets: Path, account: Path, certificate: Certificate
) -> None:
    (account / "ca.crt").write_bytes(certificate.path.read_bytes())
    left(sockets, account).stop()
    access = credentials.from_kubeconfig(str(sockets / "kubeconfig"))
    assert access.client.configuration.host == "https://10.0.0.1:443"


def test_a_token_that_rotates_is_followed(sockets: Path, account: Path) -> None:
    files = left(sockets, account, seconds=0.01)
    (account / "token").write_text("second")
    eventually(lambda: "second" in (sockets / "kubeconfig").read_text())
    files.stop()


def test_an_authority_that_rotates_is_followed(sockets: Path, account: Path) -> None:
    files = left(sockets, account, seconds=0.01)
    (account / "ca.crt").write_text("another")
    another = base64.b64encode(b"another").decode()
    eventually(lambda: another in (sockets / "kubeconfig").read_text())
    files.stop()


def test_a_token_that_is_not_there_yet_is_waited_for(
    sockets: Path, account: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (account / "token").rename(account / "later")
    files = left(sockets, account, seconds=0.01)
    assert "cannot leave a credential" in caplog.text
    assert (read(sockets).kubernetes, read(sockets).kubeconfig) == (True, "")
    (account / "later").rename(account / "token")
    eventually(lambda: read(sockets).kubeconfig == "kubeconfig")
    files.stop()


def test_a_reason_is_told_once(sockets: Path, caplog: pytest.LogCaptureFixture) -> None:
    asked: list[int] = []

    def credential() -> bytes:
        asked.append(1)
        raise CniError(Code.TRY_AGAIN_LATER, "no certificate yet")

    files = left(sockets, credential=credential, seconds=0.001)
    eventually(lambda: len(asked) > 5)
    files.stop()
    assert caplog.text.count("no certificate yet") == 1


def test_a_token_that_is_no_text_does_not_end_the_following(
    sockets: Path, account: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = left(sockets, account, seconds=0.01)
    (account / "token").write_bytes(b"\xff\xfe")
    eventually(lambda: "cannot leave a credential" in caplog.text)
    assert "first" in (sockets / "kubeconfig").read_text()
    (account / "token").write_text("second")
    eventually(lambda: "second" in (sockets / "kubeconfig").read_text())
    files.stop()


def test_what_an_earlier_daemon_left_serves_until_there_is_more(sockets: Path) -> None:
    def credential() -> bytes:
        raise CniError(Code.TRY_AGAIN_LATER, "no certificate yet")

    (sockets / "kubeconfig").write_text("of an earlier daemon")
    left(sockets, credential=credential).stop()
    assert read(sockets).kubeconfig == "kubeconfig"


@pytest.mark.usefixtures("node")
def test_no_credential_is_left_on_a_disk(
    tmp_path: Path, account: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Path("/var/lib") / tmp_path.name  # an overlay: in memory only for the test
    disk.mkdir()
    left(disk, account).stop()
    assert (read(disk).kubernetes, read(disk).kubeconfig) == (True, "")
    assert sorted(file.name for file in disk.iterdir()) == [standby.FILE]
    assert "is on a disk" in caplog.text


def test_what_cannot_be_read_is_an_error_with_a_next_step() -> None:
    with pytest.raises(CniError) as caught:
        standby.parse(json.dumps({"over": []}).encode())
    assert "start the daemon again" in str(caught.value)
