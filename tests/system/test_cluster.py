"""The whole plugin with an API server over TLS that fails as API servers do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.processes import eventually
from tests.system.runtime import Runtime, network

if TYPE_CHECKING:
    from tests.kubeapi import KubeApi
    from tests.nodes import Netns

STATUS = "k8s.v1.cni.cncf.io/network-status"
POD = "/api/v1/namespaces/default/pods/web"
NETWORKS = "/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions"
CALLS = [f"GET {POD}", f"GET {NETWORKS}/one", f"GET {NETWORKS}/two", f"PATCH {POD}/status"]
"""What an ADD asks, beside events."""


@pytest.fixture
def runtime(tmp_path: Path, netns: Netns, kubeapi: KubeApi) -> Runtime:
    """Return a node of a cluster in which a pod asks for two networks."""
    kubeapi.add("Pod", "web", uid="uid-web", annotations={"k8s.v1.cni.cncf.io/networks": "one,two"})
    for name in ("one", "two"):
        config = json.dumps(network(name))
        kubeapi.add("NetworkAttachmentDefinition", name, spec={"config": config})
    runtime = Runtime(tmp_path, netns.path)
    runtime.install("main", "one", "two")
    runtime.config = {
        "delegates": [network("main", "primary")],
        "kubeconfig": str(kubeapi.kubeconfig(tmp_path)),
    }
    return runtime


def status(kubeapi: KubeApi) -> Any:
    text = kubeapi.objects[POD]["metadata"]["annotations"].get(STATUS)
    return None if text is None else json.loads(text)


def released(runtime: Runtime) -> bool:
    """Tell whether a DEL succeeds and leaves nothing."""
    return runtime.request("DEL").status == 0 and runtime.state() == ([], {})


def test_an_add_asks_once_for_each_object_and_writes_once(
    runtime: Runtime, kubeapi: KubeApi
) -> None:
    assert runtime.request("ADD").status == 0

    assert [line for line in kubeapi.asked() if "/events" not in line] == CALLS
    assert kubeapi.requests[3].body["metadata"]["uid"] == "uid-web"
    assert [entry["name"] for entry in status(kubeapi)] == ["primary", "default/one", "default/two"]
    assert [event["message"] for event in kubeapi.events()] == [
        "Add eth0 [10.1.0.2/24] from primary",
        "Add net1 [10.1.0.2/24] from default/one",
        "Add net2 [10.1.0.2/24] from default/two",
    ]
    involved = kubeapi.events()[0]["involvedObject"]
    assert (involved["kind"], involved["name"], involved["uid"]) == ("Pod", "web", "uid-web")


@pytest.mark.parametrize("verb", ["DEL", "CHECK"])
def test_with_a_record_the_api_server_is_not_asked(
    runtime: Runtime, kubeapi: KubeApi, verb: str
) -> None:
    assert runtime.request("ADD").status == 0
    asked = len(kubeapi.requests)

    assert runtime.request(verb).status == 0

    assert len(kubeapi.requests) == asked


def test_a_del_needs_no_kubeconfig(runtime: Runtime) -> None:
    assert runtime.request("ADD").status == 0
    Path(runtime.config["kubeconfig"]).unlink()

    assert released(runtime)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429, "retry_after": 1},
        {"status": 500, "times": 3},
        {"status": 502},
        {"status": 503, "times": 2},
        {"status": 504},
        {"reset": True, "times": 3},
        {"delay": 2.0},
    ],
    ids=["429", "500 thrice", "502", "503 twice", "504", "reset thrice", "slow"],
)
def test_what_passes_does_not_keep_a_pod_from_its_networks(
    runtime: Runtime, kubeapi: KubeApi, call: str, fault: dict[str, Any]
) -> None:
    kubeapi.fault(f"^{call}$", **fault)

    answer = runtime.request("ADD")

    assert answer.status == 0, answer.stdout
    assert len(status(kubeapi)) == 3


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("code", [400, 401, 403, 410, 422])
def test_what_is_refused_attaches_nothing_and_says_why(
    runtime: Runtime, kubeapi: KubeApi, call: str, code: int
) -> None:
    kubeapi.fault(f"^{call}$", status=code, times=100)
    kubeapi.fault("^PUT", status=code, times=100)

    answer = runtime.request("ADD")

    assert answer.status == 1
    message = answer.document["msg"]
    assert "pod default/web" in message
    assert f"HTTP {code}" in message or "so the test wants it" in message
    assert runtime.entries() == []
    assert status(kubeapi) is None
    assert released(runtime)


@pytest.mark.parametrize("call", CALLS[:3])
def test_an_answer_that_is_no_json_attaches_nothing(
    runtime: Runtime, kubeapi: KubeApi, call: str
) -> None:
    kubeapi.fault(f"^{call}$", garbage=b"<html>proxy</html>", times=100)

    answer = runtime.request("ADD")

    assert (answer.status, answer.document["code"]) == (1, 6)
    assert runtime.state() == ([], {})


def test_a_definition_that_is_missing_is_told_as_an_event_too(
    runtime: Runtime, kubeapi: KubeApi
) -> None:
    del kubeapi.objects[f"{NETWORKS}/two"]

    answer = runtime.request("ADD")

    assert (answer.status, answer.document["code"]) == (1, 110)
    assert runtime.state() == ([], {})
    (event,) = kubeapi.events()
    assert (event["type"], event["reason"]) == ("Warning", "NoNetworkFound")
    assert "(two) in namespace (default)" in event["message"]


def test_events_that_cannot_be_told_do_no_harm(runtime: Runtime, kubeapi: KubeApi) -> None:
    kubeapi.fault("^POST", status=500, times=100)

    assert runtime.request("ADD").status == 0
    assert kubeapi.events() == []


def test_a_token_that_was_renewed_meanwhile_is_read_again(
    runtime: Runtime, kubeapi: KubeApi
) -> None:
    path = kubeapi.kubeconfig(runtime.directory, files=True)
    runtime.behave(main={"ADD": {"sleep": 2}})
    child = runtime.start("ADD")
    assert child.stdin is not None
    child.stdin.write(json.dumps(runtime.written(kubeconfig=str(path))).encode())
    child.stdin.close()
    child.stdin = None
    eventually(runtime.talk)
    kubeapi.token = "the-second-token"
    (runtime.directory / "token").write_text(kubeapi.token)

    stdout, _ = child.communicate(timeout=60)

    assert child.returncode == 0, stdout
    assert len(status(kubeapi)) == 3


def test_a_service_account_of_multus_may_only_update_and_that_is_enough(
    runtime: Runtime, kubeapi: KubeApi
) -> None:
    kubeapi.objects[POD]["metadata"]["annotations"]["other"] = "kept"
    kubeapi.fault("^PATCH", status=403, times=100)

    assert runtime.request("ADD").status == 0

    assert len(status(kubeapi)) == 3
    assert kubeapi.objects[POD]["metadata"]["annotations"]["other"] == "kept"


def test_a_pod_that_is_replaced_meanwhile_gets_nothing_of_its_predecessor(
    runtime: Runtime, kubeapi: KubeApi
) -> None:
    kubeapi.fault("^PATCH", delay=2.0)
    child = runtime.start("ADD")
    assert child.stdin is not None
    child.stdin.write(json.dumps(runtime.written()).encode())
    child.stdin.close()
    child.stdin = None
    eventually(lambda: "ADD two net2" in runtime.talk())
    kubeapi.objects[POD]["metadata"]["uid"] = "uid-successor"

    stdout, _ = child.communicate(timeout=60)

    assert child.returncode == 1
    assert json.loads(stdout)["code"] == 122
    assert runtime.entries() == []
    assert status(kubeapi) is None
    assert released(runtime)


def test_a_pod_that_is_gone_meanwhile_is_left_to_its_del(
    runtime: Runtime, kubeapi: KubeApi
) -> None:
    kubeapi.fault("^PATCH", status=404)

    assert runtime.request("ADD").status == 0
    assert released(runtime)


def test_a_kill_while_the_status_is_written_leaves_nothing_behind_del(
    runtime: Runtime, kubeapi: KubeApi
) -> None:
    kubeapi.fault("^PATCH", delay=30.0)
    child = runtime.start("ADD")
    assert child.stdin is not None
    child.stdin.write(json.dumps(runtime.written()).encode())
    child.stdin.close()
    child.stdin = None
    eventually(lambda: kubeapi.asked("^PATCH"))

    child.kill()
    child.communicate(timeout=60)

    assert len(runtime.entries()) == 3
    assert released(runtime)


def test_an_api_server_that_is_away_fails_the_pod_with_a_code_to_try_again(
    runtime: Runtime, kubeapi: KubeApi
) -> None:
    kubeapi.__exit__()

    answer = runtime.request("ADD")

    assert (answer.status, answer.document["code"]) == (1, 11)
    assert "cannot be reached" in answer.document["msg"]
    assert runtime.state() == ([], {})


def test_networks_of_the_first_generation_are_objects_of_their_own_group(
    runtime: Runtime, kubeapi: KubeApi
) -> None:
    kubeapi.add(
        "Pod", "old", uid="uid-old", annotations={"networks": '[{"name": "a"}, {"name": "b"}]'}
    )
    kubeapi.add("Network", "a", plugin="one", args='[{"delegate": {"isDefaultGateway": true}}]')
    kubeapi.add("Network", "b", plugin="two", args='[{"if0name": "north"}]')

    answer = runtime.request("ADD", pod="old", legacyNetworks=True)

    assert answer.status == 0, answer.stdout
    assert runtime.talk() == ["ADD one eth0", "ADD two north"]
    assert runtime.calls()[0]["stdin"]["delegate"] == {"isDefaultGateway": True}
    group = "/apis/kubernetes-network.cni.cncf.io/v1/namespaces/default/networks"
    assert kubeapi.asked("kubernetes-network") == [f"GET {group}/a", f"GET {group}/b"]


def test_a_definition_named_by_a_stranger_stays_in_its_path(
    runtime: Runtime, kubeapi: KubeApi
) -> None:
    name = "../../../../v1/namespaces/kube-system/secrets/x"
    annotation = json.dumps([{"name": name}])
    kubeapi.objects[POD]["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/networks": annotation}

    assert runtime.request("ADD").status == 1
    assert kubeapi.asked("secrets") == []
