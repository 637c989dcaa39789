"""``multus-py uninstall``: what people are told about a node."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from multus_py.adapters import locks
from multus_py.cli import uninstall
from tests import snapshots
from tests.node import standin
from tests.node.standin import Host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path / "node")
    made.configure("10-primary.conf", type="bridge")
    return made


def run(host: Host, *arguments: str) -> tuple[int, list[str]]:
    done = CliRunner().invoke(uninstall.command, ["--lib-dir", host.lib_dir, *arguments])
    return done.exit_code, done.output.splitlines()


def test_every_step_is_told(host: Host) -> None:
    before = snapshots.taken(host.directory)
    host.install(None)
    path = host.configure("00-multus.conf", **standin.generated())

    status, planned = run(host, "--dry-run")
    assert status == 0
    assert f"would remove configuration {path}" in planned
    status, done = run(host)
    assert status == 0
    assert {line.removeprefix("would ") for line in planned} <= set(done)

    assert snapshots.taken(host.directory) == before
    assert run(host) == (0, ["nothing is installed, or nothing is left to do"])


def test_what_needs_attention_is_told(host: Host) -> None:
    by_hand = host.configure("05-by-hand.conf", type="multus-py")
    host.install(None)
    sockets = Path(host.places.socket_dir)
    sockets.mkdir(parents=True)
    cni_dir = Path(host.places.cni_dir)
    cni_dir.mkdir(parents=True)
    (cni_dir / "ctr").write_text("{")
    with locks.held(str(sockets / "multus-py.lock"), 1.0):
        told = "\n".join(run(host)[1])
        assert "still attached: container ctr: unknown networks" in told
        assert "the rest goes when the last of them is released, or with --now" in told
        assert f"a daemon is at work in {sockets}: it keeps no configuration" in told
        assert f"{by_hand} was there before, and calls a plugin that goes" in told
        assert "abandoned: container ctr: unknown networks" in run(host, "--now")[1]


def test_a_failure_is_one_line(host: Host) -> None:
    Path(host.lib_dir).mkdir(parents=True)
    Path(host.lib_dir, "other").touch()
    status, told = run(host)
    assert (status, len(told)) == (1, 1)
    assert told[0].startswith(f"Error: {host.lib_dir} has no manifest")
