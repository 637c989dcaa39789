"""The configuration that the runtime passes on standard input: every key with its default.

``docs/configuration.md`` says what each key does. Unknown keys are ignored, as they are by Multus.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from pydantic import Field

from multus_py.cni import document, network, result
from multus_py.cni.errors import CniError, Code, located
from multus_py.models.decoding import Decoded, decoded
from multus_py.models.requests import RuntimeConfig

if TYPE_CHECKING:
    from multus_py.cni.document import JsonObject
    from multus_py.cni.network import NetworkConfig

OUR_TYPES = frozenset({"multus", "multus-shim", "multus-py"})
"""Types under which this plugin and the one it replaces are installed."""

_HINT = "correct the CNI configuration (docs/configuration.md)"


class LogOptions(Decoded):
    """When a log file is rotated and how long its predecessors are kept."""

    max_age: int = Field(default=5, alias="maxAge")
    """Days."""
    max_size: int = Field(default=100, alias="maxSize")
    """Megabytes."""
    max_backups: int = Field(default=5, alias="maxBackups")
    compress: bool = True


class MultusConfig(Decoded):
    """The keys of Multus 4.3, those of the first generation, and ours."""

    cni_version: str = Field(default="", alias="cniVersion")
    name: str
    type: str = ""
    capabilities: dict[str, bool] = {}
    ipam: dict[str, Any] = {}
    dns: dict[str, Any] = {}
    prev_result: dict[str, Any] | None = Field(default=None, alias="prevResult")
    runtime_config: RuntimeConfig = Field(default=RuntimeConfig(), alias="runtimeConfig")

    kubeconfig: str = ""
    delegates: list[dict[str, Any]] | None = None
    cluster_network: str = Field(default="", alias="clusterNetwork")
    default_networks: list[str] = Field(default=[], alias="defaultNetworks")
    system_namespaces: list[str] = Field(default=["kube-system"], alias="systemNamespaces")
    multus_namespace: str = Field(default="kube-system", alias="multusNamespace")
    namespace_isolation: bool = Field(default=False, alias="namespaceIsolation")
    global_namespaces: str = Field(default="", alias="globalNamespaces")
    auxiliary_chain: str = Field(default="", alias="auxiliaryCNIChainName")
    readiness_indicator_file: str = Field(default="", alias="readinessindicatorfile")
    retry_delete_on_error: bool = Field(default=False, alias="retryDeleteOnError")
    """Accepted for compatibility; a failed release is always kept for the next DEL."""

    conf_dir: str = Field(default="/etc/cni/multus/net.d", alias="confDir")
    cni_dir: str = Field(default="/var/lib/cni/multus", alias="cniDir")
    bin_dir: str = Field(default="/opt/cni/bin", alias="binDir")

    log_to_stderr: bool = Field(default=True, alias="logToStderr")
    log_level: str = Field(default="panic", alias="logLevel")
    log_file: str = Field(default="", alias="logFile")
    log_options: LogOptions = Field(default=LogOptions(), alias="logOptions")

    always_use_default: bool | None = None
    legacy_networks: bool | None = Field(default=None, alias="legacyNetworks")

    manifests: list[str] = []
    """Ours: files or directories of manifests that stand for a cluster."""
    status_dir: str = Field(default="", alias="statusDir")
    """Ours: where network-status and events go that no cluster takes."""
    release_attempts: int = Field(default=5, alias="releaseAttempts", ge=1)
    """Ours: failed DELs after which a network that was never attached no longer holds up a pod.

    With a daemon also those after which the runtime is let go; the daemon goes on with the rest.
    """
    request_timeout: int = Field(default=100, alias="requestTimeout", ge=5, le=3600)
    """Ours: seconds that one request may take, below what kubelet allows a runtime (120)."""

    @property
    def shared_namespaces(self) -> tuple[str, ...]:
        """The namespaces whose definitions every pod may use under ``namespaceIsolation``."""
        listed = tuple(part.strip() for part in self.global_namespaces.split(","))
        return listed if self.global_namespaces else ("default",)

    @property
    def readiness_indicator(self) -> str:
        """The absolute path of the file to wait for, or nothing."""
        path = self.readiness_indicator_file
        return posixpath.normpath(posixpath.join("/", path)) if path else ""

    @property
    def first_generation(self) -> bool:
        """Whether this is a configuration of Multus 1.x and 2.x, with the meaning it had then."""
        if self.legacy_networks is not None:
            return self.legacy_networks
        kubeconfig_alone = self.delegates is None and not self.cluster_network
        return (
            self.always_use_default is not None
            or any(delegate.get("masterplugin") is True for delegate in self.delegates or [])
            or (bool(self.kubeconfig) and kubeconfig_alone)
        )

    @property
    def own_types(self) -> frozenset[str]:
        """The plugin types that would lead back to this plugin."""
        return OUR_TYPES | {self.type} - {""}

    def inline_networks(self) -> list[NetworkConfig]:
        """Return the networks of ``delegates`` in the order of the configuration."""
        networks = []
        for index, delegate in enumerate(self.delegates or []):
            with located(f"delegates[{index}]"):
                networks.append(network.parse(delegate))
        return networks


def overlaid(config: JsonObject, over: JsonObject) -> JsonObject:
    """Return a configuration with other keys over it, whatever their case."""
    names = {key.lower() for key in over}
    return {key: item for key, item in config.items() if key.lower() not in names} | over


def parse(value: JsonObject) -> MultusConfig:
    """Return the configuration in a JSON object, checked as far as it can be by itself."""
    with located("configuration"):
        config = decoded(MultusConfig, value, code=Code.INVALID_CONFIGURATION, hint=_HINT)
        _check_previous_result(config)
        _check_networks(config)
    return config


def _check_previous_result(config: MultusConfig) -> None:
    """Refuse a broken ``prevResult``; a good one is of no use, as every network starts anew."""
    if config.prev_result is None:
        return
    try:
        result.checked(config.prev_result, config.cni_version)
    except CniError as error:
        raise _invalid(f"prevResult: {error.cause}") from error


def _check_networks(config: MultusConfig) -> None:
    if config.first_generation:
        _check_first_generation(config)
    elif not config.cluster_network and not config.delegates:
        raise _invalid("neither clusterNetwork nor a delegate is set")
    if not config.cluster_network:
        config.inline_networks()


def _check_first_generation(config: MultusConfig) -> None:
    masters = 0
    for index, delegate in enumerate(config.delegates or []):
        flag = delegate.get("masterplugin")
        if flag is not None and not isinstance(flag, bool):
            raise _invalid(f"delegates[{index}].masterplugin is {document.kind(flag)}")
        masters += flag is True
    if masters > 1:
        raise _invalid("more than one delegate has masterplugin")
    if config.always_use_default and not (config.kubeconfig and config.delegates):
        raise _invalid("always_use_default needs a kubeconfig and delegates")
    if not config.kubeconfig and not config.delegates and not config.cluster_network:
        raise _invalid("neither a kubeconfig nor clusterNetwork nor a delegate is set")


def _invalid(cause: str) -> CniError:
    return CniError(Code.INVALID_CONFIGURATION, cause, _HINT)
