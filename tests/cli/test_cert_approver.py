"""The process that approves certificates."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from multus_py.node.certificates import Certificates, Pace
from tests.kubecerts import CertApi
from tests.processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kubeapi import Certificate


@pytest.fixture
def api(certificate: Certificate) -> Iterator[CertApi]:
    with CertApi(certificate) as api:
        api.willing = False
        yield api


def begun(*arguments: object) -> subprocess.Popen[str]:
    cluster = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
    return subprocess.Popen(
        [sys.executable, "-m", "multus_py", "cert-approver", *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        env={key: value for key, value in os.environ.items() if key not in cluster},
    )


def test_it_approves_until_it_is_ended(api: CertApi, tmp_path: Path) -> None:
    bootstrap = api.kubeconfig(tmp_path)
    certificates = Certificates(
        bootstrap=str(bootstrap),
        directory=str(tmp_path / "certs"),
        node="node",
        duration=600,
        pace=Pace(last_look=0.1),
    )
    certificates.start()
    process = begun("--kubeconfig", bootstrap)
    assert certificates.wait(PATIENCE)
    certificates.stop()
    process.send_signal(signal.SIGTERM)
    complaint = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0
    name = api.asked_for()[0]["metadata"]["name"]
    assert f"request {name}: approved" in complaint


@pytest.mark.parametrize(
    ("flags", "words"),
    [([], "KUBERNETES_SERVICE_HOST"), (["--kubeconfig=/none"], "failed to get context")],
)
def test_what_is_missing_is_told_at_once(flags: list[str], words: str) -> None:
    process = begun(*flags)
    complaint = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 1
    assert words in complaint
