"""``multus-py launcher``: the executable of a node with a daemon."""

from __future__ import annotations

import os

import click

from multus_py import launcher
from multus_py.adapters import presence
from multus_py.node import bundle


@click.command("launcher")
@click.argument("file")
@click.option(
    "--socket-dir", default="/run/multus-py", show_default=True, help="Where the daemon listens."
)
@click.option(
    "--bin-dir",
    "directories",
    multiple=True,
    default=("/opt/cni/bin",),
    show_default=True,
    help="Directories of plugins, besides those of CNI_PATH.",
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0.1),
    default=launcher.PATIENCE,
    show_default=True,
    help="Seconds to wait for a daemon that is being restarted.",
)
def command(file: str, socket_dir: str, directories: tuple[str, ...], patience: float) -> None:
    """Write FILE, which container runtimes execute while a daemon runs on this node.

    It uses the interpreter that runs this command, and MicroPython if that is carried with it.
    """
    path = os.path.abspath(file)
    carried = bundle.running()
    launcher.write(
        path,
        launcher.text(
            path,
            program=carried.program if carried else launcher.own_program(),
            socket=os.path.join(socket_dir, presence.SOCKET),
            directories=directories,
            patience=patience,
        ),
    )
