"""The patrol: who lacks networks is found soon, told seldom, and never touched."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code
from multus_py.core import add
from multus_py.daemon.metrics import Metrics
from multus_py.daemon.patrol import LACKS_NETWORKS, Beat, Patrol
from multus_py.models.objects import ObjectRef
from tests.core.test_add import a_node
from tests.daemon.watched import FakeLivePods
from tests.fakes import FakeCluster, FakeStore, Node
from tests.processes import eventually

if TYPE_CHECKING:
    import pytest

    from multus_py.models.cached import CachedResult


@dataclass
class CountedStore(FakeStore):
    """A disk that counts how often it is read."""

    reads: int = 0

    def results(self) -> list[CachedResult]:
        self.reads += 1
        return super().results()


@dataclass
class Watch:
    """A patrol on a node, with a clock in a test's hands."""

    node: Node = field(default_factory=a_node)
    pods: FakeLivePods = field(default_factory=FakeLivePods)
    store: CountedStore = field(default_factory=CountedStore)
    metrics: Metrics = field(default_factory=Metrics)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.node.store = self.store
        self.patrol = Patrol(
            store=lambda: self.store,
            pods=self.pods,
            multus_namespace=lambda: "kube-system",
            metrics=self.metrics,
            clock=lambda: self.now,
        )

    def attach(self, name: str, networks: str) -> None:
        self.node.pod(name, uid=f"uid-{name}", networks=networks)
        add.add(self.node.session(container_id=name, pod=name, uid=f"uid-{name}"))

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += self.patrol.turn()

    @property
    def told(self) -> list[str]:
        assert {event.reason for _, event in self.pods.events} <= {LACKS_NETWORKS}
        return [name for name, _ in self.pods.events]

    @property
    def counted(self) -> float | None:
        return self.metrics.registry.get_sample_value("multus_py_pods_lacking_networks")


def test_a_pod_without_its_networks_is_told_within_half_a_minute() -> None:
    watch = Watch()
    watch.pods.run("lost", "one")
    watch.pods.run("fine", "one")
    watch.pods.run("plain")
    watch.attach("fine", "one")

    while not watch.told:
        watch.look()

    assert watch.now <= 30
    (name, event), *more = watch.pods.events
    assert (name, event.type, more) == ("lost", "Warning", [])
    assert event.message.startswith("It runs without default/one: ")
    assert watch.counted == 1


def test_a_pod_whose_sandbox_is_in_work_is_not_accused() -> None:
    watch = Watch()
    watch.pods.run("new", "one")
    watch.look()
    watch.attach("new", "one")

    watch.look(10)

    assert (watch.told, watch.counted) == ([], 0)


def test_it_is_told_once_and_again_after_an_hour() -> None:
    watch = Watch()
    watch.pods.run("lost", "one")

    watch.look(350)
    assert watch.told == ["lost"]

    watch.look(20)
    assert watch.told == ["lost", "lost"]


def test_another_pod_of_that_name_is_another_pod() -> None:
    watch = Watch()
    watch.pods.run("lost", "one")
    watch.look(3)
    watch.pods.run("lost", "one", uid="another")

    watch.look(3)

    assert (watch.told, watch.counted) == (["lost", "lost"], 1)


def test_a_pod_that_is_gone_is_not_counted() -> None:
    watch = Watch()
    watch.pods.run("lost", "one")
    watch.look(3)
    watch.pods.live.clear()

    watch.look()

    assert watch.counted == 0


def test_a_pod_that_got_its_networks_later_is_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    watch = Watch()
    watch.pods.run("lost", "one", status="[]")
    watch.look(3)
    watch.attach("lost", "one")

    watch.look(7)

    assert watch.counted == 0
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("patrol")]
    assert lines[0].startswith("pod default/lost (uid uid-lost): it runs without default/one")
    assert lines[1:] == ["pod default/lost has its networks by now"]


def test_a_pod_that_asks_for_more_is_looked_at_at_once() -> None:
    watch = Watch()
    watch.pods.run("web", "one")
    watch.attach("web", "one")
    watch.look(2)
    watch.pods.run("web", "one,two")

    watch.look(2)

    assert watch.told == ["web"]


def test_a_content_pod_that_gets_another_sandbox_is_found_in_time() -> None:
    watch = Watch()
    watch.pods.run("web", "one")
    watch.attach("web", "one")
    watch.look()
    watch.store.records_.clear()
    watch.store.results_.clear()

    watch.look(35)

    assert watch.told == ["web"]


def test_as_long_as_all_are_content_the_disk_is_not_read() -> None:
    watch = Watch()
    watch.pods.run("web", "one", status="[]")
    watch.pods.run("plain")
    watch.attach("web", "one")

    watch.look(25)

    assert watch.store.reads == 1


def test_as_long_as_the_pods_are_not_known_nobody_is_accused() -> None:
    watch = Watch()
    watch.pods.run("lost", "one")
    watch.pods.synced = False

    watch.look(10)

    assert watch.told == []


def test_it_goes_on_by_itself_until_it_is_stopped() -> None:
    watch = Watch()
    watch.pods.run("lost", "one")
    patrol = Patrol(
        store=lambda: watch.store,
        pods=watch.pods,
        multus_namespace=lambda: "kube-system",
        metrics=watch.metrics,
        beat=Beat(interval=0.001),
    )

    patrol.start()
    eventually(lambda: watch.told == ["lost"])
    patrol.stop()


# -- network-status that was lost


def test_a_status_that_was_lost_is_written_again_as_add_wrote_it() -> None:
    watch = Watch()
    watch.attach("web", "one,two")
    watch.pods.run("web", "one,two")
    watch.look()
    assert watch.pods.statuses == []  # it may be on its way
    watch.look()
    [(name, annotation)] = watch.pods.statuses
    assert isinstance(watch.node.cluster, FakeCluster)
    assert [(ObjectRef("default", name), json.loads(annotation))] == watch.node.cluster.statuses


def test_a_pod_with_its_status_is_left_alone() -> None:
    watch = Watch()
    watch.attach("web", "one")
    watch.pods.run("web", "one", status="[]")
    watch.look(times=40)
    assert watch.pods.statuses == []


def test_a_status_that_cannot_be_written_is_tried_again_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = Watch()
    watch.attach("web", "one")
    watch.pods.run("web", "one")
    watch.pods.status_error = CniError(Code.API_REFUSED, "no")
    with caplog.at_level(logging.WARNING, logger="multus_py"):
        watch.look(times=2)
    assert "network-status of pod default/web is not written" in caplog.text
    watch.pods.status_error = None
    watch.look(times=40)
    assert [name for name, _ in watch.pods.statuses][:1] == ["web"]


def test_a_pod_that_is_attached_in_part_gets_no_status() -> None:
    watch = Watch()
    watch.attach("web", "one,two")
    watch.pods.run("web", "one,two")
    watch.store.results_.popitem()
    watch.look(times=3)
    assert watch.pods.statuses == []


def test_a_sandbox_that_is_not_released_yet_does_not_speak_for_its_successor() -> None:
    watch = Watch()
    watch.attach("web", "one")
    session = watch.node.session(container_id="successor", pod="web", uid="uid-web")
    add.add(session)
    watch.pods.run("web", "one")
    watch.look(times=3)
    assert watch.pods.statuses == []
    watch.node.store.delete_record(session.request.attachment)
    watch.look(times=40)
    assert [name for name, _ in watch.pods.statuses][:1] == ["web"]
