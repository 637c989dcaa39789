"""``multus-py install-multus``: what Multus's ``install_multus`` does, with its flags."""

from __future__ import annotations

import click

from multus_py.cni.errors import CniError
from multus_py.node import plugin

_NAMES = {"thin": "multus", "thick": "multus-shim"}


@click.command("install-multus", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-t",
    "--type",
    "kind",
    type=click.Choice(list(_NAMES)),
    required=True,
    help="Whether the plugin is called multus, or multus-shim.",
)
@click.option(
    "-d",
    "--dest-dir",
    default="/host/opt/cni/bin",
    show_default=True,
    help="Where the executable goes.",
)
@click.option(
    "--dest-dir-host",
    default="",
    help="The same directory on the host; without /host if not given.",
)
@click.option(
    "--multus-lib-dir",
    default="",
    help="Where multus-py itself goes; .multus-py in the directory if not given.",
)
@click.option(
    "--socket-dir", default="/run/multus-py", show_default=True, help="Where the daemon listens."
)
def command(
    kind: str, dest_dir: str, dest_dir_host: str, multus_lib_dir: str, socket_dir: str
) -> None:
    """Install the plugin under the name that Multus's has, and passthru beside it."""
    target = plugin.Target(
        bin_dir=dest_dir,
        bin_dir_host=dest_dir_host,
        flag="--dest-dir-host",
        lib_dir=multus_lib_dir,
        socket_dir=socket_dir,
    )
    try:
        done = plugin.install(target, [_NAMES[kind]])
    except CniError as error:
        raise click.ClickException(error.message()) from error
    for path in done.launchers:
        click.echo(f"{path} is installed")
