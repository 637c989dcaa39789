"""The daemon's configuration: the keys of Multus's ``daemon-config.json``, and ours.

The same document may hold keys of the plugin's configuration (:mod:`multus_py.models.config`); they
hold for every request, over what the runtime passes. ``docs/daemon.md`` says what each does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from multus_py.cni import document, version
from multus_py.cni.errors import CniError, Code, located
from multus_py.models import durations
from multus_py.models.config import LogOptions
from multus_py.models.decoding import Decoded, decoded

if TYPE_CHECKING:
    from multus_py.cni.document import JsonObject

_HINT = "correct the daemon's configuration (docs/daemon.md)"

_OF_THE_REQUEST = frozenset(
    {"name", "type", "cniversion", "prevresult", "runtimeconfig", "kubeconfig", "delegates"}
)
"""Keys of the plugin's configuration that a request keeps, in small letters."""

_SHARED = frozenset({"readinessindicatorfile", "requesttimeout"})
"""Keys that both the daemon and the plugin read."""


SHORTEST_LIFE = 600
"""Seconds of a certificate's: API servers take no request for less."""


class PerNodeCertificate(Decoded):
    """A certificate of the daemon's own, as Multus has it."""

    enabled: bool = False
    bootstrap_kubeconfig: str = Field(default="", alias="bootstrapKubeconfig")
    cert_dir: str = Field(default="", alias="certDir")
    cert_duration: str = Field(default="10m", alias="certDuration")

    @property
    def seconds(self) -> float:
        """How long a certificate shall live."""
        return durations.seconds(self.cert_duration)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.enabled:
            for key, value in (
                ("bootstrapKubeconfig", self.bootstrap_kubeconfig),
                ("certDir", self.cert_dir),
            ):
                if not value:
                    raise ValueError(f"{key} is not set")
            if self.seconds < SHORTEST_LIFE:
                raise ValueError("certDuration should be 10m or more")
        return self


class Settings(Decoded):
    """What the daemon reads for itself."""

    socket_dir: str = Field(default="/run/multus-py", alias="socketDir")
    log_file: str = Field(default="", alias="logFile")
    log_level: str = Field(default="verbose", alias="logLevel")
    log_to_stderr: bool = Field(default=True, alias="logToStderr")
    log_options: LogOptions = Field(default=LogOptions(), alias="logOptions")
    metrics_port: int | None = Field(default=None, alias="metricsPort", ge=1, le=65535)
    connection_limit: int | None = Field(default=None, alias="connectionLimit", ge=1)
    """Multus's way to bound a burst; here another word for ``maxInFlight``."""
    readiness_indicator_file: str = Field(default="", alias="readinessindicatorfile")

    daemon_socket_dir: str = Field(default="", alias="daemonSocketDir")
    chroot_dir: str = Field(default="", alias="chrootDir")
    enable_pprof: bool = Field(default=False, alias="enablePprof")
    per_node_certificate: PerNodeCertificate = Field(
        default=PerNodeCertificate(), alias="perNodeCertificate"
    )
    multus_config_file: str = Field(default="auto", alias="multusConfigFile")
    multus_master_cni: str = Field(default="", alias="multusMasterCNI")
    multus_autoconfig_dir: str = Field(default="", alias="multusAutoconfigDir")
    cni_version: str = Field(default="", alias="cniVersion")
    cni_config_dir: str = Field(default="/etc/cni/net.d", alias="cniConfigDir")
    force_cni_version: bool = Field(default=False, alias="forceCNIVersion")
    override_network_name: bool = Field(default=False, alias="overrideNetworkName")

    health_port: int | None = Field(default=None, alias="healthPort", ge=1, le=65535)
    max_in_flight: int | None = Field(default=None, alias="maxInFlight", ge=1)
    request_timeout: int = Field(default=100, alias="requestTimeout", ge=5, le=3600)
    drain_timeout: int = Field(default=25, alias="drainTimeout", ge=0, le=3600)
    carrier_idle: int = Field(default=600, alias="carrierIdle", ge=0)
    repair_grace: int = Field(default=60, alias="repairGrace", ge=0)
    repair_interval: int = Field(default=180, alias="repairInterval", ge=1)
    on_host: bool = Field(default=False, alias="onHost")
    """Whether the daemon runs on the host itself, and may run plugins where no shim does."""
    kubernetes: bool = True
    """Whether there is a cluster. Without one pods get the networks of the configuration only."""

    @property
    def logging(self) -> JsonObject:
        """The keys of logging that are set, for a plugin that logs as the daemon does."""
        keys = {"log_file", "log_level", "log_to_stderr", "log_options"} & self.model_fields_set
        written: JsonObject = self.model_dump(include=keys, by_alias=True)
        return written

    def in_flight(self, cores: int) -> int:
        """Return how many requests may run plugins at once."""
        return self.max_in_flight or self.connection_limit or max(4, 2 * cores)


def parse(raw: bytes | str) -> tuple[Settings, JsonObject]:
    """Return the settings in a file's content, and the keys in it that hold for every request."""
    with located("daemon configuration"):
        value = document.decode_object(raw, "the file")
        settings = decoded(Settings, value, code=Code.INVALID_CONFIGURATION, hint=_HINT)
        if settings.chroot_dir:
            raise CniError(
                Code.INVALID_CONFIGURATION,
                "chrootDir is not supported: plugins run on the host, by the shim",
                "remove the key, and the host's file system from the daemon's container",
            )
        if settings.cni_version and settings.cni_version not in version.SUPPORTED:
            raise CniError(
                Code.INVALID_CONFIGURATION,
                f"cniVersion {settings.cni_version!r} is not supported",
                f"use one out of {', '.join(version.SUPPORTED)}, or remove the key",
            )
        return settings, _for_requests(value)


def _for_requests(value: JsonObject) -> dict[str, Any]:
    own = {field.alias or name for name, field in Settings.model_fields.items()}
    kept_back = ({key.lower() for key in own} - _SHARED) | _OF_THE_REQUEST
    return {key: item for key, item in value.items() if key.lower() not in kept_back}
