from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from multus_py.adapters import credentials, watching
from multus_py.adapters.connection import Connection
from multus_py.adapters.watching import Pace, Watch
from multus_py.models import objects
from multus_py.models.objects import NETWORKS, LivePod, NetworkDefinition, ObjectRef
from tests.processes import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kubeapi import KubeApi

NODE = "n1"
WEB = ObjectRef("default", "web")
FAST = Pace(first_delay=0.02, last_delay=0.2, quiet=PATIENCE, spread=0.02)
LIST, WATCH = "^LIST /api/v1/pods$", "^WATCH /api/v1/pods$"


class Watches:
    """Watches of one server that end with the test, and what they told."""

    def __init__(self, link: Connection) -> None:
        self.link = link
        self.started: list[Watch[Any]] = []
        self.told: list[tuple[str, str]] = []

    def pods(self, pace: Pace = FAST) -> Watch[LivePod]:
        """Watch the pods of the node."""
        watch = Watch(
            self.link,
            watching.PODS,
            trim=objects.live_pod,
            selector=f"spec.nodeName={NODE}",
            on_change=self._note,
            pace=pace,
        )
        return self._begun(watch)

    def networks(self, pace: Pace = FAST) -> Watch[NetworkDefinition]:
        """Watch the definitions."""
        watch = Watch(self.link, watching.NETWORKS, trim=objects.network_definition, pace=pace)
        return self._begun(watch)

    def stop(self) -> None:
        for watch in self.started:
            watch.stop()

    def _begun(self, watch: Watch[Any]) -> Watch[Any]:
        watch.start()
        self.started.append(watch)
        return watch

    def _note(self, was: LivePod | None, now: LivePod | None) -> None:
        self.told.append((was.pod.uid if was else "", now.pod.uid if now else ""))


@pytest.fixture
def watches(kubeapi: KubeApi, tmp_path: Path) -> Iterator[Watches]:
    kubeconfig = kubeapi.kubeconfig(tmp_path, files=True)
    made = Watches(Connection(lambda: credentials.from_kubeconfig(str(kubeconfig))))
    yield made
    made.stop()


def add_pod(kubeapi: KubeApi, name: str, *, node: str = NODE, **annotations: str) -> str:
    metadata: dict[str, Any] = {"uid": f"uid-{name}", "annotations": annotations}
    return kubeapi.add(
        "Pod", name, **metadata, spec={"nodeName": node}, status={"phase": "Running"}
    )


def names(watch: Watch[LivePod]) -> list[str]:
    return sorted(live.pod.ref.name for live in watch.items())


def limits(kubeapi: KubeApi) -> list[str]:
    """How many objects each list asked for."""
    return [r.query.get("limit", "") for r in kubeapi.requests if r.method == "LIST"]


def versions(kubeapi: KubeApi) -> list[tuple[str, str]]:
    """What each list was to be like."""
    keys = ("resourceVersion", "resourceVersionMatch")
    asked = [request.query for request in kubeapi.requests if request.method == "LIST"]
    return [(query.get(keys[0], ""), query.get(keys[1], "")) for query in asked]


def watched(kubeapi: KubeApi) -> Any:
    """Wait until there is a watch that works."""
    return eventually(lambda: [w for w in kubeapi.watchers if not (w.silent or w.dropped)])


def followed(kubeapi: KubeApi, watch: Watch[LivePod], name: str = "witness") -> None:
    """Make sure that changes arrive."""
    watched(kubeapi)
    add_pod(kubeapi, name)
    eventually(lambda: name in names(watch))


# -- what is known


def test_what_there_is_is_listed_and_what_happens_is_seen(
    kubeapi: KubeApi, watches: Watches
) -> None:
    web = add_pod(kubeapi, "web")
    watch = watches.pods()
    assert watch.wait(PATIENCE)
    assert (watch.synced, names(watch)) == (True, ["web"])

    add_pod(kubeapi, "second")
    eventually(lambda: names(watch) == ["second", "web"])
    kubeapi.change(web, metadata={"annotations": {NETWORKS: "net"}})
    eventually(lambda: watch.items()[0].pod.annotations == {NETWORKS: "net"})
    kubeapi.delete(web)
    eventually(lambda: names(watch) == ["second"])

    assert watches.told == [("", "uid-web"), ("", "uid-second"), ("uid-web",) * 2, ("uid-web", "")]
    assert (len(kubeapi.asked(LIST)), len(kubeapi.asked(WATCH))) == (1, 1)


def test_only_pods_of_the_node_are_asked_for(kubeapi: KubeApi, watches: Watches) -> None:
    add_pod(kubeapi, "web")
    add_pod(kubeapi, "elsewhere", node="n2")
    watch = watches.pods()
    watched(kubeapi)
    add_pod(kubeapi, "late-elsewhere", node="n2")
    followed(kubeapi, watch)
    assert names(watch) == ["web", "witness"]
    assert watch.get(ObjectRef("default", "elsewhere")) is None


def test_definitions_of_all_namespaces_are_known(kubeapi: KubeApi, watches: Watches) -> None:
    for namespace in ("default", "infra"):
        kubeapi.add(
            "NetworkAttachmentDefinition", "net", namespace=namespace, spec={"config": "{}"}
        )
    watch = watches.networks()
    assert watch.wait(PATIENCE)
    assert watch.get(ObjectRef("infra", "net")) == NetworkDefinition(
        ObjectRef("infra", "net"), "{}"
    )
    assert len(watch.items()) == 2


def test_what_is_kept_of_a_pod_is_what_is_read_of_it(kubeapi: KubeApi, watches: Watches) -> None:
    path = add_pod(kubeapi, "web", **{NETWORKS: "net", "large": "x" * 10_000})
    kubeapi.change(path, spec={"hostNetwork": True}, status={"phase": "Succeeded"})
    kubeapi.change(path, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    watch = watches.pods()
    watch.wait(PATIENCE)
    live = watch.get(WEB)
    assert live == LivePod(
        pod=objects.Pod(WEB, "uid-web", {NETWORKS: "net"}),
        phase="Succeeded",
        host_network=True,
        deleting=True,
    )
    assert live.ended


def test_of_thousands_of_large_definitions_little_is_kept(
    kubeapi: KubeApi, watches: Watches
) -> None:
    for number in range(5000):
        kubeapi.add(
            "NetworkAttachmentDefinition",
            f"net-{number}",
            annotations={"large": "x" * 1000},
            spec={"config": "{}", "more": ["x" * 1000]},
        )
    watch = watches.networks()
    assert watch.wait(PATIENCE)
    assert len(watch.items()) == 5000
    for kept in watch.items():
        assert kept == NetworkDefinition(ObjectRef("default", kept.ref.name), "{}")
    assert limits(kubeapi) == ["", *["500"] * 10]


def test_an_object_of_no_use_is_left_out(kubeapi: KubeApi, watches: Watches) -> None:
    kubeapi.add("NetworkAttachmentDefinition", "odd", spec={"config": {}})
    path = kubeapi.add("NetworkAttachmentDefinition", "net", spec={"config": "{}"})
    watch = watches.networks()
    watch.wait(PATIENCE)
    assert [kept.ref.name for kept in watch.items()] == ["net"]
    watched(kubeapi)
    kubeapi.change(path, spec={"config": 7})
    eventually(lambda: watch.items() == [])


# -- going on


def test_a_lost_connection_is_resumed_without_a_list(kubeapi: KubeApi, watches: Watches) -> None:
    watch = watches.pods()
    followed(kubeapi, watch, "before")
    version = kubeapi.version
    kubeapi.interrupt(dropped=True)
    add_pod(kubeapi, "meanwhile")
    followed(kubeapi, watch, "after")
    assert names(watch) == ["after", "before", "meanwhile"]
    assert len(kubeapi.asked(LIST)) == 1
    assert kubeapi.requests[-1].query["resourceVersion"] == str(version)


def test_a_bookmark_moves_the_point_to_resume_from(kubeapi: KubeApi, watches: Watches) -> None:
    watch = watches.pods()
    followed(kubeapi, watch)
    add_pod(kubeapi, "elsewhere", node="n2")
    told = time.monotonic()
    kubeapi.bookmark()
    eventually(lambda: watch.age < time.monotonic() - told)
    kubeapi.interrupt(dropped=True)
    eventually(lambda: len(kubeapi.asked(WATCH)) == 2)
    assert kubeapi.requests[-1].query["resourceVersion"] == str(kubeapi.version)
    assert kubeapi.requests[-1].query["allowWatchBookmarks"] == "true"


def test_a_watch_that_the_server_ends_is_resumed(kubeapi: KubeApi, watches: Watches) -> None:
    watch = watches.pods(Pace(first_delay=0.02, last_delay=0.2, lifetime=0.1))
    eventually(lambda: len(kubeapi.asked(WATCH)) == 3)
    followed(kubeapi, watch)
    assert len(kubeapi.asked(LIST)) == 1
    assert {request.query.get("timeoutSeconds") for request in kubeapi.requests} == {None, "1"}


def test_a_watch_that_silently_stops_is_noticed(kubeapi: KubeApi, watches: Watches) -> None:
    watch = watches.pods(replace(FAST, quiet=0.5))
    followed(kubeapi, watch, "before")
    kubeapi.interrupt(silent=True)
    add_pod(kubeapi, "missed")
    eventually(lambda: names(watch) == ["before", "missed"])
    assert len(kubeapi.asked(LIST)) == 1


@pytest.mark.parametrize("told_in", ["the watch", "the answer"])
def test_after_forgotten_changes_everything_is_listed_again(
    kubeapi: KubeApi, watches: Watches, told_in: str
) -> None:
    gone = add_pod(kubeapi, "gone")
    replaced = add_pod(kubeapi, "replaced")
    watch = watches.pods()
    followed(kubeapi, watch)
    watches.told.clear()
    with kubeapi.lock:  # nothing of it is told
        kubeapi.delete(gone)
        kubeapi.change(replaced, metadata={"uid": "uid-new"})
        kubeapi.forget()
        kubeapi.interrupt(**({"expired": True} if told_in == "the watch" else {"dropped": True}))
    eventually(lambda: len(watches.told) == 2)
    assert set(watches.told) == {("uid-gone", ""), ("uid-replaced", "uid-new")}
    followed(kubeapi, watch, "after")
    assert len(kubeapi.asked(LIST)) == 2


class Noted(Pace):
    """A pace that knows how many failures in a row there were."""

    failures: ClassVar[list[int]] = []

    def delay(self, failures: int, *, at_least: float = 0.0) -> float:
        self.failures.append(failures)
        return 0.02


def test_a_server_that_forgets_all_the_time_is_listed_ever_more_rarely(
    kubeapi: KubeApi, watches: Watches
) -> None:
    kubeapi.fault("^WATCH", status=410, times=1000)
    Noted.failures.clear()
    watches.pods(Noted())
    eventually(lambda: len(kubeapi.asked(LIST)) == 5)
    assert Noted.failures[:5] == [0, 1, 2, 3, 4]


def test_lists_come_out_of_the_servers_memory(kubeapi: KubeApi, watches: Watches) -> None:
    watch = watches.pods()
    followed(kubeapi, watch)
    known = kubeapi.version
    kubeapi.forget()
    kubeapi.interrupt(expired=True)
    eventually(lambda: len(kubeapi.asked(LIST)) == 2)
    assert versions(kubeapi) == [("0", "NotOlderThan"), (str(known), "NotOlderThan")]


def test_what_the_server_has_forgotten_before_it_is_watched_is_read_anew(
    kubeapi: KubeApi, watches: Watches
) -> None:
    kubeapi.fault("^WATCH", status=410)
    followed(kubeapi, watches.pods())
    assert versions(kubeapi) == [("0", "NotOlderThan"), ("", "")]


def test_a_server_out_of_a_backup_is_believed(kubeapi: KubeApi, watches: Watches) -> None:
    add_pod(kubeapi, "web")
    watch = watches.pods()
    followed(kubeapi, watch)
    known = kubeapi.version
    with kubeapi.lock:
        kubeapi.delete("/api/v1/namespaces/default/pods/web")
        kubeapi.version = 1
        kubeapi.changes.clear()
        kubeapi.interrupt(expired=True)
    eventually(lambda: names(watch) == ["witness"])
    asked = ["0", str(known), "0"]
    assert versions(kubeapi) == [(version, "NotOlderThan") for version in asked]


def test_a_watch_lost_before_its_time_goes_on_at_a_time_of_its_own(
    kubeapi: KubeApi, watches: Watches
) -> None:
    Strayed.strayed.clear()
    watch = watches.pods(Strayed(first_delay=0.02, lifetime=0.1))
    eventually(lambda: len(kubeapi.asked(WATCH)) == 3)
    assert Strayed.strayed == []  # the server ended them as agreed
    kubeapi.closing.set()  # all watches end, in peace
    eventually(lambda: Strayed.strayed)
    kubeapi.closing.clear()
    followed(kubeapi, watch)


class Strayed(Pace):
    """A pace that knows how often chance was asked."""

    strayed: ClassVar[list[float]] = []

    def stray(self) -> float:
        self.strayed.append(super().stray())
        return 0.02


def test_the_spread_is_used_in_full() -> None:
    strays = [Pace(spread=5.0).stray() for _ in range(1000)]
    assert 0 <= min(strays) < 0.5
    assert 4.5 < max(strays) <= 5


def test_a_server_that_wants_to_be_left_alone_is_left_alone(
    kubeapi: KubeApi, watches: Watches
) -> None:
    kubeapi.fault("^LIST", status=429, retry_after=1)
    begun = time.monotonic()
    watches.pods().wait(PATIENCE)
    assert time.monotonic() - begun >= 1
    assert len(kubeapi.asked(LIST)) == 2


def test_delays_double_up_to_a_limit_and_vary() -> None:
    pace = Pace(first_delay=1.0, last_delay=10.0)
    assert pace.delay(0) == 0
    for failures, longest in [(1, 1.0), (2, 2.0), (4, 8.0), (5, 10.0), (10_000, 10.0)]:
        delays = {pace.delay(failures) for _ in range(20)}
        assert all(longest / 2 <= delay <= longest for delay in delays)
        assert len(delays) > 1


def test_a_list_comes_in_pages(kubeapi: KubeApi, watches: Watches) -> None:
    for number in range(7):
        add_pod(kubeapi, f"web-{number}")
    watch = watches.pods(Pace(page=3, whole=100))
    assert watch.wait(PATIENCE)
    assert len(watch.items()) == 7
    assert limits(kubeapi) == ["", "3", "3", "3"]
    kubeapi.forget()
    kubeapi.interrupt(expired=True)
    eventually(lambda: limits(kubeapi) == ["", *["3"] * 6])  # the size is known by now


def test_a_list_whose_rest_is_forgotten_begins_again(kubeapi: KubeApi, watches: Watches) -> None:
    for number in range(7):
        add_pod(kubeapi, f"web-{number}")
    kubeapi.fault("^LIST", delay=0, times=2)
    kubeapi.fault("^LIST", status=410)
    watch = watches.pods(Pace(page=3, whole=100, first_delay=0.02))
    assert watch.wait(PATIENCE)
    assert len(watch.items()) == 7
    assert limits(kubeapi) == ["", "3", "3", "3", "3", "3"]


def test_a_page_that_is_too_large_is_asked_for_in_smaller_ones(
    kubeapi: KubeApi, watches: Watches
) -> None:
    for number in range(20):
        config = "x" * 1024 * 1024
        kubeapi.add("NetworkAttachmentDefinition", f"net-{number}", spec={"config": config})
    watch = watches.networks()
    assert watch.wait(PATIENCE)
    assert len(watch.items()) == 20


def test_garbage_in_a_watch_costs_a_list(kubeapi: KubeApi, watches: Watches) -> None:
    kubeapi.fault("^WATCH", garbage=b'{"type":\n')
    watch = watches.pods()
    eventually(lambda: len(kubeapi.asked(LIST)) == 2)
    watched(kubeapi)
    followed(kubeapi, watch)


# -- what does not work


def test_a_server_that_was_away_is_followed_again(
    kubeapi: KubeApi, watches: Watches, caplog: pytest.LogCaptureFixture
) -> None:
    watch = watches.pods()
    followed(kubeapi, watch, "before")
    with caplog.at_level(logging.WARNING, logger="multus_py"), kubeapi.away():
        age = watch.age
        eventually(lambda: watch.age > age + 0.5)
        assert names(watch) == ["before"]
    followed(kubeapi, watch, "after")
    assert len(kubeapi.asked(LIST)) == 1
    assert len([r for r in caplog.records if r.name == "multus_py.adapters.watching"]) <= 1


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_a_storm_of_errors_is_outlived(kubeapi: KubeApi, watches: Watches, status: int) -> None:
    kubeapi.fault("^LIST", status=status, times=5)
    kubeapi.fault("^WATCH", status=status, times=5)
    watch = watches.pods()
    followed(kubeapi, watch)
    assert len(kubeapi.asked(LIST)) == 6


def test_a_credential_that_changes_is_read_again(
    kubeapi: KubeApi, watches: Watches, tmp_path: Path
) -> None:
    watch = watches.pods()
    followed(kubeapi, watch, "before")
    kubeapi.token = "the-second-token"
    (tmp_path / "token").write_text("the-second-token\n")
    kubeapi.interrupt(dropped=True)
    followed(kubeapi, watch, "after")
    assert len(kubeapi.asked(WATCH)) == 2
    assert len(kubeapi.asked(LIST)) == 1


def test_a_collection_that_does_not_exist_yet_is_waited_for(
    kubeapi: KubeApi, watches: Watches
) -> None:
    kubeapi.unknown.add("NetworkAttachmentDefinition")
    Noted.failures.clear()
    watch = watches.networks(Noted())
    assert watch.wait(PATIENCE)
    assert (watch.absent, watch.synced) == (True, False)
    eventually(lambda: Noted.failures[:4] == [0, 1, 2, 3])
    kubeapi.unknown.clear()
    eventually(lambda: watch.synced)
    assert not watch.absent


def test_a_collection_that_is_gone_leaves_nothing(kubeapi: KubeApi, watches: Watches) -> None:
    kubeapi.add("NetworkAttachmentDefinition", "net", spec={"config": "{}"})
    watch = watches.networks()
    watched(kubeapi)
    kubeapi.unknown.add("NetworkAttachmentDefinition")
    kubeapi.interrupt(dropped=True)
    eventually(lambda: watch.absent)
    assert watch.items() == []


def test_a_listener_that_breaks_does_not_end_the_watch(
    kubeapi: KubeApi, watches: Watches, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(was: LivePod | None, now: LivePod | None) -> None:
        if now and now.pod.ref == WEB:
            raise LookupError("a mistake")

    watch: Watch[LivePod] = Watch(
        watches.link, watching.PODS, trim=objects.live_pod, on_change=broken, pace=FAST
    )
    watch.start()
    watches.started.append(watch)
    watched(kubeapi)
    add_pod(kubeapi, "web")
    followed(kubeapi, watch)
    assert names(watch) == ["web", "witness"]
    assert "a mistake" in caplog.text


# -- the end


def test_stopping_interrupts_a_watch(kubeapi: KubeApi, watches: Watches) -> None:
    watch = watches.pods()
    followed(kubeapi, watch)
    watch.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "watch pods"]


def test_stopping_interrupts_a_pause(kubeapi: KubeApi, watches: Watches) -> None:
    kubeapi.fault("^LIST", status=500, times=1000)
    watch = watches.pods(Pace(first_delay=PATIENCE, last_delay=PATIENCE))
    eventually(lambda: kubeapi.asked(LIST))
    watch.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "watch pods"]


def test_what_never_began_can_be_stopped(watches: Watches) -> None:
    Watch(watches.link, watching.PODS, trim=objects.live_pod).stop()


def test_what_is_known_is_fresh_until_the_server_is_silent(
    kubeapi: KubeApi, watches: Watches
) -> None:
    watch = watches.pods(replace(FAST, quiet=0.5))
    eventually(lambda: watch.fresh)
    with kubeapi.away():
        eventually(lambda: not watch.fresh)
        assert watch.synced
    eventually(lambda: watch.fresh)


def test_events_on_one_line_or_many_reads_are_the_same(kubeapi: KubeApi, watches: Watches) -> None:
    events = [
        {
            "type": "ADDED",
            "object": {
                "metadata": {"name": name, "uid": name, "annotations": {NETWORKS: size * "n"}}
            },
        }
        for name, size in (("small", 1), ("large", 300_000), ("last", 1))
    ]
    kubeapi.fault(
        "^WATCH", garbage=b"".join(json.dumps(event).encode() + b"\n" for event in events)
    )
    watch = watches.pods()
    eventually(lambda: names(watch) == ["large", "last", "small"])
