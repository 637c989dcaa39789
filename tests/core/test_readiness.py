"""STATUS, and waiting for the default network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.core import add, readiness, release
from tests.core.test_add import a_node
from tests.fakes import Node, chain, failing, single

if TYPE_CHECKING:
    from multus_py.core.session import Session

INDICATOR = "/run/default-network-is-ready"
CURRENT = {"cniVersion": "1.1.0"}


def asked(node: Node, **changes: Any) -> Session:
    return node.session("STATUS", container_id="", ifname="", netns="", args="", **changes)


def test_add_waits_for_the_indicator() -> None:
    node = a_node(readinessindicatorfile=INDICATOR)
    node.host.files.add(INDICATOR)
    node.pod()

    add.add(node.session())

    assert node.host.waited == [(INDICATOR, 45.0)]
    assert node.host.talk == ["ADD main eth0"]


def test_add_gives_up_with_a_code_that_the_runtime_repeats() -> None:
    node = a_node(readinessindicatorfile=INDICATOR)
    node.pod()

    with pytest.raises(CniError, match=INDICATOR) as caught:
        add.add(node.session())

    assert caught.value.code == Code.TRY_AGAIN_LATER
    assert node.host.calls == []


def test_waiting_leaves_time_for_the_rest_of_the_request() -> None:
    node = a_node(readinessindicatorfile=INDICATOR)
    node.pod()

    with pytest.raises(CniError):
        add.add(node.session(seconds=20))

    assert node.host.waited == [(INDICATOR, 15.0)]


def test_del_does_not_wait() -> None:
    node = a_node(readinessindicatorfile=INDICATOR)
    node.pod()

    release.delete(node.session("DEL"))

    assert node.host.waited == []
    assert node.host.talk == ["DEL main eth0"]


def test_status_asks_every_plugin_of_the_primary_network_and_no_other() -> None:
    node = a_node(delegates=[chain("primary", "main", "one") | CURRENT, single("two", "second")])

    readiness.status(asked(node))

    assert node.host.talk == ["STATUS main", "STATUS one"]
    assert node.host.stdin(0) == {"cniVersion": "1.1.0", "name": "primary", "type": "main"}
    assert node.host.calls[0].environment["CNI_ARGS"] == ""


@pytest.mark.parametrize("code", [50, 51, 123])
def test_a_plugins_own_code_and_words_come_through(code: int) -> None:
    node = a_node(delegates=[single("main", "primary") | CURRENT])
    node.host.plugins["main"] = failing("STATUS", code=code, msg="gateway unreachable")

    with pytest.raises(CniError, match="gateway unreachable") as caught:
        readiness.status(asked(node))

    assert caught.value.code == code


def test_a_network_before_110_is_not_asked() -> None:
    node = a_node(delegates=[single("main", "primary")])

    readiness.status(asked(node))

    assert node.host.calls == []


def test_status_waits_as_well() -> None:
    node = a_node(delegates=[single("main", "primary") | CURRENT], readinessindicatorfile=INDICATOR)

    with pytest.raises(CniError, match=INDICATOR):
        readiness.status(asked(node))


def test_status_finds_a_cluster_network_in_a_file() -> None:
    node = a_node(delegates=None, clusterNetwork="filed")
    config = b'{"cniVersion": "1.1.0", "name": "filed", "type": "one"}'
    node.store.configs["/etc/cni/multus/net.d/x.conf"] = config

    readiness.status(asked(node))

    assert node.host.talk == ["STATUS one"]


def test_status_names_a_cluster_network_that_is_nowhere() -> None:
    node = a_node(delegates=None, clusterNetwork="ghost")

    with pytest.raises(CniError, match="ghost"):
        readiness.status(asked(node))


def test_a_configuration_that_leaves_everything_to_pods_is_ready() -> None:
    node = a_node(delegates=None, kubeconfig="/etc/kubernetes/node.yaml")

    readiness.status(asked(node))

    assert node.host.calls == []
