"""The flags of Multus's ``thin_entrypoint``, and what they come to.

A field is called as its flag, with underscores for dashes. What is checked here no attempt can put
right; what may come later is waited for elsewhere.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multus_py.adapters import presence
from multus_py.cni import version
from multus_py.cni.errors import CniError, Code
from multus_py.core.nodeconfig import Wanted
from multus_py.node import aside, kubeconfig, mounts
from multus_py.node.plugin import Target
from multus_py.node.task import Task

if TYPE_CHECKING:
    from multus_py.cni.document import JsonObject

PLUGIN = "multus"
"""The plugin's name in manifests and configurations that are made for Multus."""

_IN_MULTUS_IMAGE = "/usr/src/multus-cni/bin/multus"
_NOWHERE = "/nowhere"
_LOG_LEVELS = ("panic", "error", "verbose", "debug")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Paths are those of this container, but for flags that say ``host``."""

    cni_bin_dir: str = "/host/opt/cni/bin"
    cni_bin_dir_host: str = ""
    cni_conf_dir: str = "/host/etc/cni/net.d"
    cni_version: str = ""
    force_cni_version: bool = False
    multus_conf_file: str = "auto"
    multus_bin_file: str = ""
    multus_cni_conf_dir: str = "/host/etc/cni/multus/net.d"
    multus_lib_dir: str = ""
    skip_multus_binary_copy: bool = False
    multus_kubeconfig_file_host: str = "/etc/cni/net.d/multus.d/multus.kubeconfig"
    multus_token_dir: str = "/run/multus-py"  # noqa: S105 - a directory
    skip_tls_verify: bool = False
    multus_master_cni_file_name: str = ""
    multus_autoconfig_dir: str = "/host/etc/cni/net.d"
    rename_conf_file: bool = False
    override_network_name: bool = False
    namespace_isolation: bool = False
    global_namespaces: str = ""
    readiness_indicator_file: str = ""
    additional_bin_dir: str = ""
    multus_log_level: str = ""
    multus_log_file: str = ""
    multus_log_to_stderr: bool = True
    skip_config_watch: bool = False
    cleanup_config_on_exit: bool = False

    @property
    def generates(self) -> bool:
        """Whether the configuration is made from the primary network's."""
        return self.multus_conf_file == "auto"

    def check(self) -> None:
        """Raise an error for what no attempt can put right."""
        for flag, path in (
            ("--cni-conf-dir", self.cni_conf_dir),
            *([] if self.skip_multus_binary_copy else [("--cni-bin-dir", self.cni_bin_dir)]),
        ):
            if not os.path.isdir(path):
                raise _wrong(f"{flag} {path} is not a directory", "mount the host's directory")
        if not self.generates and not os.path.isfile(self.multus_conf_file):
            raise _wrong(
                f"--multus-conf-file {self.multus_conf_file} is not a file",
                "mount it, or say auto",
            )
        if self.copies_binary and not os.path.isfile(self.multus_bin_file):
            raise _wrong(
                f"--multus-bin-file {self.multus_bin_file} is not a file",
                "leave the flag out for multus-py itself",
            )
        if self.cni_version and self.cni_version not in version.SUPPORTED:
            raise _wrong(
                f"--cni-version {self.cni_version} is not supported",
                f"use one out of {', '.join(version.SUPPORTED)}",
            )
        if self.multus_log_level and self.multus_log_level.lower() not in _LOG_LEVELS:
            raise _wrong(
                f"--multus-log-level {self.multus_log_level} is none of {', '.join(_LOG_LEVELS)}",
                "correct the flag",
            )

    @property
    def copies_binary(self) -> bool:
        """Whether the executable is one that is given; Multus's own place stands for ours."""
        return self.multus_bin_file not in {"", _IN_MULTUS_IMAGE}

    @property
    def renames(self) -> bool:
        """Whether the primary network's file is renamed, which a configuration is made from."""
        return self.rename_conf_file and self.generates

    @property
    def conf_dir_host(self) -> str:
        """The directory of the configuration on the host, which the kubeconfig's path tells."""
        directory = self.multus_kubeconfig_file_host.removesuffix(f"/{kubeconfig.PLACE}")
        known = directory != self.multus_kubeconfig_file_host
        return directory if known else mounts.on_host(self.cni_conf_dir)

    @property
    def kubeconfig(self) -> str:
        """The path of the kubeconfig here."""
        return os.path.join(self.cni_conf_dir, kubeconfig.PLACE)

    @property
    def stage(self) -> str:
        """Where the primary network's file is kept when it is renamed."""
        return os.path.join(self.cni_conf_dir, aside.STAGE)

    def target(self) -> Target:
        """Return where multus-py is installed."""
        return Target(
            bin_dir=self.cni_bin_dir,
            bin_dir_host=self.cni_bin_dir_host,
            flag="--cni-bin-dir-host",
            lib_dir=self.multus_lib_dir,
            conf_dir=self.conf_dir_host,
        )

    def task(self) -> Task:
        """Return which configuration is kept. The plugin itself waits for the primary network."""
        return Task(
            directory=self.cni_conf_dir,
            primaries=self.stage if self.renames else self.multus_autoconfig_dir,
            wanted=Wanted(
                cni_version=self.cni_version,
                force_cni_version=self.force_cni_version,
                override_network_name=self.override_network_name,
                type=PLUGIN,
                settings=self.settings(),
            ),
            named=self.multus_master_cni_file_name,
            copied="" if self.generates else self.multus_conf_file,
            bin_dir=self.cni_bin_dir,
            leaving=os.path.join(self.multus_token_dir or _NOWHERE, presence.LEAVING),
        )

    def settings(self) -> JsonObject:
        """Return the keys of the generated configuration that the flags set, in Multus's order."""
        given = {
            "namespaceIsolation": self.namespace_isolation or None,
            "globalNamespaces": self.global_namespaces or None,
            "logToStderr": None if self.multus_log_to_stderr else False,
            "logLevel": self.multus_log_level.lower() or None,
            "logFile": self.multus_log_file or None,
            "binDir": self.additional_bin_dir or None,
            "confDir": mounts.on_host(self.multus_cni_conf_dir) or None,
            "readinessindicatorfile": self.readiness_indicator_file or None,
            "kubeconfig": self.multus_kubeconfig_file_host or None,
        }
        return {key: value for key, value in given.items() if value is not None}


def _wrong(cause: str, hint: str) -> CniError:
    return CniError(Code.INVALID_CONFIGURATION, cause, hint)
