"""``multus-py daemon``: the node daemon."""

from __future__ import annotations

import os

import click

from multus_py.cni.errors import CniError


@click.command("daemon")
@click.option(
    "--config",
    default="/etc/cni/net.d/multus.d/daemon-config.json",
    show_default=True,
    help="Configuration of the daemon (docs/daemon.md).",
)
@click.option(
    "--kubeconfig",
    default="",
    help="Credentials for the API server; the service account of the pod if there is none.",
)
def command(config: str, kubeconfig: str) -> None:
    """Serve the plugin on this node, until SIGTERM.

    The node's name is read from MULTUS_NODE_NAME or NODE_NAME.
    """
    from multus_py.daemon import main  # half a second that --help does not need

    try:
        main.run(config, kubeconfig=kubeconfig, environ=os.environ)
    except CniError as error:
        raise click.ClickException(error.message()) from error
