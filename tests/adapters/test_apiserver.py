from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.adapters import credentials
from multus_py.adapters.apiserver import ApiServer
from multus_py.adapters.connection import Connection
from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.core.ports import Event
from multus_py.models.objects import NETWORK_STATUS, ObjectRef, Pod
from tests.kubeapi import Certificate, KubeApi
from tests.processes import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

WEB = ObjectRef("default", "web")
STATUS = '[{"name":"net"}]'
PASSING = [429, 500, 502, 503, 504]


@pytest.fixture
def cluster(kubeapi: KubeApi, tmp_path: Path) -> ApiServer:
    """The adapter, with a kubeconfig for the server."""
    return connected(kubeapi.kubeconfig(tmp_path))


def connected(kubeconfig: Path, *, patience: float = PATIENCE) -> ApiServer:
    return ApiServer(
        Connection(lambda: credentials.from_kubeconfig(str(kubeconfig))),
        devices=lambda pod: {"of": [pod.uid]},
        patience=patience,
    )


def add_web(kubeapi: KubeApi, uid: str = "uid-1", **annotations: str) -> Pod:
    kubeapi.add("Pod", "web", uid=uid, annotations=annotations, spec={"nodeName": "n1"})
    return Pod(WEB, uid, annotations)


def annotations_of_web(kubeapi: KubeApi) -> Any:
    return kubeapi.objects["/api/v1/namespaces/default/pods/web"]["metadata"]["annotations"]


def error_of_web(cluster: ApiServer) -> CniError:
    with pytest.raises(CniError) as caught:
        cluster.get_pod(WEB)
    return caught.value


# -- questions


def test_a_pod_is_what_the_server_has(kubeapi: KubeApi, cluster: ApiServer) -> None:
    pod = add_web(kubeapi, key="value")
    assert cluster.get_pod(WEB) == pod


def test_definitions_are_looked_for_in_their_namespace(
    kubeapi: KubeApi, cluster: ApiServer
) -> None:
    kubeapi.add("NetworkAttachmentDefinition", "net", namespace="infra", spec={"config": "{}"})
    assert cluster.get_network(ObjectRef("infra", "net")).config == "{}"
    with pytest.raises(NotFoundError):
        cluster.get_network(ObjectRef("default", "net"))


def test_networks_of_the_first_generation_have_an_api_of_their_own(
    kubeapi: KubeApi, cluster: ApiServer
) -> None:
    kubeapi.add("Network", "old", plugin="bridge", args='[{"bridge":"br0"}]')
    config = cluster.get_first_generation_network(ObjectRef("default", "old")).config
    assert json.loads(config) == {"name": "old", "bridge": "br0", "type": "bridge"}


def test_devices_are_asked_of_somebody_else(cluster: ApiServer) -> None:
    assert cluster.devices(Pod(WEB, "uid-1", {})) == {"of": ["uid-1"]}


def test_nothing_is_read_or_asked_before_the_first_question(
    kubeapi: KubeApi, tmp_path: Path
) -> None:
    cluster = connected(tmp_path / "kubeconfig")  # which does not exist yet
    cluster.close()
    assert kubeapi.requests == []
    add_web(kubeapi)
    kubeapi.kubeconfig(tmp_path)
    cluster.get_pod(WEB)
    assert kubeapi.asked() == ["GET /api/v1/namespaces/default/pods/web"]


# -- errors that stay


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, Code.API_FAILURE),
        (401, Code.API_REFUSED),
        (403, Code.API_REFUSED),
        (410, Code.API_FAILURE),
    ],
)
def test_an_error_that_will_not_pass_is_told_with_the_servers_words(
    kubeapi: KubeApi, cluster: ApiServer, status: int, code: Code
) -> None:
    kubeapi.fault("GET", status=status, times=100)
    error = error_of_web(cluster)
    assert error.code == code
    assert f"the test wants it (HTTP {status} from https://127.0.0.1" in error.message()
    assert len(kubeapi.requests) == (2 if status == 401 else 1)


def test_an_object_that_is_not_there_is_an_error_of_its_own(cluster: ApiServer) -> None:
    with pytest.raises(NotFoundError, match='pods "web" not found'):
        cluster.get_pod(WEB)


@pytest.mark.parametrize("garbage", [b"<html>", b"[]", b'{"metadata":', b"\xff"])
def test_an_answer_that_is_no_object_is_an_error(
    kubeapi: KubeApi, cluster: ApiServer, garbage: bytes
) -> None:
    kubeapi.fault("GET", garbage=garbage)
    error = error_of_web(cluster)
    assert error.code == Code.DECODING_FAILURE
    assert "the API server's answer" in error.message()


def test_a_server_with_another_authority_is_not_trusted(
    kubeapi: KubeApi, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Certificate.made(tmp_path_factory.mktemp("other"))
    config = json.loads(kubeapi.kubeconfig(tmp_path).read_text())
    del config["clusters"][0]["cluster"]["certificate-authority-data"]
    config["clusters"][0]["cluster"]["certificate-authority"] = str(other.path)
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    error = error_of_web(connected(tmp_path / "kubeconfig"))
    assert error.code == Code.API_FAILURE
    assert "certificate" in error.cause
    assert kubeapi.requests == []


# -- errors that pass


@pytest.mark.parametrize("status", PASSING)
def test_an_overloaded_server_is_asked_again(
    kubeapi: KubeApi, cluster: ApiServer, status: int
) -> None:
    pod = add_web(kubeapi)
    kubeapi.fault("GET", status=status, times=2)
    assert cluster.get_pod(WEB) == pod
    assert len(kubeapi.requests) == 3


def test_a_server_that_wants_to_be_left_alone_is_left_alone(
    kubeapi: KubeApi, cluster: ApiServer
) -> None:
    add_web(kubeapi)
    kubeapi.fault("GET", status=429, retry_after=1)
    started = time.monotonic()
    cluster.get_pod(WEB)
    assert time.monotonic() - started >= 1


def test_a_server_is_not_asked_once_more_than_it_wants_in_the_time_there_is(
    kubeapi: KubeApi, tmp_path: Path
) -> None:
    kubeapi.fault("GET", status=503, retry_after=1000)
    error = error_of_web(connected(kubeapi.kubeconfig(tmp_path), patience=10))
    assert "the test wants it" in error.cause
    assert len(kubeapi.requests) == 1


def test_lost_connections_are_made_again(kubeapi: KubeApi, cluster: ApiServer) -> None:
    pod = add_web(kubeapi)
    kubeapi.fault("GET", reset=True, times=2)
    assert cluster.get_pod(WEB) == pod


def test_without_time_left_there_is_one_try(kubeapi: KubeApi, tmp_path: Path) -> None:
    kubeapi.fault("GET", reset=True, times=100)
    error = error_of_web(connected(kubeapi.kubeconfig(tmp_path), patience=0))
    assert error.code == Code.TRY_AGAIN_LATER
    assert len(kubeapi.requests) == 1


def test_a_late_answer_is_waited_for(kubeapi: KubeApi, cluster: ApiServer) -> None:
    pod = add_web(kubeapi)
    kubeapi.fault("GET", delay=0.5)
    assert cluster.get_pod(WEB) == pod
    assert len(kubeapi.requests) == 1


def test_an_answer_that_comes_too_late_is_not_waited_for(kubeapi: KubeApi, tmp_path: Path) -> None:
    add_web(kubeapi)
    kubeapi.fault("GET", delay=PATIENCE, times=100)
    started = time.monotonic()
    error = error_of_web(connected(kubeapi.kubeconfig(tmp_path), patience=0.2))
    assert error.code == Code.TRY_AGAIN_LATER
    assert time.monotonic() - started < PATIENCE / 2


def test_the_last_of_many_errors_is_told(kubeapi: KubeApi, tmp_path: Path) -> None:
    kubeapi.fault("GET", status=503)
    kubeapi.fault("GET", status=500, times=1000)
    error = error_of_web(connected(kubeapi.kubeconfig(tmp_path), patience=0.5))
    assert error.code == Code.API_FAILURE
    assert "HTTP 500" in error.cause
    assert len(kubeapi.requests) > 2


def test_a_server_that_is_away_may_come_back(kubeapi: KubeApi, tmp_path: Path) -> None:
    kubeconfig = kubeapi.kubeconfig(tmp_path)
    config = kubeconfig.read_text().replace(str(kubeapi.port), "1")  # where nobody listens
    kubeconfig.write_text(config)
    error = error_of_web(connected(kubeconfig, patience=0.2))
    assert error.code == Code.TRY_AGAIN_LATER
    assert "https://127.0.0.1:1 cannot be reached" in error.message()


def test_a_connection_that_ends_in_the_handshake_may_come_back(
    kubeapi: KubeApi, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        kubeconfig = kubeapi.kubeconfig(tmp_path)
        kubeconfig.write_text(kubeconfig.read_text().replace(str(kubeapi.port), str(port)))

        def hang_up() -> None:
            listener.accept()[0].close()

        server = threading.Thread(target=hang_up)
        server.start()
        error = error_of_web(connected(kubeconfig, patience=0))
        server.join()
    assert error.code == Code.TRY_AGAIN_LATER


# -- credentials


def test_a_token_that_was_renewed_is_read_again(kubeapi: KubeApi, tmp_path: Path) -> None:
    pod = add_web(kubeapi)
    cluster = connected(kubeapi.kubeconfig(tmp_path, files=True))
    cluster.get_pod(WEB)
    kubeapi.token = "the-second-token"
    (tmp_path / "token").write_text("the-second-token\n")
    assert cluster.get_pod(WEB) == pod
    assert len(kubeapi.requests) == 2  # before it is refused


def test_a_token_that_is_refused_twice_is_not_tried_again(
    kubeapi: KubeApi, cluster: ApiServer
) -> None:
    kubeapi.token = "another"
    assert error_of_web(cluster).code == Code.API_REFUSED
    assert len(kubeapi.requests) == 2


def test_a_refusal_when_time_is_over_is_told(kubeapi: KubeApi, tmp_path: Path) -> None:
    kubeapi.fault("GET", status=503, delay=0.5)
    kubeapi.fault("GET", status=401, times=2)
    error = error_of_web(connected(kubeapi.kubeconfig(tmp_path), patience=0.2))
    assert error.code == Code.API_REFUSED


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "{",
        "[]",
        "{}",
        '{"current-context": "test"}',
        '{"current-context": "test", "contexts": [], "clusters": [], "users": []}',
        '{"contexts": [{"name": "test", "context": {"cluster": "here"}}], "clusters": []}',
    ],
)
def test_a_kubeconfig_that_is_of_no_use_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    error = error_of_web(connected(path))
    assert error.code == Code.API_REFUSED
    assert str(path) in error.cause


def test_files_that_a_kubeconfig_names_may_be_missing(kubeapi: KubeApi, tmp_path: Path) -> None:
    path = kubeapi.kubeconfig(tmp_path, files=True)
    (tmp_path / "token").unlink()
    assert error_of_web(connected(path)).code == Code.API_REFUSED


IN_A_POD = """
from multus_py.adapters.apiserver import ApiServer
import os
from multus_py.adapters.connection import Connection
from multus_py.adapters.credentials import from_service_account
from multus_py.models.objects import ObjectRef
connection = Connection(lambda: from_service_account(os.environ))
cluster = ApiServer(connection, devices=lambda pod: {})
print(cluster.get_pod(ObjectRef("default", "web")).uid)
"""


def in_a_pod(kubeapi: KubeApi, mount: str) -> subprocess.CompletedProcess[str]:
    """Run the adapter where files of a pod can be put in place without touching the node's."""
    script = f'mount -t tmpfs tmpfs /run && {mount} && exec "$0" -c "$1"'
    endpoint = {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(kubeapi.port),
    }
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, sys.executable, IN_A_POD],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **endpoint},
        timeout=PATIENCE,
    )


@pytest.mark.usefixtures("node")
def test_in_a_pod_its_service_account_is_used(kubeapi: KubeApi, tmp_path: Path) -> None:
    add_web(kubeapi)
    kubeapi.kubeconfig(tmp_path, files=True)
    account = "/run/secrets/kubernetes.io/serviceaccount"
    done = in_a_pod(
        kubeapi, f"mkdir -p {account} && cp {tmp_path}/token {tmp_path}/ca.crt {account}"
    )
    assert (done.stdout, done.stderr) == ("uid-1\n", "")


@pytest.mark.usefixtures("node")
def test_a_pod_without_service_account_is_told_what_is_missing(kubeapi: KubeApi) -> None:
    done = in_a_pod(kubeapi, "true")
    assert "set kubeconfig, or mount the service account's token" in done.stderr
    assert kubeapi.requests == []


# -- network-status


def test_a_status_is_one_patch_of_one_annotation(kubeapi: KubeApi, cluster: ApiServer) -> None:
    pod = add_web(kubeapi, key="value")
    cluster.publish_status(pod, STATUS)
    assert annotations_of_web(kubeapi) == {"key": "value", NETWORK_STATUS: STATUS}
    assert kubeapi.asked() == ["PATCH /api/v1/namespaces/default/pods/web/status"]


def test_a_status_waits_for_others_who_write(kubeapi: KubeApi, cluster: ApiServer) -> None:
    pod = add_web(kubeapi)
    kubeapi.fault("PATCH", status=409, times=2)
    cluster.publish_status(pod, STATUS)
    assert annotations_of_web(kubeapi) == {NETWORK_STATUS: STATUS}


def test_a_status_that_conflicts_for_ever_is_an_error(kubeapi: KubeApi, tmp_path: Path) -> None:
    pod = add_web(kubeapi)
    kubeapi.fault("PATCH", status=409, times=1000)
    cluster = connected(kubeapi.kubeconfig(tmp_path), patience=0.3)
    with pytest.raises(CniError, match="HTTP 409"):
        cluster.publish_status(pod, STATUS)


@pytest.mark.parametrize("may_patch", [True, False])
def test_a_pod_of_the_same_name_does_not_get_the_status(
    kubeapi: KubeApi, cluster: ApiServer, *, may_patch: bool
) -> None:
    add_web(kubeapi, uid="uid-2")
    if not may_patch:
        kubeapi.fault("PATCH", status=403)
    with pytest.raises(CniError, match=r"expected pod UID uid-1, .* has UID uid-2") as caught:
        cluster.publish_status(Pod(WEB, "uid-1", {}), STATUS)
    assert caught.value.code == Code.POD_REPLACED
    assert annotations_of_web(kubeapi) == {}


def test_a_pod_that_is_gone_gets_no_status(kubeapi: KubeApi, cluster: ApiServer) -> None:
    with pytest.raises(NotFoundError):
        cluster.publish_status(Pod(WEB, "uid-1", {}), STATUS)


@pytest.mark.parametrize("status", PASSING)
def test_a_status_is_written_when_the_server_is_back(
    kubeapi: KubeApi, cluster: ApiServer, status: int
) -> None:
    pod = add_web(kubeapi)
    kubeapi.fault("PATCH", status=status)
    cluster.publish_status(pod, STATUS)
    assert annotations_of_web(kubeapi) == {NETWORK_STATUS: STATUS}


def test_who_may_not_patch_updates_and_keeps_all_the_rest(
    kubeapi: KubeApi, cluster: ApiServer
) -> None:
    pod = add_web(kubeapi, key="value")
    kubeapi.fault("PATCH", status=403, times=1000)
    kubeapi.fault("PUT", status=409)
    cluster.publish_status(pod, STATUS)
    assert annotations_of_web(kubeapi) == {"key": "value", NETWORK_STATUS: STATUS}
    (*_, last) = [request for request in kubeapi.requests if request.method == "PUT"]
    assert last.body["spec"] == {"nodeName": "n1"}


def more(text: str) -> str:
    """Add an element to a list."""
    return json.dumps([*json.loads(text or "[]"), "more"])


def test_a_status_is_changed_from_what_it_is_now(kubeapi: KubeApi, cluster: ApiServer) -> None:
    pod = add_web(kubeapi, other="kept")
    cluster.publish_status(pod, STATUS)
    cluster.edit_status(pod, more)
    assert annotations_of_web(kubeapi) == {
        "other": "kept",
        NETWORK_STATUS: '[{"name": "net"}, "more"]',
    }


def test_a_status_that_another_changes_meanwhile_is_changed_again(
    kubeapi: KubeApi, cluster: ApiServer
) -> None:
    pod = add_web(kubeapi)
    others = iter(['["theirs"]'])

    def change(text: str) -> str:
        for theirs in others:  # once, between our reading and our writing
            cluster.publish_status(pod, theirs)
        return more(text)

    cluster.edit_status(pod, change)
    assert annotations_of_web(kubeapi)[NETWORK_STATUS] == '["theirs", "more"]'


def test_a_status_of_a_pod_of_the_same_name_is_not_changed(
    kubeapi: KubeApi, cluster: ApiServer
) -> None:
    pod = add_web(kubeapi)
    add_web(kubeapi, uid="uid-2")
    with pytest.raises(CniError) as caught:
        cluster.edit_status(pod, more)
    assert caught.value.code == Code.POD_REPLACED
    assert annotations_of_web(kubeapi) == {}


def test_who_may_not_patch_changes_by_updating(kubeapi: KubeApi, cluster: ApiServer) -> None:
    pod = add_web(kubeapi, other="kept")
    kubeapi.fault("^PATCH", status=403, times=9)
    cluster.edit_status(pod, more)
    assert annotations_of_web(kubeapi) == {"other": "kept", NETWORK_STATUS: '["more"]'}


def test_who_may_neither_patch_nor_update_is_told_of_the_patch(
    kubeapi: KubeApi, cluster: ApiServer
) -> None:
    pod = add_web(kubeapi)
    kubeapi.fault("PATCH|PUT", status=403, times=2)
    with pytest.raises(CniError, match="PATCH: the test wants it") as caught:
        cluster.publish_status(pod, STATUS)
    assert caught.value.code == Code.API_REFUSED
    assert [request.method for request in kubeapi.requests] == ["PATCH", "GET", "PUT"]


# -- events


def test_events_are_sent_at_the_end(kubeapi: KubeApi, cluster: ApiServer) -> None:
    cluster.emit(Pod(WEB, "uid-1", {}), Event("Normal", "AddedInterface", "Add eth0 [] from net"))
    cluster.emit(Pod(WEB, "uid-1", {}), Event("Warning", "NoNetworkFound", "x" * 2000))
    assert kubeapi.requests == []
    cluster.close()
    first, second = kubeapi.events()
    assert first["involvedObject"] == {
        "kind": "Pod",
        "apiVersion": "v1",
        "namespace": "default",
        "name": "web",
        "uid": "uid-1",
    }
    assert first["source"] == {"component": "multus"}
    told = [first[key] for key in ("type", "reason", "message", "count")]
    assert told == ["Normal", "AddedInterface", "Add eth0 [] from net", 1]
    assert re.fullmatch(r"web\.[0-9a-f]{16}", first["metadata"]["name"])
    assert len(second["message"]) == 1024


def test_events_are_sent_once(kubeapi: KubeApi, cluster: ApiServer) -> None:
    cluster.emit(Pod(WEB, "uid-1", {}), Event("Normal", "AddedInterface", "Add"))
    cluster.close()
    cluster.close()
    assert kubeapi.asked() == ["POST /api/v1/namespaces/default/events"]


def test_an_event_that_is_lost_is_logged_and_the_others_are_sent(
    kubeapi: KubeApi, cluster: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    for message in ("first", "second"):
        cluster.emit(Pod(WEB, "uid-1", {}), Event("Normal", "AddedInterface", message))
    kubeapi.fault("POST", status=403)
    with caplog.at_level(logging.ERROR, logger="multus_py"):
        cluster.close()
    assert [event["message"] for event in kubeapi.events()] == ["second"]
    assert "event 'first' is lost" in caplog.text


def test_events_do_not_wait_for_a_server_that_does_not_answer(
    kubeapi: KubeApi, cluster: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(20):
        event = Event("Normal", "AddedInterface", str(number))
        cluster.emit(Pod(WEB, "uid-1", {}), event)
    kubeapi.fault("POST", delay=PATIENCE, times=100)
    started = time.monotonic()
    cluster.close()
    assert time.monotonic() - started < PATIENCE / 2
    assert caplog.text.count("is lost") == 20


def test_events_without_a_usable_kubeconfig_are_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = connected(tmp_path / "kubeconfig")
    cluster.emit(Pod(WEB, "uid-1", {}), Event("Normal", "AddedInterface", "Add"))
    cluster.close()
    assert "event 'Add' is lost" in caplog.text
