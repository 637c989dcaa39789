from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.adapters import credentials, watching
from multus_py.cni.errors import CniError, Code
from multus_py.core import add
from multus_py.core.ports import Event
from multus_py.daemon import events
from multus_py.daemon.cluster import CachedCluster, Patience
from multus_py.daemon.metrics import Metrics
from multus_py.models.objects import (
    CONFIG_HASH,
    CONFIG_SOURCE,
    NETWORK_STATUS,
    NETWORKS,
    ObjectRef,
    Pod,
)
from tests.fakes import Node, answering, single
from tests.processes import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from multus_py.models.objects import LivePod
    from tests.kubeapi import KubeApi

WEB = ObjectRef("default", "web")
POD = "/api/v1/namespaces/default/pods/web"
NET = "/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions/net"
STATUS = '[{"name":"net"}]'
READS, WRITES = "^GET", "^(PATCH|PUT)"


@dataclass
class Daemon:
    """A daemon's cluster, its metrics, and pods that runtimes start on its node."""

    cluster: CachedCluster
    metrics: Metrics
    node: Node = field(default_factory=Node)

    def add(self, name: str = "web", uid: str = "uid-web") -> None:
        """Let a runtime attach a pod."""
        session = self.node.session(
            pod=name,
            uid=uid,
            container_id=f"ctr-{name}",
            delegates=[single("bridge", "primary")],
        )
        add.add(replace(session, cluster=self.cluster))

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def daemon(kubeapi: KubeApi, tmp_path: Path) -> Iterator[Daemon]:
    kubeconfig = kubeapi.kubeconfig(tmp_path, files=True)
    metrics = Metrics()
    cluster = CachedCluster(
        connect=lambda: credentials.from_kubeconfig(str(kubeconfig)),
        node="n1",
        devices=lambda pod: {"of": [pod.uid]},
        metrics=metrics,
        patience=Patience(question=0.5, status=0.3, event=1.0, end=0.5),
        pace=watching.Pace(first_delay=0.02, last_delay=0.2, quiet=PATIENCE, spread=0.02),
        event_pace=events.Pace(rest=0.0, interval=0.0, first_delay=0.05, last_delay=0.1),
    )
    made = Daemon(cluster, metrics)
    made.node.host.plugins = {"bridge": answering(), "macvlan": answering()}
    yield made
    cluster.stop()


def add_pod(kubeapi: KubeApi, name: str = "web", uid: str = "", **annotations: str) -> str:
    metadata: dict[str, Any] = {"uid": uid or f"uid-{name}", "annotations": annotations}
    return kubeapi.add(
        "Pod", name, **metadata, spec={"nodeName": "n1"}, status={"phase": "Running"}
    )


def add_network(kubeapi: KubeApi) -> None:
    config = json.dumps(single("macvlan"))
    kubeapi.add("NetworkAttachmentDefinition", "net", spec={"config": config})


def started(kubeapi: KubeApi, daemon: Daemon) -> None:
    """Start the daemon's part and let it come to know everything."""
    daemon.cluster.start()
    assert daemon.cluster.wait(PATIENCE)
    eventually(lambda: len(kubeapi.watchers) == 2)


def status_of(kubeapi: KubeApi, path: str = POD) -> Any:
    text = kubeapi.objects[path]["metadata"]["annotations"].get(NETWORK_STATUS)
    return text and [network["name"] for network in json.loads(text)]


# -- what a pod costs


def test_a_pod_costs_one_write_and_no_read(kubeapi: KubeApi, daemon: Daemon) -> None:
    add_pod(kubeapi, **{NETWORKS: "net"})
    add_network(kubeapi)
    started(kubeapi, daemon)
    daemon.add()
    assert kubeapi.asked(READS) == []
    assert kubeapi.asked(WRITES) == [f"PATCH {POD}/status"]
    (write,) = [request for request in kubeapi.requests if request.method == "PATCH"]
    assert write.body["metadata"]["uid"] == "uid-web"
    assert status_of(kubeapi) == ["primary", "default/net"]
    eventually(lambda: len(kubeapi.events()) == 2)


def test_many_pods_at_once_cost_one_write_each(kubeapi: KubeApi, daemon: Daemon) -> None:
    add_network(kubeapi)
    names = [f"web-{number}" for number in range(60)]
    paths = [
        add_pod(kubeapi, name, **({NETWORKS: "net"} if number % 2 else {}))
        for number, name in enumerate(names)
    ]
    started(kubeapi, daemon)
    threads = [threading.Thread(target=daemon.add, args=(n, f"uid-{n}")) for n in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    eventually(lambda: all(status_of(kubeapi, path) for path in paths))
    assert sorted(kubeapi.asked(WRITES)) == sorted(f"PATCH {path}/status" for path in paths)
    assert kubeapi.asked(READS) == []


def test_a_pod_that_asked_for_nothing_does_not_wait_for_its_status(
    kubeapi: KubeApi, daemon: Daemon
) -> None:
    add_pod(kubeapi)
    started(kubeapi, daemon)
    kubeapi.fault(WRITES, status=403, times=2)
    daemon.add()
    eventually(lambda: status_of(kubeapi) == ["primary"])
    assert len(kubeapi.asked("^PATCH")) == 2


# -- what is known, and what is asked for


def test_a_pod_that_is_not_known_yet_is_asked_for(kubeapi: KubeApi, daemon: Daemon) -> None:
    add_pod(kubeapi, **{NETWORKS: "net"})
    add_network(kubeapi)
    assert daemon.cluster.get_pod(WEB, uid="uid-web").uid == "uid-web"
    assert daemon.cluster.get_network(ObjectRef("default", "net")).config
    assert kubeapi.asked() == [f"GET {POD}", f"GET {NET}"]


def test_a_pod_known_by_another_uid_is_asked_for(kubeapi: KubeApi, daemon: Daemon) -> None:
    path = add_pod(kubeapi, uid="uid-old")
    started(kubeapi, daemon)
    kubeapi.interrupt(silent=True)
    kubeapi.change(path, metadata={"uid": "uid-new"})
    assert daemon.cluster.get_pod(WEB, uid="uid-new").uid == "uid-new"
    assert daemon.cluster.get_pod(WEB, uid="uid-old").uid == "uid-old"
    assert daemon.cluster.get_pod(WEB).uid == "uid-old"
    assert kubeapi.asked(READS) == [f"GET {POD}"]


def test_without_a_uid_a_pod_that_goes_is_asked_for(kubeapi: KubeApi, daemon: Daemon) -> None:
    kubeapi.change(add_pod(kubeapi), metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    started(kubeapi, daemon)
    daemon.cluster.get_pod(WEB)
    daemon.cluster.get_pod(WEB, uid="uid-web")
    assert kubeapi.asked(READS) == [f"GET {POD}"]


def test_a_static_pod_is_known_by_the_uid_that_the_kubelet_gave_it(
    kubeapi: KubeApi, daemon: Daemon
) -> None:
    add_pod(kubeapi, uid="uid-mirror", **{CONFIG_SOURCE: "file", CONFIG_HASH: "hash"})
    started(kubeapi, daemon)
    pod = daemon.cluster.get_pod(WEB, uid="hash")
    assert (pod.uid, pod.static) == ("uid-mirror", True)
    assert kubeapi.asked(READS) == []
    daemon.cluster.get_pod(WEB, uid="another-hash")
    assert kubeapi.asked(READS) == [f"GET {POD}"]


def test_a_definition_made_a_moment_ago_is_asked_for(kubeapi: KubeApi, daemon: Daemon) -> None:
    started(kubeapi, daemon)
    kubeapi.interrupt(silent=True)
    add_network(kubeapi)
    assert daemon.cluster.get_network(ObjectRef("default", "net")).config
    assert kubeapi.asked(READS) == [f"GET {NET}"]


def test_a_definition_that_changed_is_known(kubeapi: KubeApi, daemon: Daemon) -> None:
    add_network(kubeapi)
    started(kubeapi, daemon)
    kubeapi.change(NET, spec={"config": '{"type":"other"}'})
    network = ObjectRef("default", "net")
    eventually(lambda: "other" in daemon.cluster.get_network(network).config)
    assert kubeapi.asked(READS) == []


def test_the_rest_is_asked_for_each_time(kubeapi: KubeApi, daemon: Daemon) -> None:
    kubeapi.add("Network", "old", plugin="bridge")
    assert daemon.cluster.get_first_generation_network(ObjectRef("default", "old")).config
    assert daemon.cluster.devices(Pod(WEB, "uid-1", {})) == {"of": ["uid-1"]}


def test_without_definitions_of_definitions_the_cluster_is_ready(
    kubeapi: KubeApi, daemon: Daemon
) -> None:
    kubeapi.unknown.add("NetworkAttachmentDefinition")
    assert not daemon.cluster.ready
    daemon.cluster.start()
    assert daemon.cluster.wait(PATIENCE)
    assert daemon.cluster.ready


def test_listeners_are_told_of_pods(kubeapi: KubeApi, daemon: Daemon) -> None:
    told: list[tuple[str, str]] = []

    def note(was: LivePod | None, now: LivePod | None) -> None:
        told.append((was.pod.uid if was else "", now.pod.uid if now else ""))

    daemon.cluster.on_change(note)
    path = add_pod(kubeapi)
    started(kubeapi, daemon)
    assert [live.pod.ref for live in daemon.cluster.pods()] == [WEB]
    with kubeapi.lock:  # which is told as one change
        kubeapi.objects[path]["metadata"]["uid"] = "uid-new"
        kubeapi.forget()
        kubeapi.interrupt(expired=True)
    eventually(lambda: len(told) == 3)
    kubeapi.delete(path)
    eventually(lambda: len(told) == 4)
    assert told == [("", "uid-web"), ("uid-web", ""), ("", "uid-new"), ("uid-new", "")]


# -- with the API server away


def test_with_the_server_away_known_pods_start_and_their_status_follows(
    kubeapi: KubeApi, daemon: Daemon
) -> None:
    asking = add_pod(kubeapi, "asking", **{NETWORKS: "net"})
    modest = add_pod(kubeapi, "modest")
    add_network(kubeapi)
    started(kubeapi, daemon)
    with kubeapi.away():
        daemon.add("asking", "uid-asking")
        daemon.add("modest", "uid-modest")
        assert daemon.metric("multus_py_statuses_deferred") == 2
        with pytest.raises(CniError) as caught:
            daemon.add("unknown", "uid-unknown")
        assert caught.value.code == Code.TRY_AGAIN_LATER
        assert status_of(kubeapi, asking) is None
    eventually(lambda: status_of(kubeapi, asking) == ["primary", "default/net"])
    eventually(lambda: status_of(kubeapi, modest) == ["primary"])
    eventually(lambda: daemon.metric("multus_py_statuses_deferred") == 0)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_storm_of_errors_does_not_stop_pods(
    kubeapi: KubeApi, daemon: Daemon, status: int
) -> None:
    path = add_pod(kubeapi, **{NETWORKS: "net"})
    add_network(kubeapi)
    started(kubeapi, daemon)
    storm = kubeapi.fault("^(PATCH|POST)", status=status, times=1000)
    daemon.add()
    assert status_of(kubeapi, path) is None
    storm.times = 0
    eventually(lambda: status_of(kubeapi, path) == ["primary", "default/net"])
    eventually(lambda: len(kubeapi.events()) == 2)


def test_a_refused_status_of_a_pod_that_asked_fails_its_start(
    kubeapi: KubeApi, daemon: Daemon
) -> None:
    add_pod(kubeapi, **{NETWORKS: "net"})
    add_network(kubeapi)
    started(kubeapi, daemon)
    kubeapi.fault(WRITES, status=403, times=1000)
    with pytest.raises(CniError) as caught:
        daemon.add()
    assert caught.value.code == Code.API_REFUSED
    assert daemon.metric("multus_py_statuses_deferred") == 0


def test_a_status_that_waits_is_not_written_to_a_successor(
    kubeapi: KubeApi, daemon: Daemon
) -> None:
    path = add_pod(kubeapi)
    witness = add_pod(kubeapi, "witness")
    started(kubeapi, daemon)
    storm = kubeapi.fault("^PATCH", status=503, times=1000)
    daemon.add()
    eventually(lambda: kubeapi.asked("^PATCH"))
    kubeapi.interrupt(silent=True)  # so that only the API server knows
    kubeapi.change(path, metadata={"uid": "uid-successor"})
    storm.times = 0
    daemon.add("witness", "uid-witness")
    eventually(lambda: status_of(kubeapi, witness))
    eventually(lambda: daemon.metric("multus_py_statuses_deferred") == 0)
    assert status_of(kubeapi) is None


def test_the_status_of_a_pod_that_goes_is_forgotten(kubeapi: KubeApi, daemon: Daemon) -> None:
    path = add_pod(kubeapi)
    started(kubeapi, daemon)
    kubeapi.fault("^PATCH", status=503, times=1000)
    daemon.add()
    eventually(lambda: kubeapi.asked("^PATCH"))
    assert daemon.metric("multus_py_statuses_deferred") == 1
    kubeapi.delete(path)
    eventually(lambda: daemon.metric("multus_py_statuses_deferred") == 0)


def test_a_credential_that_changes_is_read_again_by_all(
    kubeapi: KubeApi, daemon: Daemon, tmp_path: Path
) -> None:
    names = [f"web-{number}" for number in range(20)]
    paths = [add_pod(kubeapi, name, **{NETWORKS: "net"}) for name in names]
    add_network(kubeapi)
    started(kubeapi, daemon)
    kubeapi.token = "the-second-token"
    (tmp_path / "token").write_text("the-second-token\n")
    threads = [threading.Thread(target=daemon.add, args=(n, f"uid-{n}")) for n in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert all(status_of(kubeapi, path) for path in paths)


# -- events


def test_events_never_hold_a_pod_up(kubeapi: KubeApi, daemon: Daemon) -> None:
    add_pod(kubeapi, **{NETWORKS: "net"})
    add_network(kubeapi)
    started(kubeapi, daemon)
    kubeapi.fault("^POST", delay=0.8, times=100)
    daemon.add()
    assert kubeapi.events() == []
    eventually(lambda: len(kubeapi.events()) == 2)


def test_events_that_are_refused_are_counted(
    kubeapi: KubeApi, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    add_pod(kubeapi)
    started(kubeapi, daemon)
    kubeapi.fault("^POST", status=403)
    with caplog.at_level(logging.WARNING, logger="multus_py"):
        daemon.cluster.emit(Pod(WEB, "uid-web", {}), Event("Warning", "NoNetworkFound", "net"))
        eventually(lambda: "1 events are lost" in caplog.text)
    assert daemon.metric("multus_py_events_lost_total") == 1


def test_an_event_told_many_times_is_one_event(kubeapi: KubeApi, daemon: Daemon) -> None:
    for _ in range(50):  # before anything is sent
        daemon.cluster.emit(Pod(WEB, "uid-web", {}), Event("Warning", "NoNetworkFound", "net"))
    started(kubeapi, daemon)
    eventually(lambda: [event["count"] for event in kubeapi.events()] == [50])


# -- sight, and the end


def test_what_is_asked_is_counted_and_what_is_known_is_measured(
    kubeapi: KubeApi, daemon: Daemon
) -> None:
    add_pod(kubeapi, **{NETWORKS: "net"})
    add_network(kubeapi)
    synced = {"resource": "network-attachment-definitions"}
    assert daemon.metric("multus_py_cache_synced", **synced) == 0
    started(kubeapi, daemon)
    daemon.add()
    assert daemon.metric("multus_py_cache_synced", **synced) == 1
    assert 0 < daemon.metric("multus_py_cache_age_seconds", resource="pods") < PATIENCE
    for method, resource, status in [
        ("LIST", "pods", "200"),
        ("WATCH", "network-attachment-definitions", "200"),
        ("PATCH", "pods", "200"),
    ]:
        labels = {"method": method, "resource": resource, "status": status}
        assert daemon.metric("multus_py_api_requests_total", **labels) == 1
    with kubeapi.away():
        labels = {"method": "WATCH", "resource": "pods", "status": "0"}
        eventually(lambda: daemon.metric("multus_py_api_requests_total", **labels))


def test_what_waits_is_written_before_the_end(kubeapi: KubeApi, daemon: Daemon) -> None:
    paths = [add_pod(kubeapi, f"web-{number}") for number in range(5)]
    started(kubeapi, daemon)
    kubeapi.fault("^PATCH", delay=0.05, times=2)
    kubeapi.fault("^POST", delay=0.05, times=2)
    for number in range(5):
        daemon.add(f"web-{number}", f"uid-web-{number}")
    daemon.cluster.stop()
    assert all(status_of(kubeapi, path) for path in paths)
    assert len(kubeapi.events()) == 5
    assert daemon.metric("multus_py_events_lost_total") == 0


def test_the_end_comes_soon_and_leaves_no_threads(kubeapi: KubeApi, daemon: Daemon) -> None:
    before = set(threading.enumerate())
    started(kubeapi, daemon)
    ours = {
        thread for thread in set(threading.enumerate()) - before if "Thread-" not in thread.name
    }
    assert len(ours) == 5
    began = time.monotonic()
    daemon.cluster.stop()
    assert time.monotonic() - began < PATIENCE / 2
    assert not ours & set(threading.enumerate())


def test_a_status_is_changed_wherever_it_is(kubeapi: KubeApi, daemon: Daemon) -> None:
    path = add_pod(kubeapi)
    started(kubeapi, daemon)
    pod = daemon.cluster.get_pod(WEB)
    with kubeapi.away():
        daemon.cluster.publish_status(pod, STATUS)
        daemon.cluster.edit_status(pod, lambda text: text.replace("net", "one"))
    eventually(lambda: status_of(kubeapi, path))
    daemon.cluster.edit_status(pod, lambda text: text.replace("one", "two"))
    assert status_of(kubeapi, path) == ["two"]
