"""What the daemon's configuration asks of the keeper, and what the keeper's words become."""

from __future__ import annotations

import json
from typing import Any

from multus_py.core.nodeconfig import Wanted
from multus_py.core.ports import Event
from multus_py.daemon import keeping
from multus_py.daemon.keeping import Witness
from multus_py.daemon.metrics import Metrics
from multus_py.models import settings
from multus_py.node.task import BIN_DIR, State, Task


def task(**keys: Any) -> Task | None:
    return keeping.task(*settings.parse(json.dumps(keys)))


def wanted(**keys: Any) -> Wanted:
    made = task(**keys)
    assert made
    return made.wanted


def test_without_a_word_the_first_configuration_of_the_node_is_followed() -> None:
    assert task() == Task(
        directory="/etc/cni/net.d",
        primaries="/etc/cni/net.d",
        wanted=Wanted(),
        bin_dir=BIN_DIR,
        leaving="/run/multus-py/leaving",
    )


def test_the_keys_of_multus_say_what_is_kept() -> None:
    assert task(
        multusConfigFile="auto",
        cniConfigDir="/c",
        multusAutoconfigDir="/p",
        multusMasterCNI="10-a.conf",
        readinessindicatorfile="/r",
        socketDir="/s",
        BinDir="/b",
        cniVersion="0.4.0",
        forceCNIVersion=True,
        overrideNetworkName=True,
    ) == Task(
        directory="/c",
        primaries="/p",
        named="10-a.conf",
        readiness_file="/r",
        leaving="/s/leaving",
        bin_dir="/b",
        wanted=Wanted(
            cni_version="0.4.0",
            force_cni_version=True,
            override_network_name=True,
            settings={"readinessindicatorfile": "/r", "BinDir": "/b"},
        ),
    )


def test_a_file_may_be_given_or_none() -> None:
    made = task(multusConfigFile="/etc/mine.conf")
    assert made
    assert made.copied == "/etc/mine.conf"
    assert task(multusConfigFile="") is None


def test_the_plugin_gets_the_keys_that_hold_for_every_request() -> None:
    keys = {"confDir": "/x", "capabilities": {"mac": True}, "namespaceIsolation": True}
    assert wanted(**keys, metricsPort=1, type="x", name="x").settings == keys


def test_the_plugin_logs_as_the_daemon_does_if_that_is_written() -> None:
    keys = {"logFile": "/l", "logLevel": "debug", "logToStderr": False}
    assert wanted(**keys).settings == keys
    assert wanted(logOptions={"maxAge": 9}).settings["logOptions"]["maxAge"] == 9
    assert wanted().settings == {}


def test_a_directory_of_plugins_that_is_none_is_not_looked_at() -> None:
    made = task(binDir=7)
    assert made
    assert made.bin_dir == BIN_DIR


# -- what is told


def test_states_writes_and_rivals_can_be_measured() -> None:
    metrics, events = Metrics(), list[Event]()
    witness = Witness(metrics, events.append)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"multus_py_configuration{name}", labels)

    assert {state: value("", state=state) for state in State} == dict.fromkeys(State, 0) | {
        State.WAITING: 1
    }
    witness.entered(State.KEPT)
    assert (value("", state="kept"), value("", state="waiting")) == (1, 0)
    witness.wrote("/c/00-multus.conf", "first")
    assert value("_writes_total", reason="first") == 1
    witness.contested("/c/00-multus.conf", "x.cilium_bak")
    assert value("_contested", file="x.cilium_bak") == 1
    [event] = events
    assert (event.type, event.reason) == ("Warning", "ConfigurationContested")
    assert "takes /c/00-multus.conf away" in event.message
    assert "there is x.cilium_bak instead" in event.message
    witness.contested("/c/00-multus.conf", "")
    assert value("_contested", file="x.cilium_bak") is None
    assert len(events) == 1


def test_a_name_that_is_no_text_can_be_told() -> None:
    metrics, events = Metrics(), list[Event]()
    Witness(metrics, events.append).contested("/c/x", "\udcff.conf")
    assert "\\udcff.conf" in events[0].message
