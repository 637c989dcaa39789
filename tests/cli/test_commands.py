"""The table of commands."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from multus_py.cli import commands
from multus_py.version import VERSION


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(commands.group, arguments)
    return done.exit_code, done.output


def test_help_lists_every_command_with_its_summary() -> None:
    status, output = run("--help")

    assert status == 0
    lines = [line.split(maxsplit=1) for line in output.splitlines() if line.startswith("  ")]
    for name, (_, summary) in commands.COMMANDS.items():
        assert [name, summary] in lines


@pytest.mark.parametrize("option", ["--version", "-v"])
def test_the_version_is_told_in_the_words_of_multus(option: str) -> None:
    assert run(option) == (0, f"multus-py: version:{VERSION}\n")


def test_an_unknown_command_is_a_usage_error() -> None:
    status, output = run("attach")

    assert status == 2
    assert "No such command 'attach'" in output


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    status, output = run(name, "--help")

    assert status == 0
    assert output.startswith(f"Usage: multus-py {name}") or f" {name} [OPTIONS]" in output


def test_help_imports_no_command() -> None:
    program = (
        "import sys; from multus_py.cli import commands\n"
        "try: commands.group(['--help'])\n"
        "except SystemExit: pass\n"
        "modules = {module for module, _ in commands.COMMANDS.values()}\n"
        "sys.exit(len(modules & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)

    assert done.returncode == 0, done.stderr
