"""``multus-py install``: the plugin, and all that it needs, on this node."""

from __future__ import annotations

import os

import click

from multus_py.cni.errors import CniError
from multus_py.node import bundle, installation, manifest
from multus_py.node.manifest import Places

_DIRECTORY = click.Path(file_okay=False, resolve_path=False)


@click.command("install")
@click.option(
    "--bin-dir",
    type=_DIRECTORY,
    default="/opt/cni/bin",
    show_default=True,
    help="Where container runtimes look for plugins.",
)
@click.option(
    "--lib-dir",
    type=_DIRECTORY,
    default=manifest.LIB_DIR,
    show_default=True,
    help="A directory for the interpreter and the package, of their own.",
)
@click.option(
    "--socket-dir",
    type=_DIRECTORY,
    default="/run/multus-py",
    show_default=True,
    help="Where the daemon listens.",
)
@click.option(
    "--as",
    "names",
    multiple=True,
    metavar="NAME",
    help="Install it under this name too, such as multus; what is there is kept.",
)
@click.option(
    "--conf-dir",
    type=_DIRECTORY,
    default="/etc/cni/net.d",
    show_default=True,
    help="Where container runtimes look for configurations.",
)
@click.option(
    "--cni-dir",
    type=_DIRECTORY,
    default="/var/lib/cni/multus",
    show_default=True,
    help="Where records of attachments are.",
)
def command(lib_dir: str, names: tuple[str, ...], **places: str) -> None:
    """Install the plugin on this node, or another version of it.

    Nothing is interrupted: what runs goes on with the version that it began with. Multus-py
    uninstall removes all of it.
    """
    wanted = Places(**{name: os.path.abspath(path) for name, path in places.items()})
    try:
        done = installation.install(
            wanted, lib_dir=os.path.abspath(lib_dir), names=names, source=bundle.running()
        )
    except CniError as error:
        raise click.ClickException(error.message()) from error
    if done.version:
        click.echo(f"multus-py {done.version} is in {lib_dir}")
    else:
        click.echo(f"no interpreter is carried: {done.program.interpreter} is used where it lies")
    for path in done.launchers:
        click.echo(f"installed {path}")
