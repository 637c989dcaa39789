"""Classes that play the three ports. A core test is a conversation with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from multus_py.cni import arguments, document
from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.cni.request import Attachment, Request
from multus_py.core import mishaps
from multus_py.core.budget import Budget
from multus_py.core.ports import ConfigFile, Event, PluginCall, PluginExit
from multus_py.core.session import Session
from multus_py.models import cached as cached_model
from multus_py.models import config as configuration
from multus_py.models import record as record_model
from multus_py.models.delegate import Record
from multus_py.models.objects import NetworkDefinition, ObjectRef, Pod

if TYPE_CHECKING:
    from multus_py.models.cached import CachedResult
    from multus_py.models.device import Devices

NETNS = "/run/netns/pod"
T = TypeVar("T")
Behaviour = Callable[[PluginCall], PluginExit]


def answering(**result: Any) -> Behaviour:
    """Return a plugin that makes the interface it is asked for; ``result`` changes its answer."""

    def behave(call: PluginCall) -> PluginExit:
        environment = call.environment
        if environment["CNI_COMMAND"] != "ADD":
            return PluginExit(status=0)
        link = {"name": environment["CNI_IFNAME"], "sandbox": environment["CNI_NETNS"]}
        answer = {"cniVersion": "1.0.0", "interfaces": [link], **result}
        return PluginExit(status=0, stdout=json.dumps(answer).encode())

    return behave


def failing(*commands: str, code: int = 100, msg: str = "it broke") -> Behaviour:
    """Return a plugin that fails these commands and answers the others."""

    def behave(call: PluginCall) -> PluginExit:
        if call.environment["CNI_COMMAND"] in commands:
            return PluginExit(status=1, stdout=json.dumps({"code": code, "msg": msg}).encode())
        return answering()(call)

    return behave


@dataclass
class FakeHost:
    """A node whose plugins do what a test says, and which keeps the books of their calls."""

    plugins: dict[str, Behaviour] = field(default_factory=dict)
    links: set[str] = field(default_factory=set)
    default_routes: dict[str, set[int]] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    own: str = "/proc/1/ns/net"
    calls: list[PluginCall] = field(default_factory=list)
    route_changes: list[tuple[str, frozenset[int], tuple[str, ...]]] = field(default_factory=list)
    route_error: CniError | None = None
    look_error: Exception | None = None
    """What becomes of looking for a link."""
    waited: list[tuple[str, float]] = field(default_factory=list)

    def run(self, call: PluginCall) -> PluginExit:
        if call.new_link:
            with mishaps.keeping_off():
                if self.link_exists("", call.new_link):
                    raise mishaps.taken(call.new_link)
        self.calls.append(call)
        if call.plugin not in self.plugins:
            raise NotFoundError(Code.DELEGATE_MISSING, f"failed to find plugin {call.plugin}")
        return self.plugins[call.plugin](call)

    def own_netns(self, netns: str) -> bool:
        return netns == self.own

    def link_exists(self, netns: str, ifname: str) -> bool:
        if self.look_error:
            raise self.look_error
        return ifname in self.links

    def default_route_families(self, netns: str, ifname: str) -> frozenset[int]:
        return frozenset(self.default_routes.get(ifname, ()))

    def replace_default_routes(
        self, netns: str, ifname: str, *, families: Iterable[int], gateways: Sequence[str]
    ) -> None:
        if self.route_error:
            raise self.route_error
        self.route_changes.append((ifname, frozenset(families), tuple(gateways)))

    def wait_for_file(self, path: str, seconds: float) -> bool:
        self.waited.append((path, seconds))
        return path in self.files

    # -- what tests read

    @property
    def talk(self) -> list[str]:
        """The calls as ``COMMAND plugin interface``."""
        return [
            " ".join(
                filter(
                    None,
                    (call.environment["CNI_COMMAND"], call.plugin, call.environment["CNI_IFNAME"]),
                )
            )
            for call in self.calls
        ]

    def stdin(self, index: int) -> Any:
        return json.loads(self.calls[index].stdin)

    def args(self, index: int) -> dict[str, str]:
        text = self.calls[index].environment["CNI_ARGS"]
        return dict(pair.split("=", 1) for pair in text.split(";"))


@dataclass
class FakeCluster:
    """A cluster that knows what a test tells it, and remembers what it was told."""

    pods: dict[ObjectRef, Pod] = field(default_factory=dict)
    networks: dict[ObjectRef, NetworkDefinition] = field(default_factory=dict)
    old_networks: dict[ObjectRef, NetworkDefinition] = field(default_factory=dict)
    allocated: Devices = field(default_factory=dict)
    error: CniError | None = None
    status_error: CniError | None = None
    statuses: list[tuple[ObjectRef, Any]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    device_queries: int = 0
    uids: list[str] = field(default_factory=list)
    """Of pods, as they were asked for."""

    def get_pod(self, ref: ObjectRef, *, uid: str = "") -> Pod:
        self.uids.append(uid)
        return self._get(self.pods, ref, "pods")

    def get_network(self, ref: ObjectRef) -> NetworkDefinition:
        return self._get(self.networks, ref, "network-attachment-definitions")

    def get_first_generation_network(self, ref: ObjectRef) -> NetworkDefinition:
        return self._get(self.old_networks, ref, "networks")

    def devices(self, pod: Pod) -> Devices:
        self.device_queries += 1
        return self.allocated

    def publish_status(self, pod: Pod, annotation: str) -> None:
        if self.status_error:
            raise self.status_error
        self.statuses.append((pod.ref, json.loads(annotation)))

    def edit_status(self, pod: Pod, edit: Callable[[str], str]) -> None:
        published = [status for ref, status in self.statuses if ref == pod.ref]
        before = pod.annotations.get("k8s.v1.cni.cncf.io/network-status", "")
        self.publish_status(pod, edit(json.dumps(published[-1]) if published else before))

    def emit(self, pod: Pod, event: Event) -> None:
        self.events.append(event)

    def _get(self, objects: Mapping[ObjectRef, T], ref: ObjectRef, kind: str) -> T:
        if self.error:
            raise self.error
        if ref not in objects:
            raise NotFoundError(Code.NETWORK_NOT_FOUND, f'{kind} "{ref.name}" not found')
        return objects[ref]


@dataclass
class FakeStore:
    """A disk in memory. What it holds is encoded, as on a real one."""

    records_: dict[tuple[str, str], bytes] = field(default_factory=dict)
    results_: dict[tuple[str, str, str], bytes] = field(default_factory=dict)
    configs: dict[str, bytes] = field(default_factory=dict)
    device_infos: dict[str, Any] = field(default_factory=dict)
    locked: set[str] = field(default_factory=set)
    full: bool = False
    failing: bool = False
    """Whether nothing can be made to last."""
    log: list[str] = field(default_factory=list)

    @contextmanager
    def lock(self, container_id: str, seconds: float) -> Iterator[None]:
        if container_id in self.locked:
            raise CniError(Code.TRY_AGAIN_LATER, "another request is at work")
        self.locked.add(container_id)
        self.log.append(f"lock {container_id}")
        try:
            yield
        finally:
            self.locked.remove(container_id)

    def write_record(self, record: Record) -> None:
        self._check()
        self.log.append(f"record {record.attachment.container_id}")
        key = (record.attachment.container_id, record.attachment.ifname)
        self.records_[key] = record_model.encode(record)

    def read_record(self, attachment: Attachment) -> Record | None:
        container_id = attachment.container_id
        for key in ((container_id, attachment.ifname), (container_id, "")):
            if key in self.records_:
                return record_model.decode(self.records_[key], attachment)
        return None

    def delete_record(self, attachment: Attachment) -> None:
        for ifname in (attachment.ifname, ""):
            self.records_.pop((attachment.container_id, ifname), None)

    def records(self) -> list[Record]:
        found = []
        for (container_id, ifname), raw in self.records_.items():
            place = Attachment(container_id, ifname)
            try:
                found.append(record_model.decode(raw, place))
            except CniError:
                found.append(Record(attachment=place, delegates=()))
        return found

    def write_result(self, cached: CachedResult) -> None:
        self._check()
        key = (cached.network_name, cached.container_id, cached.ifname)
        self.results_[key] = cached_model.encode(cached)

    def settle(self) -> None:
        if self.failing:
            raise CniError(Code.IO_FAILURE, "the disk fails")
        self.log.append("settle")

    @contextmanager
    def settling(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.settle()

    def read_result(self, attachment: Attachment, network: str) -> CachedResult | None:
        raw = self.results_.get((network, attachment.container_id, attachment.ifname))
        return self._cached(raw)

    def delete_result(self, attachment: Attachment, network: str) -> None:
        self.results_.pop((network, attachment.container_id, attachment.ifname), None)

    def results(self) -> list[CachedResult]:
        return [found for raw in self.results_.values() if (found := self._cached(raw))]

    def config_files(self, directory: str) -> list[ConfigFile]:
        return [
            ConfigFile(path, content)
            for path, content in sorted(self.configs.items())
            if path.rpartition("/")[0] == directory.rstrip("/")
            and path.endswith((".conf", ".json", ".conflist"))
        ]

    def config_file(self, path: str) -> ConfigFile:
        if path not in self.configs:
            raise NotFoundError(Code.NETWORK_NOT_FOUND, f"{path} does not exist")
        return ConfigFile(path, self.configs[path])

    def is_directory(self, path: str) -> bool:
        return any(name.startswith(path.rstrip("/") + "/") for name in self.configs)

    def copy_device_info(self, source: str, target: str) -> None:
        if source in self.device_infos:
            self.device_infos[target] = self.device_infos[source]

    def read_device_info(self, path: str) -> Any:
        return self.device_infos.get(path)

    def delete_device_info(self, path: str) -> None:
        self.device_infos.pop(path, None)

    def _check(self) -> None:
        if self.full:
            raise CniError(Code.IO_FAILURE, "no space left on device")

    @staticmethod
    def _cached(raw: bytes | None) -> CachedResult | None:
        try:
            return None if raw is None else cached_model.decode(raw)
        except CniError:
            return None


@dataclass
class Node:
    """A host, a cluster and a disk, and requests to the plugin between them."""

    host: FakeHost = field(default_factory=FakeHost)
    cluster: FakeCluster | None = field(default_factory=FakeCluster)
    store: FakeStore = field(default_factory=FakeStore)
    config: dict[str, Any] = field(default_factory=dict)
    now: float = 0.0

    def pod(self, name: str = "web", uid: str = "uid-web", **annotations: str) -> Pod:
        """Add a pod of the namespace default to the cluster; keys are annotations by short name."""
        names = {
            "networks": "k8s.v1.cni.cncf.io/networks",
            "default_network": "v1.multus-cni.io/default-network",
            "old_networks": "networks",
            "source": "kubernetes.io/config.source",
        }
        written = {names[key]: value for key, value in annotations.items()}
        pod = Pod(ObjectRef("default", name), uid, written)
        assert self.cluster is not None
        self.cluster.pods[pod.ref] = pod
        return pod

    def network(self, ref: str, config: Any, resource: str = "") -> None:
        """Add a definition, ``namespace/name``, with a configuration (or its text)."""
        assert self.cluster is not None
        namespace, _, name = ref.rpartition("/")
        place = ObjectRef(namespace or "default", name)
        text = config if isinstance(config, str) else json.dumps(config)
        self.cluster.networks[place] = NetworkDefinition(place, text, resource)

    def session(
        self,
        command: str = "ADD",
        *,
        container_id: str = "ctr",
        ifname: str = "eth0",
        netns: str = NETNS,
        pod: str = "web",
        uid: str = "uid-web",
        args: str | None = None,
        seconds: float = 100.0,
        **changes: Any,
    ) -> Session:
        """Return a request of a runtime; ``changes`` are keys of the configuration."""
        config = {"cniVersion": "1.1.0", "name": "multus-net", "type": "multus-py"}
        config |= self.config | changes
        if args is None:
            args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod};K8S_POD_UID={uid}"
        request = Request(
            command=command,
            container_id=container_id,
            netns=netns,
            ifname=ifname,
            args=args,
            path=("/opt/cni/bin", "/usr/lib/cni"),
            config=config,
        )
        return Session(
            request=request,
            config=configuration.parse(config),
            arguments=arguments.parse(args),
            host=self.host,
            cluster=self.cluster,
            store=self.store,
            budget=Budget(lambda: self.now, seconds),
        )


def single(kind: str, name: str = "", **members: Any) -> dict[str, Any]:
    """Return the configuration of a network with one plugin."""
    named = {"name": name} if name else {}
    return {"cniVersion": "1.0.0", **named, "type": kind, **members}


def chain(name: str, *plugins: Any, **members: Any) -> dict[str, Any]:
    """Return the configuration of a network with several plugins, by type or in full."""
    listed = [{"type": plugin} if isinstance(plugin, str) else plugin for plugin in plugins]
    return {"cniVersion": "1.0.0", "name": name, "plugins": listed, **members}


def decoded(raw: bytes) -> Any:
    """Return the JSON value in bytes, checked as a stranger's would be."""
    return document.decode(raw, "a test's document")
