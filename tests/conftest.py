"""Fixtures for tests on real things."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests import nodes
from tests.kubeapi import Certificate, KubeApi
from tests.micropython import micropython
from tests.shims import Installation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Who is started in the background of a shell ignores SIGINT, or by nohup SIGHUP, and so would all
# that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_configure(config: pytest.Config) -> None:
    """Let a defect of Python pass: it forgets a socket that is reset before TLS begins on it."""
    if sys.version_info < (3, 13):
        lost = "ignore:unclosed <ssl.SSLSocket:ResourceWarning"
        config.addinivalue_line("filterwarnings", lost)


@pytest.fixture
def node() -> None:
    """Make sure that the test may mount, and change links and routes."""
    if not nodes.is_own():
        pytest.fail("this test changes the node it runs on: run it with `make test`")


@pytest.fixture
def netns(node: None) -> Iterator[nodes.Netns]:
    """A network namespace of its own for the test, with lo up."""
    with nodes.network_namespace() as made:
        yield made


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The certificate of API servers in tests."""
    return Certificate.made(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def kubeapi(certificate: Certificate) -> Iterator[KubeApi]:
    """An API server without any objects."""
    with KubeApi(certificate) as server:
        yield server


@pytest.fixture(params=["cpython", "micropython"])
def shim(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Installation]:
    """An installation whose shims end with the test."""
    small = micropython() if request.param == "micropython" else None
    installation = Installation(tmp_path, micropython=small)
    yield installation
    installation.end()
