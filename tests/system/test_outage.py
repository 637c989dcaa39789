"""What happens on a node when something is away: the API server, the daemon, the runtime."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.nodes import mounted
from tests.processes import eventually
from tests.system.daemon import Daemon, a_pod, carriers, daemon_on
from tests.system.runtime import Runtime, network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kubeapi import KubeApi
    from tests.nodes import Netns

POD = "/api/v1/namespaces/default/pods/web"
STATUS = "k8s.v1.cni.cncf.io/network-status"
ALWAYS = 1_000_000
FAILING = {"code": 100, "msg": "the address server is away"}


@pytest.fixture
def runtime(tmp_path: Path, netns: Netns, kubeapi: KubeApi) -> Runtime:
    """Return a node whose pod ``web`` asks for two networks."""
    runtime = Runtime(tmp_path, netns.path, {"delegates": [network("main", "primary")]})
    runtime.install("main", "one", "two")
    runtime.environment["CNI_ARGS"] = pod_arguments("web", "uid-web")
    for name in ("one", "two"):
        kubeapi.add("NetworkAttachmentDefinition", name, spec={"config": json.dumps(network(name))})
    a_pod(kubeapi, "web", networks="one,two")
    return runtime


@pytest.fixture
def daemon(runtime: Runtime, tmp_path: Path, kubeapi: KubeApi) -> Iterator[Daemon]:
    kubeconfig = kubeapi.kubeconfig(tmp_path)
    often: dict[str, Any] = {"repairInterval": 1, "repairGrace": 1}
    with daemon_on(tmp_path, kubeconfig=kubeconfig, **often) as daemon:
        runtime.program = daemon.program()
        yield daemon


def pod_arguments(name: str, uid: str) -> str:
    return f"K8S_POD_NAMESPACE=default;K8S_POD_NAME={name};K8S_POD_UID={uid}"


def status(kubeapi: KubeApi, path: str = POD) -> list[str]:
    """Return the networks that a pod's network-status names."""
    annotations = kubeapi.objects[path]["metadata"].get("annotations") or {}
    return [entry["name"] for entry in json.loads(annotations.get(STATUS) or "[]")]


# -- the API server is away


def test_pods_that_are_known_start_without_the_api_server_and_their_status_follows(
    runtime: Runtime, daemon: Daemon, kubeapi: KubeApi
) -> None:
    with kubeapi.away():
        answer = runtime.request("ADD")
        assert answer.status == 0, answer.stdout
        assert len(runtime.entries()) == 3
        assert status(kubeapi) == []
    eventually(lambda: status(kubeapi) == ["primary", "default/one", "default/two"])


def test_a_status_outlives_a_daemon_that_is_killed_before_it_could_write_it(
    runtime: Runtime, daemon: Daemon, kubeapi: KubeApi
) -> None:
    with kubeapi.away():
        assert runtime.request("ADD").status == 0
        daemon.kill()
    daemon.start()
    eventually(lambda: status(kubeapi) == ["primary", "default/one", "default/two"])


def test_a_pod_that_is_not_known_is_tried_again_later(
    runtime: Runtime, daemon: Daemon, kubeapi: KubeApi
) -> None:
    with kubeapi.away():
        arguments = {"CNI_ARGS": pod_arguments("stranger", "uid-stranger")}
        answer = runtime.request("ADD", environment=dict(arguments))
    assert (answer.status, answer.document["code"]) == (1, 11)
    assert runtime.entries() == []


@pytest.mark.parametrize("status_code", [429, 500])
def test_a_storm_of_refusals_delays_statuses_and_no_pod(
    runtime: Runtime, daemon: Daemon, kubeapi: KubeApi, status_code: int
) -> None:
    fault = kubeapi.fault("", status=status_code, times=ALWAYS)
    assert runtime.request("ADD").status == 0
    fault.times = 0
    eventually(lambda: status(kubeapi) == ["primary", "default/one", "default/two"])


def test_a_pod_that_asked_for_nothing_does_not_wait_for_its_status(
    runtime: Runtime, daemon: Daemon, kubeapi: KubeApi
) -> None:
    a_pod(kubeapi, "plain")
    arguments = {"CNI_ARGS": pod_arguments("plain", "uid-plain")}
    fault = kubeapi.fault("^PATCH", status=403, times=ALWAYS)
    answer = runtime.request("ADD", environment=dict(arguments))
    assert answer.status == 0, answer.stdout
    fault.times = 0
    eventually(lambda: status(kubeapi, POD.replace("web", "plain")) == ["primary"])


# -- the daemon is away


def test_a_restart_is_no_outage(runtime: Runtime, daemon: Daemon, kubeapi: KubeApi) -> None:
    runtime.program = daemon.program(patience=60.0)
    daemon.kill()
    child = runtime.begin("ADD")
    daemon.start()
    child.communicate(timeout=120)
    assert child.returncode == 0
    assert len(runtime.entries()) == 3
    assert daemon.metric("multus_py_requests_total", verb="ADD", outcome="ok") == 1


@pytest.mark.parametrize("removed", [(), ("multus-py.sock",)], ids=["socket there", "no socket"])
def test_without_a_daemon_the_plugin_uses_what_it_left(
    runtime: Runtime, daemon: Daemon, kubeapi: KubeApi, removed: tuple[str, ...]
) -> None:
    daemon.stop()
    for name in removed:
        (daemon.sockets / name).unlink()
    answer = runtime.request("ADD")
    assert answer.status == 0, answer.stdout
    assert len(runtime.entries()) == 3
    assert status(kubeapi) == ["primary", "default/one", "default/two"]
    assert runtime.request("DEL").status == 0
    assert runtime.state() == ([], {})


def test_before_there_was_a_daemon_no_pod_starts_without_its_networks(
    runtime: Runtime, daemon: Daemon
) -> None:
    daemon.stop()
    (daemon.sockets / "standby.json").unlink()
    answer = runtime.request("ADD")
    assert (answer.status, answer.document["code"]) == (1, 121)
    assert "daemon" in answer.document["msg"]
    assert runtime.entries() == []


def test_what_was_attached_through_a_daemon_is_released_without_one(
    runtime: Runtime, daemon: Daemon
) -> None:
    assert runtime.request("ADD").status == 0
    daemon.kill()
    assert runtime.request("DEL").status == 0
    assert runtime.state() == ([], {})


def test_a_second_daemon_refuses_and_the_first_lives_on(
    runtime: Runtime, daemon: Daemon, tmp_path: Path
) -> None:
    second = Daemon(tmp_path, daemon.sockets, daemon.kubeconfig, {})
    second.begin()
    assert second.wait() == 1
    assert "another daemon works" in second.log()
    assert runtime.request("ADD").status == 0
    assert daemon.running


def test_a_socket_that_is_removed_comes_back(runtime: Runtime, daemon: Daemon) -> None:
    daemon.socket.unlink()
    eventually(daemon.socket.exists)
    assert runtime.request("ADD").status == 0
    assert daemon.metric("multus_py_requests_total", verb="ADD", outcome="ok") == 1


def test_what_runs_is_finished_when_the_daemon_ends(runtime: Runtime, daemon: Daemon) -> None:
    runtime.behave(two={"ADD": {"sleep": 1}})
    child = runtime.begin("ADD")
    eventually(lambda: "ADD two net2" in runtime.talk())
    daemon.stop()
    child.communicate(timeout=60)
    assert child.returncode == 0
    assert len(runtime.entries()) == 3


# -- the disk is full


@pytest.mark.parametrize("kilobytes", range(0, 72, 8))
def test_a_full_disk_attaches_nothing_and_the_daemon_lives(
    runtime: Runtime, daemon: Daemon, kilobytes: int
) -> None:
    """The disk is full after so many kilobytes, which is at another file each time."""
    with mounted(runtime.cni_dir, "size=72k"):
        ballast = runtime.cni_dir / ".ballast"
        ballast.write_bytes(b"x" * kilobytes * 1024)

        answer = runtime.request("ADD")

        if answer.status:
            assert answer.document["code"] == 5
            assert runtime.entries() == []
        ballast.unlink()
        assert runtime.request("DEL").status == 0
        assert runtime.state() == ([], {})
        assert runtime.request("ADD").status == 0
        assert daemon.metric("multus_py_requests_total", verb="ADD", outcome="lost") == 0


# -- releases that fail


def test_a_release_that_fails_is_taken_over_and_goes_on_until_it_is_confirmed(
    runtime: Runtime, daemon: Daemon, kubeapi: KubeApi
) -> None:
    assert runtime.request("ADD").status == 0
    runtime.behave(two={"DEL": {"fail": FAILING}})
    answers = [runtime.request("DEL", releaseAttempts=3).status for _ in range(3)]
    assert answers == [1, 1, 0]
    assert runtime.entries() == ["ctr-net2-two"]
    eventually(lambda: daemon.metric("multus_py_pending_releases") == 1)
    eventually(lambda: "ReleasePending" in {event["reason"] for event in kubeapi.events()})

    daemon.kill()
    daemon.start()
    runtime.behave()
    runtime.request("STATUS")  # any call brings hands
    eventually(lambda: runtime.state() == ([], {}))
    eventually(lambda: daemon.metric("multus_py_pending_releases") == 0)


def test_what_is_dead_is_released_without_any_call_of_a_runtime(
    runtime: Runtime, daemon: Daemon, kubeapi: KubeApi, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.write_bytes(b"")
    assert runtime.request("ADD").status == 0
    record = runtime.cni_dir / "ctr"
    record.write_text(record.read_text().replace(runtime.netns, str(gone)))
    for cached in (runtime.cni_dir / "results").iterdir():
        cached.write_text(cached.read_text().replace(runtime.netns, str(gone)))
    gone.unlink()
    kubeapi.delete(POD)
    eventually(lambda: runtime.state() == ([], {}))
    eventually(lambda: "cause='its pod is gone'" in daemon.log())


def test_one_shim_stays_as_the_carrier_and_ends_with_the_daemon(
    runtime: Runtime, daemon: Daemon
) -> None:
    for number in range(3):
        assert runtime.request("ADD", container_id=f"c{number}").status == 0
    eventually(lambda: len(carriers(runtime.program[0])) == 1)
    daemon.stop()
    eventually(lambda: carriers(runtime.program[0]) == [])


# -- pods that slipped through, and networks for pods that run


def test_a_pod_that_runs_without_its_networks_is_told_and_not_touched(
    runtime: Runtime, daemon: Daemon, kubeapi: KubeApi
) -> None:
    eventually(lambda: daemon.metric("multus_py_pods_lacking_networks") == 1)
    eventually(lambda: [event["reason"] for event in kubeapi.events()] == ["LacksNetworks"])
    assert "default/one" in kubeapi.events()[0]["message"]
    assert not [line for line in kubeapi.asked() if not line.startswith(("LIST", "WATCH", "POST"))]


def test_a_network_is_attached_to_a_running_pod_and_goes_with_it(
    runtime: Runtime, daemon: Daemon, kubeapi: KubeApi
) -> None:
    assert runtime.request("ADD").status == 0
    runtime.install("late")
    eventually(lambda: len(carriers(runtime.program[0])) == 1)

    attached = delegate(runtime, daemon, "ADD", "net7", network("late", "late"))

    assert attached["Result"]["interfaces"][0]["name"] == "net7"
    assert "ctr-net7-late" in runtime.entries()
    eventually(lambda: status(kubeapi)[-1:] == ["late"])
    daemon.kill()
    daemon.start()
    assert runtime.request("DEL").status == 0
    assert runtime.state() == ([], {})


def delegate(
    runtime: Runtime, daemon: Daemon, command: str, ifname: str, config: dict[str, Any]
) -> Any:
    """Ask as a controller does, over Multus's HTTP; return the answer."""
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": "ctr",
        "CNI_NETNS": runtime.netns,
        "CNI_IFNAME": ifname,
        "CNI_ARGS": runtime.environment["CNI_ARGS"],
    }
    raw = json.dumps(config).encode()
    body = json.dumps(
        {"env": environment, "config": base64.b64encode(raw).decode(), "interfaceAttributes": {}}
    )
    connection = http.client.HTTPConnection("dummy")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(daemon.sockets / "multus.sock"))
    connection.request("POST", "/delegate", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status == 200, content
    return json.loads(content)


# -- what the log says


def test_the_log_has_a_line_for_each_request_and_no_secret(
    runtime: Runtime, daemon: Daemon, kubeapi: KubeApi
) -> None:
    config = json.dumps(network("one", password="hunter2"))
    kubeapi.add("NetworkAttachmentDefinition", "one", spec={"config": config})
    eventually(lambda: daemon.metric("multus_py_cache_synced") == 2)
    assert runtime.request("ADD", apiToken="hunter2").status == 0
    runtime.behave(one={"DEL": {"fail": FAILING}})
    assert runtime.request("DEL").status == 1

    [line] = eventually(
        lambda: [line for line in daemon.log().splitlines() if " ADD container=ctr " in line]
    )
    assert line.endswith(": ok")
    for stage in ("ms=", "queue=", "delegates=", "publish="):
        assert stage in line
    assert "hunter2" not in daemon.log()
