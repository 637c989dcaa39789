"""``multus-py thin-entrypoint``: a node without a daemon, with the flags of Multus's own.

The flags are the fields of :class:`~multus_py.node.options.Options`; here is what people read
about them, and how signals and errors end the process.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from multus_py.adapters import logfile
from multus_py.cni.errors import CniError
from multus_py.models.settings import Settings
from multus_py.node.entrypoint import Entrypoint
from multus_py.node.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

_HELP = {
    "cni_bin_dir": "Where the executable goes.",
    "cni_bin_dir_host": "The same directory on the host; without /host if not given.",
    "cni_conf_dir": "Where the configuration goes.",
    "cni_version": "cniVersion of the configuration; that of the primary network if not given.",
    "force_cni_version": "Give the primary network inside the configuration this version, too.",
    "multus_conf_file": "auto, or a file that is the configuration.",
    "multus_bin_file": "An executable to copy; multus-py itself if not given.",
    "multus_cni_conf_dir": "confDir, for definitions without a configuration.",
    "multus_lib_dir": "Where multus-py itself goes; .multus-py in --cni-bin-dir if not given.",
    "skip_multus_binary_copy": "Install no executable.",
    "multus_kubeconfig_file_host": "Path of the kubeconfig on the host.",
    "multus_token_dir": "Where the token goes, if that is in the host's memory.",
    "skip_tls_verify": "Do not check the API server's certificate.",
    "multus_master_cni_file_name": "File of the primary network; the first one if not given.",
    "multus_autoconfig_dir": "Where the primary network is looked for.",
    "rename_conf_file": "Rename the primary network's file to FILE.old.",
    "override_network_name": "Use the primary network's name.",
    "namespace_isolation": "namespaceIsolation",
    "global_namespaces": "globalNamespaces",
    "readiness_indicator_file": "readinessindicatorfile",
    "additional_bin_dir": "binDir",
    "multus_log_level": "logLevel: debug, verbose, error or panic.",
    "multus_log_file": "logFile",
    "multus_log_to_stderr": "logToStderr",
    "skip_config_watch": "Write the configuration once and leave it alone.",
    "cleanup_config_on_exit": "Remove the configuration and the kubeconfig at the end.",
}
"""By field. What is only the name of a key is in docs/configuration.md."""


class _Flags(click.Command):
    """Takes switches as Multus does: ``--x``, ``--x=true``, ``--x=false``, but no separate word."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        switches = {
            name
            for parameter in self.params
            if parameter.type is click.BOOL
            for name in parameter.opts
        }
        return super().parse_args(ctx, [f"{a}=true" if a in switches else a for a in args])


def _flags() -> Sequence[click.Option]:
    return [
        click.Option(
            [f"--{field.name.replace('_', '-')}"],
            type=click.BOOL if isinstance(field.default, bool) else click.STRING,
            default=field.default,
            show_default=bool(field.default),
            metavar="true|false" if isinstance(field.default, bool) else None,
            help=_HELP[field.name],
        )
        for field in fields(Options)
    ]


def _run(**given: Any) -> None:
    """Take over the node for the plugin without a daemon, until SIGTERM.

    Installs the executable, writes the CNI configuration around that of the primary network, and a
    kubeconfig for the service account of this pod. All of it follows what it is made from.
    """
    logfile.configure(Settings())
    try:
        Entrypoint(Options(**given), environ=os.environ).run(_ending())
    except CniError as error:
        raise click.ClickException(error.message()) from error


def _ending() -> Callable[[float], bool]:
    """Return what waits for the first signal, and tells whether it came. The second ends all.

    The handler writes to a pipe and takes no lock, as the thread that it interrupts may have it.
    """
    reader, writer = os.pipe()
    came: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        if came:
            sys.exit(1)
        came.append(number)
        os.write(writer, b"!")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    return lambda seconds: bool(select.select([reader], [], [], seconds)[0])


command = _Flags(
    "thin-entrypoint",
    callback=_run,
    params=list(_flags()),
    help=_run.__doc__,
    context_settings={"help_option_names": ["-h", "--help"], "allow_extra_args": True},
)
