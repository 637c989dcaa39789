"""Releases that go on after the runtime was told that they are done."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.core import add, collect, release
from multus_py.models.objects import ObjectRef
from multus_py.wire import LostError
from tests.core.test_add import a_node
from tests.core.test_collect import gc
from tests.core.test_failures import Fault, a_book_keeping_node
from tests.fakes import NETNS, FakeStore, Node, answering, failing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from multus_py.core.ports import PluginCall, PluginExit
    from multus_py.core.session import Session
    from multus_py.models.delegate import Record


def lost(call: PluginCall) -> PluginExit:
    """Play a plugin in the midst of which the connection to the host is lost."""
    raise LostError("connection closed")


def kept(session: Session) -> Session:
    """Return the session as the daemon makes it."""
    return replace(session, keeps_pending=True)


def delete(node: Node, times: int = 1, **changes: Any) -> None:
    """Release the pod's container so many times, whatever comes of it."""
    for _ in range(times):
        try:
            release.delete(kept(node.session("DEL", **changes)))
        except CniError:
            continue


def a_failing_node(networks: str = "one,two", fails: str = "two") -> Node:
    """Return a node with a pod, one of whose networks refuses to be released."""
    node = a_node()
    node.pod(networks=networks)
    add.add(node.session())
    node.host.calls.clear()
    node.host.plugins[fails] = failing("DEL", msg="switch away")
    return node


def a_pending_node(networks: str = "one,two", fails: str = "two") -> Node:
    node = a_failing_node(networks, fails)
    delete(node, 5)
    node.host.calls.clear()
    return node


def the_record(node: Node) -> Record:
    (record,) = node.store.records()
    return record


def test_before_it_was_tried_often_enough_a_failed_release_is_an_error() -> None:
    node = a_failing_node()

    for _ in range(4):
        with pytest.raises(CniError, match="switch away"):
            release.delete(kept(node.session("DEL")))

    record = the_record(node)
    assert (record.attempts, record.pending, len(record.delegates)) == (4, False, 3)


def test_then_the_runtime_is_let_go_and_what_did_not_confirm_is_kept() -> None:
    node = a_failing_node()
    delete(node, 4)

    release.delete(kept(node.session("DEL")))

    record = the_record(node)
    assert (record.attempts, record.pending, record.netns) == (5, True, NETNS)
    assert [delegate.ifname for delegate in record.delegates] == ["net2"]
    assert list(node.store.results_) == [("two", "ctr", "net2")]


def test_how_often_is_the_configurations_matter() -> None:
    node = a_failing_node()

    release.delete(kept(node.session("DEL", releaseAttempts=1)))

    assert the_record(node).pending


class Crowded(FakeStore):
    """A disk whose lock is had by the last who asks for it, and by the first at the end."""

    waiting: int = 0
    node: Node

    @contextmanager
    def lock(self, container_id: str, seconds: float) -> Iterator[None]:
        if self.waiting:
            self.waiting -= 1
            delete(self.node)
        with super().lock(container_id, seconds):
            yield


@pytest.mark.parametrize("attached", [True, False])
def test_those_who_ask_at_one_moment_are_one_try(*, attached: bool) -> None:
    node = a_failing_node()
    if not attached:
        record = the_record(node)
        never = tuple(replace(delegate, begun=0) for delegate in record.delegates)
        node.store.write_record(replace(record, delegates=never))
        node.store.results_.clear()
    node.store = store = Crowded(node.store.records_, node.store.results_)
    store.node, store.waiting = node, 9

    with pytest.raises(CniError, match="switch away"):
        release.delete(kept(node.session("DEL")))

    record = the_record(node)
    assert (record.attempts, record.pending) == (1, False)
    assert record.refusals == (not attached)
    assert node.host.talk.count("DEL two net2") == 10
    delete(node)
    assert the_record(node).attempts == 2


def test_without_somebody_who_goes_on_it_remains_an_error() -> None:
    node = a_failing_node()

    for _ in range(8):
        with pytest.raises(CniError):
            release.delete(node.session("DEL"))

    record = the_record(node)
    assert (record.attempts, record.pending, len(record.delegates)) == (8, False, 3)


def test_it_is_told_once_on_the_pod_while_that_exists() -> None:
    node = a_pending_node()
    delete(node)
    assert node.cluster is not None

    told = [event for event in node.cluster.events if event.type == "Warning"]
    assert [event.reason for event in told] == ["ReleasePending"]
    assert "default/two" in told[0].message
    assert "switch away" in told[0].message


def test_a_pod_that_is_gone_is_told_nothing() -> None:
    node = a_failing_node()
    assert node.cluster is not None
    del node.cluster.pods[ObjectRef("default", "web")]

    delete(node, 5)

    assert the_record(node).pending
    assert [event.reason for event in node.cluster.events if event.type == "Warning"] == []


def test_multus_would_find_the_interface_of_what_is_left() -> None:
    node = a_pending_node()

    ((_, raw),) = node.store.records_.items()
    (entry,) = json.loads(raw)

    assert entry["ifnameRequest"] == "net2"


def test_a_later_del_runs_what_is_left_alone_and_ends_it() -> None:
    node = a_pending_node()
    node.host.plugins["two"] = answering()

    release.delete(kept(node.session("DEL")))

    assert node.host.talk == ["DEL two net2"]
    assert "prevResult" in node.host.stdin(0)
    assert (node.store.records_, node.store.results_) == ({}, {})


def test_a_later_del_that_fails_is_a_success_for_the_runtime_still() -> None:
    node = a_pending_node()

    release.delete(kept(node.session("DEL")))

    assert (the_record(node).attempts, the_record(node).pending) == (6, True)


def test_a_later_del_without_a_daemon_says_what_fails_and_leaves_it_pending() -> None:
    node = a_pending_node()

    with pytest.raises(CniError, match="switch away"):
        release.delete(node.session("DEL"))

    assert the_record(node).pending


def test_what_has_confirmed_meanwhile_leaves_the_record() -> None:
    node = a_failing_node()
    node.host.plugins["one"] = failing("DEL")
    delete(node, 5)
    assert [delegate.ifname for delegate in the_record(node).delegates] == ["net1", "net2"]
    node.host.plugins["one"] = answering()

    delete(node)

    assert [delegate.ifname for delegate in the_record(node).delegates] == ["net2"]


def test_what_is_pending_was_attached_even_if_its_result_is_lost() -> None:
    node = a_pending_node()
    node.store.results_.clear()

    delete(node, 20)

    assert [delegate.ifname for delegate in the_record(node).delegates] == ["net2"]


def test_what_was_never_attached_is_given_up_and_the_rest_is_kept() -> None:
    node = a_node()
    node.host.plugins["two"] = failing("ADD", "DEL", msg="no parent")
    node.host.plugins["one"] = failing("DEL", msg="switch away")
    node.pod(networks="one,two")
    with pytest.raises(CniError):
        add.add(node.session())

    delete(node, 5)

    assert [delegate.ifname for delegate in the_record(node).delegates] == ["net1"]


def test_gc_works_on_a_pending_release_too() -> None:
    node = a_pending_node()
    node.host.plugins["two"] = answering()

    collect.collect(kept(gc(node)))

    assert node.host.talk == ["DEL two net2"]
    assert (node.store.records_, node.store.results_) == ({}, {})


def test_gc_makes_a_release_pending_too_and_answers_success() -> None:
    node = a_failing_node()
    delete(node, 4)

    collect.collect(kept(gc(node)))

    assert the_record(node).pending


def test_an_attachment_made_anew_finishes_the_release_of_the_old_one_first() -> None:
    node = a_pending_node()
    node.host.plugins["two"] = answering()
    node.host.files.add(NETNS)

    add.add(node.session())

    assert node.host.talk == ["DEL two net2", "ADD main eth0", "ADD one net1", "ADD two net2"]
    assert node.host.calls[0].environment["CNI_NETNS"] == NETNS
    assert (the_record(node).pending, the_record(node).attempts) == (False, 0)


def test_an_attachment_that_cannot_be_released_is_not_forgotten_for_a_new_one() -> None:
    node = a_pending_node()

    with pytest.raises(CniError, match=r"earlier attachment.*switch away"):
        add.add(node.session())

    assert node.host.talk == ["DEL two net2"]
    assert the_record(node).pending


@pytest.mark.parametrize(
    ("netns", "there", "passed"),
    [(NETNS, True, NETNS), (NETNS, False, ""), ("/proc/77/ns/net", True, ""), ("", False, "")],
)
def test_a_late_del_names_a_namespace_only_if_it_is_surely_still_the_same(
    netns: str, *, there: bool, passed: str
) -> None:
    node = a_node()
    if there:
        node.host.files.add(netns)

    assert release.netns_left(node.host, netns) == passed


# -- the connection to the host is lost in the midst


@pytest.mark.parametrize("lost_at", ["main", "one", "two"])
def test_nothing_is_counted_and_nothing_changed_if_the_host_is_lost(lost_at: str) -> None:
    node = a_failing_node(fails="three")
    node.host.plugins[lost_at] = lost
    before = dict(node.store.records_)

    with pytest.raises(LostError):
        release.delete(kept(node.session("DEL")))

    assert node.store.records_ == before
    assert node.host.talk[-1].split()[1] == lost_at
    node.host.plugins[lost_at] = answering()
    release.delete(kept(node.session("DEL")))
    assert (node.store.records_, node.store.results_) == ({}, {})


def test_a_host_that_is_lost_again_and_again_never_ends_a_release() -> None:
    node = a_failing_node(fails="three")
    node.host.plugins["two"] = lost

    for _ in range(20):
        with pytest.raises(LostError):
            release.delete(kept(node.session("DEL")))

    assert (the_record(node).attempts, the_record(node).pending) == (0, False)


def test_gc_counts_nothing_either() -> None:
    node = a_failing_node(fails="three")
    node.host.plugins["two"] = lost
    before = dict(node.store.records_)

    with pytest.raises(LostError):
        collect.collect(kept(gc(node)))

    assert node.store.records_ == before


class _Lossy:
    def __init__(self, host: Any, fault: Fault) -> None:
        self._host = host
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._host, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._fault.calls.append(name)
            if len(self._fault.calls) >= self._fault.at:
                raise LostError("connection closed")
            return method(*args, **kwargs)

        return call


def with_lossy_host(session: Session, at: int) -> Session:
    return replace(session, host=_Lossy(session.host, Fault(at)), keeps_pending=True)


def host_calls(command: str) -> range:
    """Return numbers for the calls of the host that a request makes."""
    node, _ = a_book_keeping_node()
    counter = Fault(10_000)
    if command == "DEL":
        add.add(node.session())
        release.delete(replace(node.session("DEL"), host=_Lossy(node.host, counter)))
    else:
        add.add(replace(node.session(), host=_Lossy(node.host, counter)))
    return range(1, len(counter.calls) + 1)


@pytest.mark.parametrize("number", host_calls("ADD"))
def test_whenever_the_host_is_lost_in_add_del_finds_everything(number: int) -> None:
    node, books = a_book_keeping_node()

    with pytest.raises(LostError):
        add.add(with_lossy_host(node.session(), number))

    release.delete(kept(node.session("DEL")))
    assert books == set()
    assert (node.store.records_, node.store.results_) == ({}, {})


@pytest.mark.parametrize("number", host_calls("DEL"))
def test_whenever_the_host_is_lost_in_del_the_next_one_finishes_it(number: int) -> None:
    node, books = a_book_keeping_node()
    add.add(node.session())

    with pytest.raises(LostError):
        release.delete(with_lossy_host(node.session("DEL"), number))

    assert the_record(node).attempts == 0
    release.delete(kept(node.session("DEL")))
    assert books == set()
    assert (node.store.records_, node.store.results_) == ({}, {})


def test_a_disk_that_fails_while_a_release_is_made_pending_is_an_error_and_nothing_is_lost() -> (
    None
):
    node = a_failing_node()
    delete(node, 4)
    before = dict(node.store.records_)
    node.store.full = True

    with pytest.raises(CniError) as caught:
        release.delete(kept(node.session("DEL")))

    assert caught.value.code == Code.IO_FAILURE
    assert node.store.records_ == before
