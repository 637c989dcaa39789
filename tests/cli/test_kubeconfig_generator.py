"""A kubeconfig with the node's own certificate, for a plugin without a daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from multus_py.adapters import credentials
from multus_py.adapters.connection import Connection
from tests.kubecerts import REQUESTS, CertApi
from tests.processes import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kubeapi import Certificate

WEB = "/api/v1/namespaces/default/pods/web"


@pytest.fixture
def api(certificate: Certificate) -> Iterator[CertApi]:
    with CertApi(certificate) as api:
        api.add("Pod", "web", uid="uid-1")
        yield api


@pytest.fixture
def memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="generator-", dir="/dev/shm") as directory:
        yield Path(directory)


def begun(*arguments: object, node: str = "node") -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if key != "MULTUS_NODE_NAME"}
    return subprocess.Popen(
        [sys.executable, "-m", "multus_py", "kubeconfig-generator", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, **({"MULTUS_NODE_NAME": node} if node else {})},
    )


@contextmanager
def running(bootstrap: Path, memory: Path) -> Iterator[Path]:
    """Have a generator; yield the path of its kubeconfig, once that is there."""
    kubeconfig = memory / "plugin" / "kubeconfig"
    flags = ["--certdir", memory / "certs", f"--bootstrap-config={bootstrap}"]
    process = begun(*flags, "--kubeconfig", kubeconfig, "--cert-duration=1h")
    try:
        eventually(lambda: kubeconfig.exists() or process.poll() is not None)
        yield kubeconfig
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        complaint = process.communicate()[1]
    assert "Traceback" not in complaint, complaint


def asked_by(api: CertApi, kubeconfig: Path) -> str:
    """Return as whom the API server sees who has this kubeconfig."""
    link = Connection(lambda: credentials.from_kubeconfig(str(kubeconfig)))
    link.ask("GET", WEB, seconds=PATIENCE)
    return api.requests[-1].user


@pytest.mark.parametrize("files", [False, True], ids=["authority inside", "authority in a file"])
def test_the_kubeconfig_works_for_as_long_as_the_generator_runs(
    api: CertApi, memory: Path, tmp_path: Path, *, files: bool
) -> None:
    with running(api.kubeconfig(tmp_path, files=files), memory) as kubeconfig:
        assert asked_by(api, kubeconfig) == "system:multus:node"
        assert kubeconfig.stat().st_mode & 0o777 == 0o600
    assert not kubeconfig.exists()
    assert api.asked_for()[0]["spec"]["expirationSeconds"] == 3600


def test_names_in_the_kubeconfig_are_those_of_multus(
    api: CertApi, memory: Path, tmp_path: Path
) -> None:
    with running(api.kubeconfig(tmp_path), memory) as path:
        config = yaml.safe_load(path.read_text())
    current = str(memory / "certs" / "multus-client-current.pem")
    assert config["users"] == [
        {
            "name": "default-auth",
            "user": {"client-certificate": current, "client-key": current},
        }
    ]
    assert config["contexts"] == [
        {
            "name": "default-context",
            "context": {
                "cluster": "default-cluster",
                "user": "default-auth",
                "namespace": "default",
            },
        }
    ]
    assert config["clusters"][0]["name"] == "default-cluster"
    assert config["current-context"] == "default-context"


def test_it_follows_what_it_is_made_of_and_is_made_again(
    api: CertApi, memory: Path, tmp_path: Path
) -> None:
    bootstrap = api.kubeconfig(tmp_path)
    with running(bootstrap, memory) as path:
        path.unlink()
        eventually(path.exists)
        text = bootstrap.read_text().replace("127.0.0.1", "localhost")
        bootstrap.write_text(text)
        eventually(lambda: "localhost" in path.read_text())


def test_the_certificate_outlives_it_for_the_next_one(
    api: CertApi, memory: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        with running(api.kubeconfig(tmp_path), memory):
            pass
    assert len(api.asked_for()) == 1


def test_it_can_be_ended_while_it_waits_for_its_certificate(
    api: CertApi, memory: Path, tmp_path: Path
) -> None:
    api.willing = False
    kubeconfig = memory / "kubeconfig"
    flags = ["--certdir", memory, "--bootstrap-config", api.kubeconfig(tmp_path)]
    process = begun(*flags, "--kubeconfig", kubeconfig)
    eventually(lambda: api.asked(REQUESTS))
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=PATIENCE)[0] == ""
    assert process.returncode == 0
    assert not kubeconfig.exists()


@pytest.mark.parametrize(
    ("flags", "node", "words"),
    [
        ([], "", "MULTUS_NODE_NAME"),
        (["--cert-duration=5m"], "node", "certDuration should be 10m or more"),
        (["--cert-duration=ten"], "node", "no duration like 10m"),
    ],
)
def test_what_is_wrong_is_told_at_once(flags: list[str], node: str, words: str) -> None:
    process = begun(*flags, node=node)
    complaint = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 1
    assert words in complaint
