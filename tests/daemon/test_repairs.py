"""Repairs: whatever happens, what is owed is released in the end, and nothing else."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.adapters import locks
from multus_py.adapters.disk import Disk
from multus_py.cni import arguments
from multus_py.cni.errors import CniError, Code
from multus_py.cni.request import Attachment, Request
from multus_py.core import add, release
from multus_py.daemon.hands import Hands
from multus_py.daemon.metrics import Metrics
from multus_py.daemon.repairs import Pace, Repairs
from multus_py.models import config as configuration
from tests.core.test_add import a_node
from tests.core.test_pending import lost
from tests.daemon.watched import FakeLivePods
from tests.fakes import FakeHost, Node, answering, failing, single
from tests.processes import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from multus_py.core.ports import PluginCall, PluginExit
    from multus_py.core.session import Session
    from multus_py.models.delegate import Record

CONFIG: dict[str, Any] = {
    "cniVersion": "1.1.0",
    "name": "multus-net",
    "type": "multus-py",
    "delegates": [single("main", "primary")],
}


class LockingFakeHost(FakeHost):
    """A host at the far side, as far as a test has one."""

    def lock(self, path: str, seconds: float) -> AbstractContextManager[object]:
        return locks.held(path, seconds)


@dataclass
class Bench:
    """A node with a real disk, and daemons that come and go."""

    directory: Path
    node: Node = field(default_factory=a_node)
    pods: FakeLivePods = field(default_factory=FakeLivePods)
    now: float = 0.0
    there: bool = True
    """Whether there is a carrier."""

    def __post_init__(self) -> None:
        self.host = LockingFakeHost(plugins=self.node.host.plugins)
        self.node.host = self.host
        self.disk = Disk(str(self.directory), lock=locks.held)
        self.restart()

    def restart(self, **pace: float) -> None:
        """Replace the daemon by one that knows nothing."""
        self.metrics = Metrics()
        self.repairs = Repairs(
            store=lambda: self.disk,
            pods=self.pods,
            hands=self.hands,
            session=self.session,
            config=lambda: CONFIG,
            metrics=self.metrics,
            pace=Pace(**pace),
            clock=lambda: self.now,
            chance=lambda: 0.5,
        )

    @contextmanager
    def hands(self) -> Iterator[Hands | None]:
        yield Hands(self.host, ("/opt/cni/bin",)) if self.there else None

    def session(self, asked: Request, host: Any) -> Session:
        return replace(
            self.node.session(),
            request=asked,
            config=configuration.parse(asked.config),
            arguments=arguments.parse(asked.args),
            host=host,
            store=self.disk,
            keeps_pending=True,
        )

    # -- what happens

    def asked(self, command: str, name: str) -> Session:
        """Return a runtime's request for a container."""
        asked = self.node.session(
            command,
            container_id=name,
            pod=name,
            uid=f"uid-{name}",
            netns=f"/run/netns/{name}",
            **CONFIG,
        )
        return replace(asked, host=self.host, store=self.disk, keeps_pending=True)

    def attach(self, *names: str, networks: str = "one,two") -> None:
        for name in names:
            self.node.pod(name, uid=f"uid-{name}", networks=networks)
            self.pods.run(name, networks)
            self.host.files.add(f"/run/netns/{name}")
            add.add(self.asked("ADD", name))
        self.host.calls.clear()

    def delete(self, name: str, times: int = 5) -> None:
        """Ask for the release of a container so often, whatever comes of it."""
        for _ in range(times):
            try:
                release.delete(self.asked("DEL", name))
            except CniError:
                continue
        self.host.calls.clear()

    def end(self, *names: str) -> None:
        """Let pods be gone, with their namespaces."""
        for name in names:
            del self.pods.live[name]
            self.host.files.remove(f"/run/netns/{name}")

    def turn(self, times: int = 1) -> float:
        """Let turns take place one after the other; return how long that took."""
        before = self.now
        for _ in range(times):
            self.now += self.repairs.turn()
        return self.now - before

    # -- what has come of it

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"multus_py_{name}", labels)

    @property
    def left(self) -> list[str]:
        return sorted(record.attachment.container_id for record in self.disk.records())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path / "multus")
    made.attach("lives")
    return made


# -- pending releases


def a_pending(bench: Bench, name: str = "web") -> None:
    """Leave a pending release, whose plugin goes on to refuse."""
    bench.attach(name)
    bench.host.plugins["two"] = failing("DEL", msg="switch away")
    bench.delete(name)
    (found,) = (record for record in bench.disk.records() if record.pending)
    assert [delegate.ifname for delegate in found.delegates] == ["net2"]


def test_a_pending_release_is_tried_at_once_and_then_more_and_more_seldom(bench: Bench) -> None:
    a_pending(bench)
    times: list[float] = []

    def refuse(call: PluginCall) -> PluginExit:
        times.append(bench.now)
        return failing("DEL")(call)

    bench.host.plugins["two"] = refuse
    while len(times) < 10:
        bench.turn()

    pauses = [after - before for before, after in pairwise(times)]
    assert times[0] == 0
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600]


def test_it_goes_on_until_the_plugin_confirms(bench: Bench) -> None:
    a_pending(bench)
    bench.turn(8)
    assert bench.sample("pending_releases") == 1
    bench.host.plugins["two"] = answering()

    bench.turn(8)

    assert bench.left == ["lives"]
    assert bench.sample("pending_releases") == 0
    assert bench.sample("repairs_total", outcome="ok") == 1
    assert bench.disk.read_result(Attachment("web", "net2"), "two") is None


def test_it_survives_a_restart(bench: Bench) -> None:
    a_pending(bench)
    bench.turn(3)
    bench.host.plugins["two"] = answering()

    bench.restart()
    bench.turn()

    assert bench.left == ["lives"]


def test_a_release_that_fails_is_counted_logged_and_told_while_there_is_a_pod(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    a_pending(bench)
    caplog.clear()

    bench.turn()
    bench.end("web")
    bench.now += 60
    bench.turn()

    assert bench.sample("repairs_total", outcome="error") == 2
    ((name, event),) = bench.pods.events
    assert (name, event.type, event.reason) == ("web", "Warning", "ReleasePending")
    assert "switch away" in event.message
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("repairs")]
    assert len(lines) == 2
    assert lines[0].startswith("repair container=web ifname=eth0 pod=default/web ")
    assert "switch away" in lines[0]


def test_without_hands_the_work_waits_and_is_counted(bench: Bench) -> None:
    a_pending(bench)
    bench.there = False

    bench.turn(5)
    assert (bench.host.calls, bench.sample("pending_releases")) == ([], 1)

    bench.there = True
    bench.host.plugins["two"] = answering()
    bench.turn()
    assert bench.left == ["lives"]


def test_hands_that_are_lost_in_the_midst_cost_nothing(bench: Bench) -> None:
    a_pending(bench)
    before = bench.disk.records()
    bench.host.plugins["two"] = lost

    assert bench.turn() == 120  # unless hands arrive before
    bench.turn(5)

    assert bench.disk.records() == before
    assert bench.sample("repairs_total", outcome="error") is None
    bench.host.plugins["two"] = answering()
    bench.turn()
    assert bench.left == ["lives"]


def test_a_later_del_of_the_runtime_ends_it_too(bench: Bench) -> None:
    a_pending(bench)
    bench.turn(3)
    bench.host.plugins["two"] = answering()

    bench.delete("web", 1)
    bench.turn()

    assert bench.left == ["lives"]
    assert bench.sample("pending_releases") == 0


def test_it_wakes_up_for_a_release_that_has_just_become_pending(bench: Bench) -> None:
    bench.restart(interval=10_000.0)
    bench.repairs.start()
    eventually(lambda: bench.sample("pending_releases") == 0)
    a_pending(bench)
    bench.host.plugins["two"] = answering()

    bench.repairs.noticed(bench.asked("DEL", "web").request)

    eventually(lambda: bench.left == ["lives"])
    bench.repairs.stop()


def test_it_wakes_up_when_hands_arrive(bench: Bench) -> None:
    a_pending(bench)
    bench.host.plugins["two"] = answering()
    bench.there = False
    bench.restart(interval=10_000.0)
    bench.repairs.start()
    eventually(lambda: bench.sample("pending_releases") == 1)

    bench.there = True
    bench.repairs.wake()

    eventually(lambda: bench.left == ["lives"])
    bench.repairs.stop()


# -- the dead


def test_what_is_dead_is_released_after_its_grace(bench: Bench) -> None:
    bench.attach("a", "b")
    bench.end("a", "b")

    assert bench.turn() == 60
    assert bench.left == ["a", "b", "lives"]
    bench.turn()

    assert bench.left == ["lives"]
    assert bench.host.talk == ["DEL two net2", "DEL one net1", "DEL main eth0"] * 2
    assert {call.environment["CNI_NETNS"] for call in bench.host.calls} == {""}
    assert {call.environment["CNI_PATH"] for call in bench.host.calls} == {"/opt/cni/bin"}


def test_what_comes_back_to_life_in_its_grace_is_left_alone(bench: Bench) -> None:
    bench.attach("a")
    bench.end("a")
    bench.turn()
    bench.host.files.add("/run/netns/a")
    bench.turn(10)
    bench.host.files.remove("/run/netns/a")

    bench.turn()  # its grace begins anew

    assert bench.left == ["a", "lives"]
    assert bench.host.calls == []


def test_a_force_deleted_pod_whose_container_runs_is_left_alone(bench: Bench) -> None:
    bench.attach("a")
    del bench.pods.live["a"]

    bench.turn(20)

    assert (bench.left, bench.host.calls) == (["a", "lives"], [])


def test_what_a_list_lacks_is_asked_for_before_it_is_released(bench: Bench) -> None:
    bench.attach("a")
    for record in bench.disk.records():
        bench.disk.write_record(replace(record, netns=""))
    for cached in bench.disk.results():
        bench.disk.write_result(replace(cached, netns=""))
    cluster = bench.node.cluster
    assert cluster is not None
    del bench.pods.live["a"]
    cluster.uids.clear()

    bench.turn(3)
    assert (bench.left, bench.host.calls) == (["a", "lives"], [])
    assert cluster.uids == ["uid-a"] * 2
    assert bench.sample("pending_releases") == 0

    cluster.pods.clear()
    bench.turn()
    assert bench.left == ["lives"]


def test_as_long_as_the_pods_are_not_known_nothing_is_called_dead(bench: Bench) -> None:
    bench.attach("a")
    bench.end("a")
    bench.pods.synced = False

    bench.turn(20)

    assert (bench.left, bench.host.calls) == (["a", "lives"], [])


def test_a_dead_pod_that_cannot_be_released_is_pending_and_counted(bench: Bench) -> None:
    bench.attach("a")
    bench.end("a")
    bench.host.plugins["two"] = failing("DEL")

    bench.turn(2)
    assert bench.sample("pending_releases") == 1

    bench.turn(10)
    assert [record.pending for record in bench.disk.records()] == [True, False]
    bench.host.plugins["two"] = answering()
    bench.turn(10)
    assert (bench.left, bench.sample("pending_releases")) == (["lives"], 0)


def test_one_that_fails_does_not_keep_the_others(bench: Bench) -> None:
    bench.attach("a", networks="two")
    bench.attach("b", "c", networks="one")
    bench.end("a", "b", "c")
    bench.host.plugins["two"] = failing("DEL")

    bench.turn(3)

    assert bench.left == ["a", "lives"]


def test_a_container_at_work_is_tried_again_soon_and_not_counted(bench: Bench) -> None:
    bench.attach("a")
    bench.end("a")
    bench.turn()

    with bench.disk.lock("a", 1.0):
        assert bench.turn() == 5
    assert bench.host.calls == []
    bench.turn()

    assert bench.left == ["lives"]
    assert bench.sample("repairs_total", outcome="error") is None


def test_what_is_left_in_the_cache_beside_a_record_goes_too(bench: Bench) -> None:
    bench.attach("a", networks="one,two")
    record = bench.disk.read_record(Attachment("a", "eth0"))
    assert record is not None
    bench.disk.write_record(replace(record, delegates=record.delegates[1:], partial=True))
    bench.end("a")

    bench.turn(6)

    assert bench.left == ["lives"]
    assert {cached.container_id for cached in bench.disk.results()} == {"lives"}
    assert sorted(bench.host.talk) == ["DEL main eth0", "DEL one net1", "DEL two net2"]


def test_a_configuration_that_cannot_be_used_is_an_error_and_no_end(bench: Bench) -> None:
    bench.attach("a")
    bench.end("a")
    bench.repairs.config = lambda: {"name": "multus-net"}
    bench.turn(4)
    assert bench.sample("repairs_total", outcome="error") is not None

    bench.repairs.config = lambda: CONFIG
    bench.turn(4)

    assert bench.left == ["lives"]


def test_hands_that_go_between_two_releases_stop_the_work(bench: Bench) -> None:
    bench.attach("a", "b", networks="one")
    bench.end("a", "b")
    bench.turn()

    def last(call: PluginCall) -> PluginExit:
        bench.there = False
        return answering()(call)

    bench.host.plugins["main"] = last
    bench.turn()
    assert len(bench.left) == 2

    bench.there = True
    bench.turn()
    assert bench.left == ["lives"]


@pytest.mark.parametrize("name", ["lives", "unknown", "broken"])
def test_other_records_are_no_reason_to_wake(bench: Bench, name: str) -> None:
    (bench.directory / "broken").write_bytes(b"{")

    bench.repairs.noticed(bench.asked("DEL", name).request)

    assert not bench.repairs._rounds._awake.is_set()


def test_a_bug_in_one_release_does_not_keep_the_others(bench: Bench) -> None:
    bench.attach("a", "b", networks="one")
    bench.end("a", "b")
    made = bench.repairs.session

    def session(asked: Request, host: Any) -> Session:
        if asked.container_id == "a":
            raise ZeroDivisionError
        return made(asked, host)

    bench.repairs.session = session
    bench.turn(2)

    assert bench.left == ["a", "lives"]
    assert bench.sample("repairs_total", outcome="error") == 1


def test_stopping_ends_after_the_release_under_way(bench: Bench) -> None:
    bench.attach("a", "b", networks="one")
    bench.end("a", "b")
    bench.turn()

    def last(call: PluginCall) -> PluginExit:
        bench.repairs.stop()
        return answering()(call)

    bench.host.plugins["main"] = last
    bench.turn()

    assert len(bench.left) == 2


def test_a_disk_that_is_full_loses_no_record(bench: Bench) -> None:
    bench.attach("a")
    bench.end("a")
    bench.turn()

    def full(record: Record) -> None:
        raise CniError(Code.IO_FAILURE, "no space left on device")

    bench.host.plugins["two"] = failing("DEL")
    bench.disk.write_record = full  # type: ignore[method-assign]  # one failure of a real disk
    bench.turn()

    assert bench.left == ["a", "lives"]
    assert bench.sample("repairs_total", outcome="error") == 1
