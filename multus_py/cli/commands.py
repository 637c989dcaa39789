"""``multus-py COMMAND``: the table of commands. ``--help`` imports none of them."""

from __future__ import annotations

import importlib
import sys

import click

from multus_py.version import VERSION

COMMANDS = {
    "cert-approver": ("multus_py.cli.cert_approver", "Approve the certificates of nodes."),
    "daemon": ("multus_py.daemon.command", "Serve the plugin on this node, until SIGTERM."),
    "install": ("multus_py.cli.install", "Install the plugin on this node, or a new version."),
    "install-multus": ("multus_py.cli.install_multus", "Install the plugin where Multus does."),
    "kubeconfig-generator": (
        "multus_py.cli.kubeconfig_generator",
        "Keep a kubeconfig with a certificate for this node.",
    ),
    "launcher": ("multus_py.cli.launcher", "Write the executable of a node with a daemon."),
    "thin-entrypoint": ("multus_py.cli.thin_entrypoint", "Take over a node without a daemon."),
    "try": ("multus_py.cli.trial", "Attach the pods of manifests in throw-away namespaces."),
    "uninstall": ("multus_py.cli.uninstall", "Remove everything that install put on this node."),
}
"""Name, module with a ``click`` command called ``command``, and what ``--help`` says about it."""


class _Commands(click.Group):
    """Finds commands in the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=_Commands)
@click.version_option(VERSION, "-v", "--version", message="multus-py: version:%(version)s")
def group() -> None:
    """A CNI meta-plugin that attaches several networks to one pod.

    Container runtimes call the same executable without arguments and with CNI_COMMAND set.
    """


def main(name: str = "") -> int:
    """Run the command line, or the command of this name with all arguments.

    click ends the process itself, with 2 for a usage error.
    """
    group([name, *sys.argv[1:]] if name else None, prog_name="multus-py")
    return 0
