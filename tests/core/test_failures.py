"""Every call of every port fails in turn; the node is the same after it as before.

Nothing here knows in which order the core calls its ports. A first run counts the calls; then one
run for each of them lets just that call fail.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.core import add, collect, release
from multus_py.core.session import Session
from tests.core.test_add import a_node
from tests.fakes import Node, answering, single

if TYPE_CHECKING:
    from multus_py.core.ports import PluginCall, PluginExit

ELEMENTS = """[
    {"name": "one", "default-route": ["10.1.0.1"]},
    {"name": "two", "interface": "data0", "mac": "02:00:00:00:00:07"}
]"""


@dataclass
class Fault:
    """Lets the call with a certain number fail; 0 only counts."""

    at: int
    calls: list[str] = field(default_factory=list)

    def in_front_of(self, port: Any) -> Any:
        return _Faulty(port, self)


class _Faulty:
    def __init__(self, port: Any, fault: Fault) -> None:
        self._port = port
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._fault.calls.append(name)
            if len(self._fault.calls) == self._fault.at:
                raise CniError(Code.IO_FAILURE, f"{name} fails")
            return method(*args, **kwargs)

        return call


def a_book_keeping_node() -> tuple[Node, set[str]]:
    """Return a node with a pod, and the set of what its plugins have attached."""
    books: set[str] = set()

    def keep(call: PluginCall) -> PluginExit:
        entry = f"{call.plugin} {call.environment['CNI_IFNAME']}"
        if call.environment["CNI_COMMAND"] == "ADD":
            books.add(entry)
        elif call.environment["CNI_COMMAND"] == "DEL":
            books.discard(entry)
        return answering(ips=[{"address": "10.1.0.2/24", "interface": 0}])(call)

    node = a_node(delegates=[single("main", "primary") | {"cniVersion": "1.1.0"}])
    node.host.plugins = dict.fromkeys(("main", "one", "two"), keep)
    assert node.cluster is not None
    node.cluster.allocated = {"vendor.com/nic": ["dev0"]}
    node.network("default/two", single("two"), resource="vendor.com/nic")
    node.pod(networks=ELEMENTS)
    return node, books


def with_fault(session: Session, fault: Fault) -> Session:
    return Session(
        request=session.request,
        config=session.config,
        arguments=session.arguments,
        host=fault.in_front_of(session.host),
        cluster=fault.in_front_of(session.cluster),
        store=fault.in_front_of(session.store),
        budget=session.budget,
    )


def calls_of(command: str) -> list[str]:
    """Return the calls that a request makes when nothing fails."""
    node, _ = a_book_keeping_node()
    fault = Fault(0)
    if command == "ADD":
        add.add(with_fault(node.session(), fault))
        return fault.calls
    add.add(node.session())
    if command == "DEL":
        release.delete(with_fault(node.session("DEL"), fault))
    else:
        collect.collect(with_fault(gc(node), fault))
    return fault.calls


def gc(node: Node) -> Session:
    valid: dict[str, Any] = {"cni.dev/valid-attachments": []}
    return node.session("GC", container_id="", ifname="", netns="", args="", **valid)


def numbered(command: str) -> list[Any]:
    names = enumerate(calls_of(command), 1)
    return [pytest.param(number, id=f"{number}-{name}") for number, name in names]


@pytest.mark.parametrize("number", numbered("ADD"))
def test_whatever_fails_in_add_nothing_stays_attached(number: int) -> None:
    node, books = a_book_keeping_node()
    fault = Fault(number)

    with pytest.raises(CniError, match=f"{calls_of('ADD')[number - 1]} fails"):
        add.add(with_fault(node.session(), fault))

    assert books == set()
    assert node.store.results_ == {}
    release.delete(node.session("DEL"))
    assert (node.store.records_, node.store.device_infos) == ({}, {})


@pytest.mark.parametrize("number", numbered("DEL"))
def test_whatever_fails_in_del_the_next_one_finishes_it(number: int) -> None:
    node, books = a_book_keeping_node()
    add.add(node.session())

    with pytest.raises(CniError):
        release.delete(with_fault(node.session("DEL"), Fault(number)))

    release.delete(node.session("DEL"))
    assert books == set()
    assert (node.store.records_, node.store.results_) == ({}, {})


@pytest.mark.parametrize("number", numbered("GC"))
def test_whatever_fails_in_gc_the_next_one_finishes_it(number: int) -> None:
    node, books = a_book_keeping_node()
    add.add(node.session())

    with pytest.raises(CniError):
        collect.collect(with_fault(gc(node), Fault(number)))

    collect.collect(gc(node))
    assert books == set()
    assert (node.store.records_, node.store.results_) == ({}, {})
