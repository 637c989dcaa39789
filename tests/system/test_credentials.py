"""Credentials of a real daemon: as short-lived as they can be, renewed, and on no disk."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.adapters import credentials
from multus_py.adapters.connection import Connection
from multus_py.models import standby
from multus_py.node.approver import Approver
from tests.kubeapi import Certificate
from tests.kubecerts import CertApi
from tests.processes import PATIENCE, eventually
from tests.system.daemon import NODE, Daemon, daemon_on
from tests.system.runtime import Runtime, network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.nodes import Netns

NETWORKS = "k8s.v1.cni.cncf.io/networks"
ACCOUNT = "/run/secrets/kubernetes.io/serviceaccount"


@pytest.fixture
def api(certificate: Certificate) -> Iterator[CertApi]:
    with CertApi(certificate) as api:
        yield api


@pytest.fixture
def runtime(tmp_path: Path, netns: Netns, api: CertApi) -> Runtime:
    """Return a node whose pods ask for one network besides the primary one."""
    runtime = Runtime(tmp_path, netns.path, {"delegates": [network("main", "primary")]})
    runtime.install("main", "one")
    api.add("NetworkAttachmentDefinition", "one", spec={"config": json.dumps(network("one"))})
    return runtime


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory that is on no disk."""
    with tempfile.TemporaryDirectory(prefix="memory-", dir="/dev/shm") as directory:
        yield Path(directory)


def attach(runtime: Runtime, api: CertApi, name: str) -> None:
    """Run a pod, which the daemon does not know yet, and end it."""
    api.add(
        "Pod",
        name,
        uid=f"uid-{name}",
        annotations={NETWORKS: "one"},
        spec={"nodeName": NODE},
        status={"phase": "Running"},
    )
    names = f"K8S_POD_NAMESPACE=default;K8S_POD_NAME={name};K8S_POD_UID=uid-{name}"
    for command in ("ADD", "DEL"):
        answer = runtime.request(command, environment={"CNI_ARGS": names})
        assert answer.status == 0, answer.stdout


# -- the service account


class Kubelet:
    """Keeps a projected volume with a token that lives as long as a test says."""

    def __init__(self, api: CertApi, directory: Path) -> None:
        self._api = api
        self.directory = directory
        self.tokens: list[str] = []
        for name in ("token", "ca.crt"):
            (directory / name).symlink_to(f"..data/{name}")
        self.rotate()

    def rotate(self) -> None:
        """Put a new token in place, and the authority's certificate as it is now."""
        self.tokens.append(token := f"token-{secrets.token_hex(16)}")
        data = self.directory / f"..{len(self.tokens)}"
        data.mkdir()
        (data / "token").write_text(token)
        (data / "ca.crt").write_bytes(self._api.certificate.path.read_bytes())
        (self.directory / "..new").symlink_to(data.name)
        (self.directory / "..new").rename(self.directory / "..data")
        self._api.token = token  # the one before is refused from now on

    @contextmanager
    def rotating(self, seconds: float) -> Iterator[None]:
        ending = threading.Event()

        def rotate() -> None:
            while not ending.wait(seconds):
                self.rotate()

        thread = threading.Thread(target=rotate)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()


@contextmanager
def daemon_in_a_pod(
    api: CertApi, runtime: Runtime, tmp_path: Path, account: Path
) -> Iterator[Daemon]:
    """Have a daemon that finds a service account where it is in pods."""
    mount = f'mkdir -p {ACCOUNT}; mount --bind {account} {ACCOUNT}; exec "$@"'
    address = ("KUBERNETES_SERVICE_HOST=127.0.0.1", f"KUBERNETES_SERVICE_PORT={api.port}")
    prefix = ("env", *address, "unshare", "--mount", "sh", "-ec", mount, "sh")
    with daemon_on(tmp_path, prefix=prefix, kubernetes=True) as daemon:
        runtime.program = daemon.program()
        yield daemon


def test_a_token_that_lives_for_a_second_is_enough(
    api: CertApi, runtime: Runtime, memory: Path, tmp_path: Path
) -> None:
    kubelet = Kubelet(api, memory)
    with (
        daemon_in_a_pod(api, runtime, tmp_path, memory) as daemon,
        kubelet.rotating(1.0),
    ):
        number = 0
        while len(kubelet.tokens) < 6:
            number += 1
            attach(runtime, api, f"web-{number}")
        assert daemon.running
    assert number > 1


def test_an_authority_that_is_replaced_is_trusted(
    api: CertApi, runtime: Runtime, memory: Path, tmp_path: Path
) -> None:
    kubelet = Kubelet(api, memory)
    with daemon_in_a_pod(api, runtime, tmp_path, memory) as daemon:
        attach(runtime, api, "before")
        with api.away():
            (tmp_path / "another").mkdir()
            api.certificate = Certificate.made(tmp_path / "another")
        kubelet.rotate()
        eventually(lambda: len(api.watchers) == 2)
        attach(runtime, api, "after")
        left = daemon.sockets / "kubeconfig"
        eventually(lambda: kubelet.tokens[-1] in left.read_text())
        daemon.stop()
        attach(runtime, api, "alone")


def test_no_disk_ever_holds_a_token(
    api: CertApi, runtime: Runtime, memory: Path, tmp_path: Path
) -> None:
    begun = time.time()
    kubelet = Kubelet(api, memory)
    with daemon_in_a_pod(api, runtime, tmp_path, memory) as daemon:
        with kubelet.rotating(0.5):
            attach(runtime, api, "one")
            left = daemon.sockets / "kubeconfig"
            eventually(lambda: any(token in left.read_text() for token in kubelet.tokens[2:]))
        eventually(lambda: kubelet.tokens[-1] in left.read_text())
        assert left.stat().st_mode & 0o777 == 0o600
        assert daemon.sockets.stat().st_mode & 0o777 == 0o700
        daemon.kill()
        attach(runtime, api, "two")  # by what the daemon left
        found = holders([token.encode() for token in kubelet.tokens], since=begun)
        scanned = holders([b'"socketDir"'], since=begun)
    assert found == []
    assert str(tmp_path / "daemon.json") in scanned  # or nothing would be proved


def holders(words: list[bytes], *, since: float) -> list[str]:
    """Return the files that have any of these words, wherever programs write on disks."""
    places = ("/etc", "/home", "/opt", "/srv", "/tmp", "/var")
    when = f"@{since - 1}"
    command = ("find", *places, "-type", "f", "-newermt", when, "-size", "-4096k", "-print0")
    found = subprocess.run(command, check=False, capture_output=True).stdout.split(b"\0")
    return sorted(
        os.fsdecode(path) for path in found if any(word in content(path) for word in words)
    )


def content(path: bytes) -> bytes:
    try:
        return Path(os.fsdecode(path)).read_bytes()
    except OSError:
        return b""


# -- a certificate of the node's own


@contextmanager
def approving(api: CertApi, tmp_path: Path) -> Iterator[None]:
    (tmp_path / "approver").mkdir()
    path = str(api.kubeconfig(tmp_path / "approver"))
    approver = Approver(Connection(lambda: credentials.from_kubeconfig(path)))
    approver.start()
    try:
        yield
    finally:
        approver.stop()


def wanted(api: CertApi, tmp_path: Path, memory: Path) -> dict[str, Any]:
    """Return the settings of a daemon that wants a certificate."""
    certificate = {
        "enabled": True,
        "bootstrapKubeconfig": str(api.kubeconfig(tmp_path)),
        "certDir": str(memory / "certs"),
    }
    return {"kubernetes": True, "perNodeCertificate": certificate}


def test_a_daemon_asks_for_its_certificate_and_works_with_nothing_else(
    api: CertApi, runtime: Runtime, memory: Path, tmp_path: Path
) -> None:
    api.willing = False
    with (
        approving(api, tmp_path),
        daemon_on(tmp_path, **wanted(api, tmp_path, memory)) as daemon,
    ):
        runtime.program = daemon.program()
        left = daemon.sockets / standby.FILE
        attach(runtime, api, "one")
        done = [line for line in api.requests if line.path.startswith("/api/v1/namespaces/default")]
        assert "system:multus:node" in {line.user for line in done}
        eventually(lambda: standby.parse(left.read_bytes()).kubeconfig)
        daemon.kill()
        before = len(api.requests)
        attach(runtime, api, "two")  # by what the daemon left
        assert {line.user for line in api.requests[before:]} <= {"system:multus:node"}
        daemon.start()
        attach(runtime, api, "three")
    assert len(api.asked_for()) == 1


def test_a_daemon_outlives_its_certificates(
    api: CertApi, runtime: Runtime, memory: Path, tmp_path: Path
) -> None:
    api.life = 8.0
    with daemon_on(tmp_path, **wanted(api, tmp_path, memory)) as daemon:
        runtime.program = daemon.program()
        deadline = time.monotonic() + PATIENCE
        number = 0
        while len(api.asked_for()) < 3:
            number += 1
            attach(runtime, api, f"web-{number}")
            assert time.monotonic() < deadline
        assert daemon.running
