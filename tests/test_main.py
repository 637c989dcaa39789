"""The one executable is what it is called as: plugin, command line, or an explanation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from multus_py.cni import version

if TYPE_CHECKING:
    from pathlib import Path


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CNI_")}
    return subprocess.run(
        [sys.executable, "-m", "multus_py", *arguments],
        env=kept | environment,
        input="",
        capture_output=True,
        text=True,
        check=False,
    )


def test_called_by_nobody_it_explains_itself_on_standard_error() -> None:
    done = run()

    assert (done.returncode, done.stdout) == (0, "")
    assert "CNI_COMMAND" in done.stderr
    assert "0.1.0, 0.2.0" in done.stderr


def test_called_for_its_version_it_needs_no_configuration() -> None:
    done = run(CNI_COMMAND="VERSION")

    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "cniVersion": "1.1.0",
        "supportedVersions": list(version.SUPPORTED),
    }


def test_called_by_a_runtime_it_is_the_plugin() -> None:
    done = run(CNI_COMMAND="ADD")

    assert done.returncode == 1
    assert json.loads(done.stdout)["code"] == 4


def test_called_with_arguments_it_is_the_command_line_even_with_a_runtimes_variables() -> None:
    done = run("--version", CNI_COMMAND="ADD")

    assert done.returncode == 0
    assert done.stdout.startswith("multus-py")


@pytest.mark.parametrize("command", ["VERSION", "ADD"])
@pytest.mark.parametrize(
    ("redirection", "reason"),
    [(">&-", "standard output is closed"), (">/dev/full", "No space left on device")],
)
def test_an_answer_that_cannot_be_printed_is_a_failure_and_said(
    command: str, redirection: str, reason: str
) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {sys.executable} -m multus_py {redirection}"],
        env={"CNI_COMMAND": command},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot print the answer: " in done.stderr
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("entrypoint.sh", "thin-entrypoint"),
        ("thin_entrypoint", "thin-entrypoint"),
        ("install_multus", "install-multus"),
        ("kubeconfig_generator", "kubeconfig-generator"),
        ("cert-approver", "cert-approver"),
        ("multus-daemon", "daemon"),
    ],
)
def test_called_by_the_name_of_a_program_of_multus_it_is_that(
    tmp_path: Path, name: str, usage: str
) -> None:
    program = tmp_path / "multus-py"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom multus_py.__main__ import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    (tmp_path / name).symlink_to(program)
    environment = {**os.environ, "CNI_COMMAND": "VERSION"}
    command = [str(tmp_path / name), "--help"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert f" {usage} [OPTIONS]" in done.stdout
