"""The kubeconfig of a plugin without a daemon follows the service account of the pod."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.adapters import connection, credentials
from multus_py.cni.errors import CniError, Code
from multus_py.node import kubeconfig
from multus_py.node.kubeconfig import Kubeconfig

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kubeapi import Certificate, KubeApi

SERVER = "https://10.0.0.1:443"


@pytest.fixture
def account(tmp_path: Path) -> Path:
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("first\n")
    (account / "ca.crt").write_text("an authority")
    return account


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.d" / "multus.d" / "multus.kubeconfig"


def made(path: Path, account: Path, **more: Any) -> Kubeconfig:
    return Kubeconfig(str(path), **{"server": SERVER, "account": str(account), **more})


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the cluster and the user of a kubeconfig."""
    value = json.loads(path.read_bytes())
    return value["clusters"][0]["cluster"], value["users"][0]["user"]


def test_it_holds_the_token_where_no_memory_is_mounted(path: Path, account: Path) -> None:
    assert made(path, account).renew()

    assert read(path) == (
        {"server": SERVER, "certificate-authority-data": "YW4gYXV0aG9yaXR5"},
        {"token": "first"},
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert os.listdir(path.parent) == [path.name]


def test_else_it_names_a_file_with_the_token_by_its_path_on_the_host(
    tmp_path: Path, path: Path, account: Path
) -> None:
    (tmp_path / "run").mkdir()
    made(path, account, token_dir=str(tmp_path / "run"), token_dir_on_host="/run/x").renew()

    token = tmp_path / "run" / "multus.token"
    assert read(path)[1] == {"tokenFile": "/run/x/multus.token"}
    assert b"first" not in path.read_bytes()
    assert (token.read_text(), stat.S_IMODE(token.stat().st_mode)) == ("first", 0o600)


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_client_reads_it(
    tmp_path: Path, path: Path, kubeapi: KubeApi, certificate: Certificate, *, in_memory: bool
) -> None:
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text(kubeapi.token)
    (account / "ca.crt").write_bytes(certificate.path.read_bytes())
    server = f"https://127.0.0.1:{kubeapi.port}"
    token_dir = str(tmp_path) if in_memory else ""
    made(path, account, server=server, token_dir=token_dir).renew()

    client = connection.Connection(lambda: credentials.from_kubeconfig(str(path)))
    assert client.ask("LIST", "/api/v1/pods", seconds=10)["items"] == []


def test_a_certificate_need_not_be_checked(path: Path, account: Path) -> None:
    (account / "ca.crt").unlink()
    made(path, account, verified=False).renew()

    assert read(path)[0] == {"server": SERVER, "insecure-skip-tls-verify": True}


def test_it_is_written_when_something_changes_and_only_then(path: Path, account: Path) -> None:
    file = made(path, account)
    assert file.renew()
    before = path.stat()
    assert not file.renew()
    assert path.stat() == before

    (account / "token").write_text("second")
    assert file.renew()
    assert read(path)[1] == {"token": "second"}
    (account / "ca.crt").write_text("another")
    assert file.renew()
    assert read(path)[0]["certificate-authority-data"] == "YW5vdGhlcg=="
    path.unlink()
    assert file.renew()
    assert read(path)[1] == {"token": "second"}
    path.write_text("edited")
    assert file.renew()
    assert read(path)[1] == {"token": "second"}


def test_a_longer_left_over_does_not_corrupt_it(path: Path, account: Path) -> None:
    path.parent.mkdir(parents=True)
    (path.parent / f"{path.name}.new").write_text("x" * 10_000)
    made(path, account).renew()

    assert read(path)[1] == {"token": "first"}
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_without_a_service_account_the_last_one_stays(
    path: Path, account: Path, missing: str
) -> None:
    file = made(path, account)
    file.renew()
    before = path.read_bytes()
    (account / "token").write_text("second")
    (account / missing).unlink()

    with pytest.raises(CniError) as raised:
        file.renew()
    assert raised.value.code == Code.API_REFUSED
    assert f"cannot read {account}/{missing}: No such file or directory" in str(raised.value)
    assert path.read_bytes() == before


def test_an_empty_token_is_none(path: Path, account: Path) -> None:
    (account / "token").write_text("\n")

    with pytest.raises(CniError, match="token is empty"):
        made(path, account).renew()
    assert not path.exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, account: Path) -> None:
    (tmp_path / "net.d").write_text("a file")

    with pytest.raises(CniError) as raised:
        made(tmp_path / "net.d" / "multus.kubeconfig", account).renew()
    assert raised.value.code == Code.IO_FAILURE
    assert str(tmp_path / "net.d") in str(raised.value)


def test_a_token_on_a_disk_goes_and_one_in_memory_stays(
    tmp_path: Path, path: Path, account: Path
) -> None:
    literal = made(path, account)
    literal.renew()
    literal.remove(everything=False)
    assert not path.exists()
    literal.remove(everything=False)

    in_memory = made(path, account, token_dir=str(tmp_path))
    in_memory.renew()
    in_memory.remove(everything=False)
    assert path.exists()
    assert (tmp_path / "multus.token").exists()
    in_memory.remove(everything=True)
    assert not path.exists()
    assert not (tmp_path / "multus.token").exists()


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"KUBERNETES_SERVICE_PORT": "6443"}, "https://10.0.0.1:6443"),
        ({}, "https://10.0.0.1:443"),
        ({"KUBERNETES_SERVICE_PROTOCOL": "http"}, "http://10.0.0.1:443"),
        ({"KUBERNETES_SERVICE_HOST": "fd00::1"}, "https://[fd00::1]:443"),
    ],
)
def test_the_server_is_the_one_of_the_pods_environment(environ: dict[str, str], url: str) -> None:
    assert kubeconfig.server_url({"KUBERNETES_SERVICE_HOST": "10.0.0.1", **environ}) == url


def test_outside_of_a_pod_there_is_no_server() -> None:
    with pytest.raises(CniError, match="KUBERNETES_SERVICE_HOST is not set"):
        kubeconfig.server_url({})
