"""What may be given up, and what never is: networks whose plugins may have done something.

A plugin that refuses DEL as it refused ADD holds up its pod for so many tries. One that may have
attached something does so for ever, whatever has happened since.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.core import add, mishaps, release
from multus_py.core.ports import PluginCall, PluginExit
from multus_py.models import record as record_model
from tests.core.test_add import a_node, failure
from tests.core.test_recall import cached, encoded, written_by_multus
from tests.fakes import Behaviour, Node, answering, chain, failing, single


def a_pod(networks: str = "one", **config: Any) -> Node:
    node = a_node(**config)
    node.pod(networks=networks)
    return node


def delete(node: Node, times: int = 1, **changes: Any) -> list[str]:
    """Release the pod's container so many times; return the errors."""
    errors = []
    for _ in range(times):
        try:
            release.delete(node.session("DEL", **changes))
        except CniError as error:
            errors.append(error.message())
    return errors


def begun(node: Node) -> list[int | None]:
    """Return what the record says of each network."""
    *_, raw = node.store.records_.values()
    return [entry["multusPy"]["begun"] for entry in json.loads(raw)]


def ending(command: str, ended: PluginExit | CniError) -> Behaviour:
    """Return a plugin that ends like this on one command, and refuses DEL in any case."""

    def behave(call: PluginCall) -> PluginExit:
        if call.environment["CNI_COMMAND"] == command:
            if isinstance(ended, CniError):
                raise ended
            return ended
        return failing("DEL", msg="device busy")(call)

    return behave


CALL = PluginCall(plugin="one", path=(), environment={}, stdin=b"", seconds=7.0)

REFUSALS = {
    "an error object": PluginExit(status=1, stdout=b'{"code": 100, "msg": "no parent"}'),
    "an error object without a code": PluginExit(status=1, stdout=b'{"msg": "no parent"}'),
    "try again later": PluginExit(status=1, stdout=b'{"code": 11, "msg": "not yet"}'),
    "no file that can be executed": mishaps.unexecutable("exec format error"),
    "a file that is not trusted": mishaps.untrusted("it belongs to somebody"),
    "ourselves": mishaps.recursion("it"),
}

MISHAPS = {
    "no answer in time": mishaps.late(CALL),
    "too much": mishaps.flood(),
    "a signal": PluginExit(status=-9),
    "a signal after an error object": PluginExit(status=-9, stdout=b'{"code": 7, "msg": "no"}'),
    "no word": PluginExit(status=1),
    "a crash": PluginExit(status=2, stderr=b"panic: nil map"),
    "an error that is none": PluginExit(status=1, stdout=b'{"code": "11", "msg": [1]}'),
    "garbage": PluginExit(status=0, stdout=b"garbage"),
    "nothing": PluginExit(status=0),
    "something else": CniError(Code.IO_FAILURE, "the pipe broke"),
}


@pytest.mark.parametrize("ended", REFUSALS.values(), ids=REFUSALS)
def test_a_network_that_refused_add_does_not_hold_up_its_pod_for_ever(
    ended: PluginExit | CniError,
) -> None:
    node = a_pod()
    node.host.plugins["one"] = ending("ADD", ended)
    failure(node.session())

    assert begun(node) == [0, 0]
    assert len(delete(node, 4)) == 4
    assert delete(node) == []
    assert node.store.records_ == {}


@pytest.mark.parametrize("ended", MISHAPS.values(), ids=MISHAPS)
def test_a_network_of_whose_add_nobody_knows_the_outcome_is_never_given_up(
    ended: PluginExit | CniError,
) -> None:
    node = a_pod()
    node.host.plugins["one"] = ending("ADD", ended)
    failure(node.session())

    assert begun(node) == [0, 1]
    assert len(delete(node, 10)) == 10
    assert len(node.store.records_) == 1


@pytest.mark.parametrize("ended", MISHAPS.values(), ids=MISHAPS)
def test_what_was_undone_all_the_same_is_released(ended: PluginExit | CniError) -> None:
    node = a_pod()

    def once(call: PluginCall) -> PluginExit:
        if call.environment["CNI_COMMAND"] == "DEL":
            return PluginExit(status=0)
        return ending("ADD", ended)(call)

    node.host.plugins["one"] = once
    failure(node.session())

    assert begun(node) == [0, 0]


def test_a_killed_add_leaves_everything_to_be_released() -> None:
    node = a_pod()
    add.add(node.session())
    node.store.results_.clear()  # killed after the plugins' ADD, before anything was cached
    node.host.plugins["one"] = failing("DEL", msg="device busy")

    assert len(delete(node, 10)) == 10

    assert begun(node) == [0, None]


def test_a_plugin_that_is_not_installed_any_more_holds_up_what_it_may_have_attached() -> None:
    node = a_pod()
    add.add(node.session())
    node.store.results_.clear()
    working = node.host.plugins.pop("one")

    assert all("failed to find plugin one" in message for message in delete(node, 10))
    node.host.plugins["one"] = working

    assert delete(node) == []
    assert node.store.records_ == {}


def test_a_network_that_was_never_reached_needs_no_plugin() -> None:
    node = a_pod("one,two")
    node.host.plugins["one"] = failing("ADD")
    failure(node.session())
    del node.host.plugins["two"]

    assert delete(node) == []
    assert node.store.records_ == {}


def test_a_plugin_that_cannot_be_started_in_time_has_done_nothing() -> None:
    node = a_pod()

    def slow(call: PluginCall) -> PluginExit:
        node.now += 80
        return answering()(call)

    node.host.plugins["main"] = slow
    node.host.plugins["one"] = failing("DEL")

    assert failure(node.session()).code == Code.TRY_AGAIN_LATER
    assert begun(node) == [0, 0]


def test_what_has_confirmed_one_del_does_not_hold_up_the_next() -> None:
    node = a_pod("one,two")
    add.add(node.session())
    node.host.plugins["two"] = failing("DEL")
    delete(node)
    del node.host.plugins["one"]
    node.host.plugins["two"] = answering()

    assert delete(node) == []
    assert node.store.records_ == {}


# -- chains


def a_chain(second: Behaviour, first: Behaviour | None = None) -> Node:
    node = a_pod("pair")
    node.network("default/pair", chain("pair", "one", "two"))
    node.host.plugins |= {"one": first or answering(), "two": second}
    return node


def test_of_a_chain_the_plugins_that_succeeded_are_never_given_up() -> None:
    node = a_chain(failing("ADD", "DEL"), failing("DEL", msg="device busy"))
    failure(node.session())

    assert begun(node) == [0, 1]
    assert len(delete(node, 10)) == 10


def test_of_a_chain_the_one_that_refused_is_given_up() -> None:
    node = a_chain(failing("ADD", "DEL"))
    failure(node.session())

    assert begun(node) == [0, 0]
    assert len(delete(node, 4)) == 4
    assert delete(node) == []


def test_of_a_chain_the_one_that_is_not_installed_is_no_reason_to_keep_the_pod() -> None:
    node = a_chain(failing("ADD"), failing("DEL"))
    del node.host.plugins["two"]
    failure(node.session())
    assert begun(node) == [0, 1]

    delete(node)
    node.host.plugins["one"] = answering()

    assert delete(node) == []


# -- try again later


def test_an_answer_to_try_again_later_is_no_refusal() -> None:
    node = a_pod()
    node.host.plugins["one"] = failing("ADD", "DEL", code=11, msg="the agent is starting")
    failure(node.session())

    assert len(delete(node, 20)) == 20

    node.host.plugins["one"] = failing("DEL", msg="no")
    assert len(delete(node, 4)) == 4
    assert delete(node) == []


def test_it_is_none_in_a_chain_either() -> None:
    node = a_chain(failing("DEL", code=11), failing("ADD", "DEL", code=7))
    failure(node.session())

    assert len(delete(node, 10)) == 10


def test_while_one_network_asks_for_it_nothing_else_is_given_up() -> None:
    node = a_pod("one,two")
    node.host.plugins["one"] = failing("ADD", "DEL", code=11)
    node.host.plugins["two"] = failing("DEL")
    failure(node.session())

    assert len(delete(node, 10)) == 10


def test_it_is_none_from_a_network_that_has_refused_often_enough_either() -> None:
    node = a_pod("one,two")
    node.host.plugins["two"] = failing("ADD", "DEL")
    node.host.plugins["one"] = failing("DEL")
    failure(node.session())
    assert len(delete(node, 9)) == 9

    node.host.plugins |= {"one": answering(), "two": failing("DEL", code=11, msg="not yet")}
    assert "not yet" in delete(node)[0]
    node.host.plugins["two"] = failing("DEL")

    assert delete(node) == []


# -- other records


def test_of_a_record_of_multus_the_cache_tells_what_was_attached() -> None:
    node = a_pod()
    attached, never = single("one", "attached"), single("two", "never")
    node.store.records_["ctr", ""] = written_by_multus(
        {"Bytes": encoded(single("main", "primary"))},
        {"Bytes": encoded(attached)},
        {"Bytes": encoded(never)},
    )
    node.store.results_["attached", "ctr", "net1"] = cached(attached, "net1")
    node.host.plugins |= {"one": failing("DEL"), "two": failing("DEL")}

    delete(node)
    assert begun(node) == [0, None, 0]
    delete(node, 9)
    node.host.plugins["one"] = answering()

    assert delete(node) == []


def test_a_record_keeps_what_it_says_of_each_network() -> None:
    node = a_pod()
    node.host.plugins["one"] = ending("ADD", mishaps.flood())
    failure(node.session())
    delete(node)

    (record,) = node.store.records()

    assert [delegate.begun for delegate in record.delegates] == [0, 1]
    assert (record.attempts, record.refusals) == (1, 0)
    assert record_model.decode(record_model.encode(record), record.attachment) == record


def test_a_broken_number_is_a_broken_record() -> None:
    node = a_pod()
    add.add(node.session())
    ((key, raw),) = node.store.records_.items()
    node.store.records_[key] = raw.replace(b'"begun":null', b'"begun":-1')

    with pytest.raises(CniError) as caught:
        node.store.read_record(node.session().request.attachment)

    assert caught.value.code == Code.DECODING_FAILURE


# -- what cannot be run at all


@pytest.mark.parametrize("name", ["../../x", "bad name", ""])
def test_a_recorded_network_that_cannot_be_run_was_never_run_and_is_released(name: str) -> None:
    node = a_pod()
    add.add(node.session())
    node.store.results_.clear()
    ((key, raw),) = node.store.records_.items()
    entries = json.loads(raw)
    entries[1]["Bytes"] = encoded(single("one", name))
    node.store.records_[key] = json.dumps(entries).encode()
    node.host.calls.clear()

    assert delete(node) == []

    assert node.host.talk == ["DEL main eth0"]
    assert node.store.records_ == {}


def test_one_that_has_a_result_was_run_by_somebody_and_is_released_by_its_plugin() -> None:
    node = a_pod()
    config = single("one", "odd name")
    node.store.records_["ctr", ""] = written_by_multus({"Bytes": encoded(config)})
    node.store.results_["odd name", "ctr", "eth0"] = cached(config, "eth0")

    assert delete(node) == []

    assert node.host.talk == ["DEL one eth0"]


def test_a_disk_that_is_full_when_an_add_is_undone_loses_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    node = a_pod()

    def fill(call: PluginCall) -> PluginExit:
        node.store.full = True
        return failing("ADD", msg="no parent")(call)

    node.host.plugins["one"] = fill

    error = failure(node.session())

    assert "no parent" in error.message()
    assert "not undone" not in error.message()
    assert "says less than is known" in caplog.text
    assert begun(node) == [None, None]


def test_a_missing_plugin_is_an_error_of_its_kind() -> None:
    assert isinstance(mishaps.missing(CALL), NotFoundError)
    assert mishaps.missing(CALL).code in mishaps.NOT_STARTED
