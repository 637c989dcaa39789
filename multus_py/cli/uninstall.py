"""``multus-py uninstall``: this node as it was before ``multus-py install``."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from multus_py.cni.errors import CniError
from multus_py.node import beside, manifest, removal
from multus_py.node.removal import Way

if TYPE_CHECKING:
    from multus_py.node.removal import Removed

_INTERVAL = 2.0
"""Seconds between two looks at what is still attached."""


@click.command("uninstall")
@click.option("--now", is_flag=True, help="Abandon what is attached, and say what that is.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--hand-back", is_flag=True, help="Put the configuration of Multus back.")
@click.option("--wait", is_flag=True, help="Stay until all is released and the daemon has ended.")
@click.option(
    "--lib-dir",
    type=click.Path(file_okay=False),
    default=manifest.LIB_DIR,
    show_default=True,
    help="The directory that it was installed to.",
)
def command(lib_dir: str, *, wait: bool, **switches: bool) -> None:
    """Remove the plugin from this node, with everything that it has put there.

    The configuration goes first, then the rest. While further networks of pods are attached, what
    is needed to release them stays, starts pods with the primary network, and removes itself
    after the last one.
    """
    way, lib_dir = Way(**switches), os.path.abspath(lib_dir)
    try:
        done = removal.uninstall(lib_dir, way)
        _tell(done, way)
        if wait and not way.dry_run:
            _wait(lib_dir, way, done)
    except CniError as error:
        raise click.ClickException(error.message()) from error


def _wait(lib_dir: str, way: Way, done: Removed) -> None:
    """Stay until nothing is attached, no daemon is at work, and all is removed."""
    daemons = done.daemons
    while done.waiting:
        time.sleep(_INTERVAL)
        done = removal.uninstall(lib_dir, way)
        for step in done.steps if not done.waiting else ():
            click.echo(step)
    for directory in daemons:
        while beside.has_daemon(directory):
            time.sleep(_INTERVAL)
        removal.forget_daemon(directory)


def _tell(done: Removed, way: Way) -> None:
    if not done.steps:
        click.echo("nothing is installed, or nothing is left to do")
    for step in done.steps:
        click.echo(f"would {step}" if way.dry_run else step)
    for attachment in done.attachments:
        click.echo(f"{'still attached' if done.waiting else 'abandoned'}: {attachment}")
    if done.waiting:
        click.echo("the rest goes when the last of them is released, or with --now")
    for directory in done.daemons:
        click.echo(f"a daemon is at work in {directory}: it keeps no configuration any more;")
        click.echo("delete its DaemonSet, or it installs everything again")
    for path in done.left:
        click.echo(f"{path} was there before, and calls a plugin that goes: pods need another one")
