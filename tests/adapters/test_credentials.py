"""Credentials from files: what is read, what is noticed when it changes, what reaches no disk."""

from __future__ import annotations

import base64
import gc
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.adapters import credentials
from multus_py.adapters.connection import Connection, RefusedError
from multus_py.cni.errors import CniError, Code
from tests.kubeapi import Certificate
from tests.processes import PATIENCE

if TYPE_CHECKING:
    from multus_py.adapters.credentials import Access
    from tests.kubeapi import KubeApi

WEB = "/api/v1/namespaces/default/pods/web"


@pytest.fixture(autouse=True)
def web(kubeapi: KubeApi) -> None:
    kubeapi.add("Pod", "web", uid="uid-1")


def name(link: Connection) -> str:
    return str(link.ask("GET", WEB, seconds=PATIENCE)["metadata"]["name"])


def refused(link: Connection) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        link.ask("GET", WEB, seconds=PATIENCE)
    return caught.value


def account(kubeapi: KubeApi, directory: Path) -> tuple[Path, dict[str, str]]:
    """Write what a pod has of its service account; return where, and the environment."""
    place = directory / "account"
    place.mkdir()
    (place / "token").write_text(kubeapi.token)
    (place / "ca.crt").write_bytes(kubeapi.certificate.path.read_bytes())
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(kubeapi.port)}
    return place, environ


def edit(path: Path, part: str, **members: Any) -> None:
    """Change a kubeconfig's only cluster or user."""
    config = json.loads(path.read_text())
    entry = config[f"{part}s"][0][part]
    entry |= members
    config[f"{part}s"][0][part] = {key: value for key, value in entry.items() if value is not None}
    path.write_text(json.dumps(config))


# -- what changes is read again, before anybody is refused


def test_a_token_that_rotates_is_used_at_once(kubeapi: KubeApi, tmp_path: Path) -> None:
    place, environ = account(kubeapi, tmp_path)
    link = Connection(lambda: credentials.from_service_account(environ, directory=str(place)))
    for number in range(20):
        kubeapi.token = f"token-{number}"
        (place / "token").write_text(kubeapi.token)
        assert name(link) == "web"
    assert len(kubeapi.requests) == 20


def test_a_token_that_rotates_as_in_a_projected_volume_is_used_at_once(
    kubeapi: KubeApi, tmp_path: Path
) -> None:
    place, environ = account(kubeapi, tmp_path)
    volume = tmp_path / "volume"
    volume.mkdir()
    for file in ("token", "ca.crt"):
        (volume / file).symlink_to(f"..data/{file}")
    link = Connection(lambda: credentials.from_service_account(environ, directory=str(volume)))
    for number in range(3):
        kubeapi.token = f"token-{number}"
        data = volume / f"..{number}"
        data.mkdir()
        (data / "token").write_text(kubeapi.token)
        (data / "ca.crt").write_bytes((place / "ca.crt").read_bytes())
        (volume / "..new").symlink_to(data.name)
        (volume / "..new").rename(volume / "..data")
        assert name(link) == "web"
    assert len(kubeapi.requests) == 3


@pytest.mark.parametrize("of", ["service account", "files of a kubeconfig", "kubeconfig"])
def test_an_authority_that_rotates_is_trusted_at_once(
    kubeapi: KubeApi, tmp_path: Path, of: str
) -> None:
    place, environ = account(kubeapi, tmp_path)
    path = kubeapi.kubeconfig(tmp_path, files=of.startswith("files"))

    def connect() -> Access:
        if of == "service account":
            return credentials.from_service_account(environ, directory=str(place))
        return credentials.from_kubeconfig(str(path))

    link = Connection(connect)
    assert name(link) == "web"
    with kubeapi.away():
        (tmp_path / "another").mkdir()
        kubeapi.certificate = Certificate.made(tmp_path / "another")
    assert "certificate" in refused(link).cause  # the new one is not known here yet
    (place / "ca.crt").write_bytes(kubeapi.certificate.path.read_bytes())
    kubeapi.kubeconfig(tmp_path, files=of.startswith("files"))
    assert name(link) == "web"


def test_an_authority_need_not_have_identifiers_of_keys(kubeapi: KubeApi, tmp_path: Path) -> None:
    """Those that openssl makes have none unless it is told; nobody else in a cluster minds."""
    with kubeapi.away():
        (tmp_path / "plain").mkdir()
        kubeapi.certificate = Certificate.made(tmp_path / "plain", extended=False)
    path = kubeapi.kubeconfig(tmp_path)
    assert name(Connection(lambda: credentials.from_kubeconfig(str(path)))) == "web"


def test_an_idle_connection_does_not_outlive_the_authority_it_was_made_with(
    kubeapi: KubeApi, tmp_path: Path
) -> None:
    place, environ = account(kubeapi, tmp_path)
    link = Connection(lambda: credentials.from_service_account(environ, directory=str(place)))
    assert name(link) == "web"
    (tmp_path / "another").mkdir()
    another = Certificate.made(tmp_path / "another")
    (place / "ca.crt").write_bytes(another.path.read_bytes())
    assert "certificate" in refused(link).cause


def test_half_of_a_change_leaves_things_as_they_are(
    kubeapi: KubeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place, environ = account(kubeapi, tmp_path)
    link = Connection(lambda: credentials.from_service_account(environ, directory=str(place)))
    assert name(link) == "web"
    (place / "token").write_text("")
    assert [name(link) for _ in range(3)] == ["web"] * 3
    (place / "token").unlink()
    assert [name(link) for _ in range(3)] == ["web"] * 3
    assert caplog.text.count("is empty") == 1
    assert caplog.text.count("No such file") == 1
    kubeapi.token = "the-second"
    (place / "token").write_text(kubeapi.token)
    assert name(link) == "web"
    assert all(request.user for request in kubeapi.requests)


# -- a refusal says what it is that is refused


def test_the_service_account_is_named(kubeapi: KubeApi, tmp_path: Path) -> None:
    place, environ = account(kubeapi, tmp_path)
    kubeapi.token = "another"
    error = refused(
        Connection(lambda: credentials.from_service_account(environ, directory=str(place)))
    )
    assert f"the service account's token {place}/token is refused" in error.cause
    assert "service account exists" in error.hint


@pytest.mark.parametrize("files", [False, True])
def test_the_kubeconfig_is_named(kubeapi: KubeApi, tmp_path: Path, *, files: bool) -> None:
    path = kubeapi.kubeconfig(tmp_path, files=files)
    kubeapi.token = "another"
    error = refused(Connection(lambda: credentials.from_kubeconfig(str(path))))
    what = f"token {tmp_path}/token of the" if files else "credential of the"
    assert f"the {what} kubeconfig {path} is refused" in error.cause
    assert error.code == Code.API_REFUSED


def test_the_path_of_what_is_refused_is_in_the_message(kubeapi: KubeApi, tmp_path: Path) -> None:
    path = kubeapi.kubeconfig(tmp_path)
    kubeapi.token = "another"
    error = refused(Connection(lambda: credentials.from_kubeconfig(str(path))))
    whole = error.at("ADD", "pod default/web", "network default/storage").message()
    assert str(path) in whole


# -- kubeconfigs


def test_paths_in_a_kubeconfig_begin_where_it_is(kubeapi: KubeApi, tmp_path: Path) -> None:
    path = kubeapi.kubeconfig(tmp_path, files=True)
    edit(path, "user", tokenFile="token")
    edit(path, "cluster", **{"certificate-authority": "./ca.crt"})
    assert name(Connection(lambda: credentials.from_kubeconfig(str(path)))) == "web"


@pytest.mark.parametrize("beside", ["outdated", ""])
def test_the_file_of_a_token_goes_before_a_token_beside_it(
    kubeapi: KubeApi, tmp_path: Path, beside: str
) -> None:
    path = kubeapi.kubeconfig(tmp_path, files=True)
    edit(path, "user", token=beside)
    link = Connection(lambda: credentials.from_kubeconfig(str(path)))
    assert name(link) == "web"
    kubeapi.token = "another"
    assert f"the token {tmp_path}/token of the kubeconfig" in refused(link).cause


def test_a_password_is_sent_as_one(kubeapi: KubeApi, tmp_path: Path) -> None:
    path = kubeapi.kubeconfig(tmp_path)
    edit(path, "user", token=None, username="multus", password=kubeapi.token)
    assert name(Connection(lambda: credentials.from_kubeconfig(str(path)))) == "web"


def test_a_token_beside_its_file_serves_until_the_file_can_be_read(
    kubeapi: KubeApi, tmp_path: Path
) -> None:
    path = kubeapi.kubeconfig(tmp_path, files=True)
    edit(path, "user", token=kubeapi.token)
    (tmp_path / "token").write_text("\n")
    link = Connection(lambda: credentials.from_kubeconfig(str(path)))
    assert name(link) == "web"
    (tmp_path / "token").unlink()
    assert name(link) == "web"
    kubeapi.token = "another"
    (tmp_path / "token").write_text("another")
    assert name(link) == "web"
    assert all(request.user for request in kubeapi.requests)


def test_a_server_whose_certificate_is_not_to_be_checked(kubeapi: KubeApi, tmp_path: Path) -> None:
    path = kubeapi.kubeconfig(tmp_path)
    skipped: dict[str, Any] = {"certificate-authority-data": None, "insecure-skip-tls-verify": True}
    edit(path, "cluster", **skipped)
    link = Connection(lambda: credentials.from_kubeconfig(str(path)))
    with pytest.warns(match="Unverified HTTPS"):
        assert name(link) == "web"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "no context None"),
        ({"current-context": "a"}, "no context 'a'"),
        ({"current-context": "a", "contexts": [{"name": "a", "context": {}}]}, "no cluster None"),
        (
            {
                "current-context": "a",
                "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": "https://h"}}],
            },
            "no user 'u'",
        ),
        ([], "list"),
        ("text", "str"),
    ],
)
def test_what_is_missing_in_a_kubeconfig_is_named(tmp_path: Path, config: Any, words: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    with pytest.raises(CniError, match="failed to get context") as caught:
        credentials.from_kubeconfig(str(path))
    assert words in caught.value.cause


@pytest.mark.parametrize("files", [False, True])
def test_a_cluster_is_told_with_its_authority(
    kubeapi: KubeApi, tmp_path: Path, *, files: bool
) -> None:
    path = kubeapi.kubeconfig(tmp_path, files=files)
    authority = base64.b64encode(kubeapi.certificate.path.read_bytes()).decode()
    assert credentials.cluster(str(path)) == {
        "server": f"https://127.0.0.1:{kubeapi.port}",
        "certificate-authority-data": authority,
    }


def test_an_authority_that_cannot_be_read_is_an_error(kubeapi: KubeApi, tmp_path: Path) -> None:
    path = kubeapi.kubeconfig(tmp_path, files=True)
    (tmp_path / "ca.crt").unlink()
    with pytest.raises(CniError, match="failed to get context"):
        credentials.cluster(str(path))


# -- what a kubeconfig holds stays in memory


def test_no_file_is_made_of_what_a_kubeconfig_holds(
    kubeapi: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    path = kubeapi.kubeconfig(tmp_path)
    authority = kubeapi.certificate.path.read_bytes() + b"seen by nobody before"
    inside = base64.b64encode(authority).decode()
    edit(path, "cluster", **{"certificate-authority-data": inside})
    before = time.time_ns()
    link = Connection(lambda: credentials.from_kubeconfig(str(path)))
    assert name(link) == "web"
    assert disk.stat().st_mtime_ns < before


def test_memory_is_given_back(kubeapi: KubeApi, tmp_path: Path) -> None:
    path = str(kubeapi.kubeconfig(tmp_path))

    def descriptors() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    assert name(Connection(lambda: credentials.from_kubeconfig(path))) == "web"
    before = descriptors()
    for _ in range(5):
        assert name(Connection(lambda: credentials.from_kubeconfig(path))) == "web"
    edit(Path(path), "cluster", server="no server")
    for _ in range(5):
        with pytest.raises(CniError):
            credentials.from_kubeconfig(path)
    assert descriptors() <= before
