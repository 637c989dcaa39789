"""The flags of Multus's ``thin_entrypoint``, and what is wrong with them.

What the command does is in :mod:`tests.system.test_thin_entrypoint`.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from multus_py.cli.thin_entrypoint import command
from multus_py.node.options import Options

if TYPE_CHECKING:
    from pathlib import Path


def given(*flags: str) -> Options:
    """Return the options that flags come to."""
    with command.make_context("thin_entrypoint", list(flags)) as context:
        return Options(**context.params)


def test_without_flags_everything_is_as_with_multus() -> None:
    assert given() == Options()


@pytest.mark.parametrize("flags", [["--cni-version", "1.0.0"], ["--cni-version=1.0.0"]])
def test_a_value_stands_beside_its_flag_or_in_it(flags: list[str]) -> None:
    assert given(*flags).cni_version == "1.0.0"


@pytest.mark.parametrize(
    ("flags", "value"),
    [
        (["--namespace-isolation"], True),
        (["--namespace-isolation=true"], True),
        (["--namespace-isolation=1"], True),
        (["--namespace-isolation=T"], True),
        (["--namespace-isolation=false"], False),
        (["--namespace-isolation=F"], False),
        (["--namespace-isolation=0"], False),
        (["--namespace-isolation", "false"], True),  # the word is ignored, as by Multus
        (["--namespace-isolation=true", "--namespace-isolation=false"], False),
    ],
)
def test_a_switch_needs_no_value_and_takes_none_beside_it(flags: list[str], *, value: bool) -> None:
    assert given(*flags).namespace_isolation is value


def test_every_flag_is_a_field() -> None:
    options = given("--multus-log-to-stderr=false", "--multus-log-level=DEBUG", "--cni-bin-dir=/b")
    assert options == Options(
        multus_log_to_stderr=False, multus_log_level="DEBUG", cni_bin_dir="/b"
    )
    names = {parameter.name for parameter in command.params}
    assert names == {field.name for field in fields(Options)}


def test_an_unknown_flag_is_a_usage_error() -> None:
    done = CliRunner().invoke(command, ["--x"])
    assert done.exit_code == 2
    assert "--x" in done.output


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_flag_is_explained(flag: str) -> None:
    done = CliRunner().invoke(command, [flag])
    assert done.exit_code == 0
    for parameter in command.params:
        assert isinstance(parameter, click.Option)
        assert parameter.opts[0] in done.output
        assert parameter.help


def test_a_failure_is_one_line_and_no_success(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "multus_py", "thin-entrypoint", f"--cni-conf-dir={tmp_path}/no"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: --cni-conf-dir {tmp_path}/no is not a directory")
    assert done.stderr.count("\n") == 1


def test_the_first_signal_is_a_wish_and_the_second_an_order() -> None:
    program = """if True:
        import os, signal
        from multus_py.cli.thin_entrypoint import _ending
        ended = _ending()
        print(ended(0.0))
        os.kill(os.getpid(), signal.SIGTERM)
        print(ended(60.0), ended(60.0))
        os.kill(os.getpid(), signal.SIGINT)
        print("still here")
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"False\nTrue True\n"), done.stderr
