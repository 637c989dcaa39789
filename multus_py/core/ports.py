"""The outside world as the core sees it: three interfaces, called as plain blocking functions.

Adapters make them real; tests have a class that plays each of them. Every method reports failure as
a :class:`~multus_py.cni.errors.CniError`, with the library's own exception as its cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from multus_py.cni.document import JsonObject
    from multus_py.cni.request import Attachment
    from multus_py.models.cached import CachedResult
    from multus_py.models.delegate import Record
    from multus_py.models.device import Devices
    from multus_py.models.objects import NetworkDefinition, ObjectRef, Pod


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginCall:
    """One execution of a plugin."""

    plugin: str
    """The type: a file name, looked for in ``path``."""
    path: tuple[str, ...]
    environment: Mapping[str, str]
    """The ``CNI_`` variables; the plugin gets the rest from whoever executes it."""
    stdin: bytes
    seconds: float
    """After which the plugin and everything it started is ended."""
    new_link: str = ""
    """The name of a link that must not be in the namespace yet, if there is to be a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginExit:
    """How a plugin ended. ``status`` is its exit code, or minus the number of a signal."""

    status: int
    stdout: bytes = b""
    stderr: bytes = b""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that people who look at a pod should know."""

    type: str
    """``Normal`` or ``Warning``."""
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A CNI configuration file of this node."""

    path: str
    content: bytes


class Host(Protocol):
    """The node, seen from where the runtime executes plugins."""

    def run(self, call: PluginCall) -> PluginExit:
        """Find and run a plugin; ``NotFoundError`` if it is not installed.

        An error as well if it is this plugin itself, takes too long or says too much. If the new
        link is there already, nothing is run (code ``INTERFACE_TAKEN``): it may be anybody's.
        """

    def own_netns(self, netns: str) -> bool:
        """Tell whether the path leads to the network namespace that plugins are executed in."""

    def link_exists(self, netns: str, ifname: str) -> bool:
        """Tell whether a link of this name is in the namespace at this path."""

    def default_route_families(self, netns: str, ifname: str) -> frozenset[int]:
        """Return the address families (4, 6) for which a default route leads through the link."""

    def replace_default_routes(
        self, netns: str, ifname: str, *, families: Iterable[int], gateways: Sequence[str]
    ) -> None:
        """Remove the link's default routes of these families, then add one for each gateway."""

    def wait_for_file(self, path: str, seconds: float) -> bool:
        """Wait until the file exists; tell whether it does."""


class Cluster(Protocol):
    """What Kubernetes knows about a pod."""

    def get_pod(self, ref: ObjectRef, *, uid: str = "") -> Pod:
        """Return a pod; :class:`~multus_py.cni.errors.NotFoundError` if there is none.

        ``uid`` is what the runtime says. Who remembers a pod of another one has to ask again.
        """

    def get_network(self, ref: ObjectRef) -> NetworkDefinition:
        """Return a NetworkAttachmentDefinition; ``NotFoundError`` if there is none."""

    def get_first_generation_network(self, ref: ObjectRef) -> NetworkDefinition:
        """Return an object Network of the first generation; ``NotFoundError`` if there is none."""

    def devices(self, pod: Pod) -> Devices:
        """Return the devices that the kubelet allocated to the pod."""

    def publish_status(self, pod: Pod, annotation: str) -> None:
        """Write the network-status of exactly this pod; ``NotFoundError`` if it is gone."""

    def edit_status(self, pod: Pod, edit: Callable[[str], str]) -> None:
        """Change the network-status of exactly this pod; ``edit`` gets what it is at that moment.

        It may be called again if somebody else writes meanwhile.
        """

    def emit(self, pod: Pod, event: Event) -> None:
        """Tell an event. Never fails: an event that cannot be told is logged."""


class Store(Protocol):
    """What is kept on this node's disk."""

    def lock(self, container_id: str, seconds: float) -> AbstractContextManager[object]:
        """Keep other requests for this container out; an error (code 11) if they do not end."""

    def write_record(self, record: Record) -> None:
        """Write a record so that it survives a power cut from the moment of return."""

    def read_record(self, attachment: Attachment) -> Record | None:
        """Return a record, None if there is none; an error (code 6) if it cannot be read."""

    def delete_record(self, attachment: Attachment) -> None:
        """Delete a record, readable or not, if it is there."""

    def records(self) -> list[Record]:
        """Return all records that can be read, and one without delegates for each that cannot."""

    def write_result(self, cached: CachedResult) -> None:
        """Write a result into the CNI library's cache. It survives a power cut once settled."""

    def settle(self) -> None:
        """Wait until all results that were written would survive a power cut.

        One wait for several takes a fraction of theirs.
        """

    def settling(self) -> AbstractContextManager[None]:
        """Do the same in a context, which may take place meanwhile: it is over before that ends."""

    def read_result(self, attachment: Attachment, network: str) -> CachedResult | None:
        """Return a cached result, None if there is none that can be read."""

    def delete_result(self, attachment: Attachment, network: str) -> None:
        """Delete a cached result if it is there."""

    def results(self) -> list[CachedResult]:
        """Return all cached results that can be read, oldest first."""

    def config_files(self, directory: str) -> list[ConfigFile]:
        """Return the files ``.conf``, ``.json``, ``.conflist`` of a directory, sorted by name."""

    def config_file(self, path: str) -> ConfigFile:
        """Return a file; :class:`~multus_py.cni.errors.NotFoundError` if there is none."""

    def is_directory(self, path: str) -> bool:
        """Tell whether the path is a directory."""

    def copy_device_info(self, source: str, target: str) -> None:
        """Copy a device-info file over an older one; nothing happens without a source."""

    def read_device_info(self, path: str) -> JsonObject | None:
        """Return a device-info file's content, None without one that can be read."""

    def delete_device_info(self, path: str) -> None:
        """Delete a device-info file if it is there."""
