from __future__ import annotations

import datetime as dt
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.adapters import credentials
from multus_py.adapters.connection import Connection, RefusedError
from multus_py.cni.errors import CniError, Code, NotFoundError
from tests.processes import PATIENCE, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from multus_py.adapters.credentials import Access
    from tests.kubeapi import KubeApi

WEB = "/api/v1/namespaces/default/pods/web"
PODS = "/api/v1/pods"


class Clients:
    """Makes clients, and knows how many."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.made = 0

    def connect(self) -> Access:
        self.made += 1
        return credentials.from_kubeconfig(str(self.kubeconfig))


@pytest.fixture
def clients(kubeapi: KubeApi, tmp_path: Path) -> Clients:
    kubeapi.add("Pod", "web", uid="uid-1")
    return Clients(kubeapi.kubeconfig(tmp_path, files=True))


def name(answer: Any) -> str:
    return str(answer["metadata"]["name"])


def test_many_threads_renew_a_refused_credential_once(
    kubeapi: KubeApi, clients: Clients, tmp_path: Path
) -> None:
    link = Connection(clients.connect)
    link.ask("GET", WEB, seconds=PATIENCE)
    kubeapi.fault("GET", delay=0.5, times=10)  # so that all are refused before one is renewed
    with ThreadPoolExecutor(10) as pool:
        asking = [pool.submit(link.ask, "GET", WEB, seconds=PATIENCE) for _ in range(10)]
        eventually(lambda: len(kubeapi.requests) == 11)
        kubeapi.token = "the-second-token"
        (tmp_path / "token").write_text("the-second-token")
        assert [name(answer.result()) for answer in asking] == ["web"] * 10
    assert clients.made == 2


def test_a_credential_that_stays_refused_is_tried_twice(kubeapi: KubeApi, clients: Clients) -> None:
    kubeapi.token = "another"
    with pytest.raises(RefusedError) as caught:
        Connection(clients.connect).ask("GET", WEB, seconds=PATIENCE)
    assert (caught.value.status, caught.value.code) == (401, Code.API_REFUSED)
    assert (len(kubeapi.requests), clients.made) == (2, 2)


def test_no_more_requests_are_made_at_once_than_allowed(kubeapi: KubeApi, clients: Clients) -> None:
    link = Connection(clients.connect, parallel=2)
    kubeapi.fault("GET", delay=0.3, times=2)
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(link.ask, "GET", WEB, seconds=PATIENCE) for _ in range(3)]
        eventually(lambda: len(kubeapi.requests) == 2)
        assert not any(answer.done() for answer in answers)
        assert [name(answer.result()) for answer in answers] == ["web"] * 3


def test_who_waits_too_long_for_others_fails_in_a_way_that_passes(
    kubeapi: KubeApi, clients: Clients
) -> None:
    link = Connection(clients.connect, parallel=1)
    kubeapi.fault("GET", delay=PATIENCE)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(link.ask, "GET", WEB, seconds=1)
        eventually(lambda: kubeapi.requests)
        with pytest.raises(RefusedError, match="too many") as caught:
            link.ask("GET", WEB, seconds=0.1)
        assert (caught.value.passing, caught.value.code) == (True, Code.TRY_AGAIN_LATER)
        with pytest.raises(RefusedError):
            slow.result()
    assert name(link.ask("GET", WEB, seconds=PATIENCE)) == "web"


def test_an_answer_that_is_too_large_is_not_taken(kubeapi: KubeApi, clients: Clients) -> None:
    link = Connection(clients.connect)
    kubeapi.fault("GET", garbage=b" " * 17 * 1024 * 1024)
    with pytest.raises(CniError) as caught:
        link.ask("GET", WEB, seconds=PATIENCE)
    assert caught.value.code == Code.DECODING_FAILURE
    assert name(link.ask("GET", WEB, seconds=PATIENCE)) == "web"


def test_each_answer_is_told(kubeapi: KubeApi, clients: Clients) -> None:
    told: list[tuple[str, str, int]] = []
    link = Connection(clients.connect, on_answer=lambda *answer: told.append(answer))
    kubeapi.fault("GET", reset=True)
    with pytest.raises(RefusedError):
        link.ask("GET", WEB, seconds=PATIENCE)
    link.ask("GET", WEB, seconds=PATIENCE)
    link.ask("LIST", PODS, seconds=PATIENCE)
    link.ask("PATCH", f"{WEB}/status", {"metadata": {}}, seconds=PATIENCE)
    group = "/apis/k8s.cni.cncf.io/v1"
    with pytest.raises(NotFoundError):
        link.ask("GET", f"{group}/namespaces/a/network-attachment-definitions/b", seconds=PATIENCE)
    assert told == [
        ("GET", "pods", 0),
        ("GET", "pods", 200),
        ("LIST", "pods", 200),
        ("PATCH", "pods", 200),
        ("GET", "network-attachment-definitions", 404),
    ]


def test_a_server_that_wants_to_be_left_alone_is_asked_by_nobody(
    kubeapi: KubeApi, clients: Clients
) -> None:
    link = Connection(clients.connect)
    kubeapi.fault("GET", status=503, retry_after=1)
    with pytest.raises(RefusedError):
        link.ask("GET", WEB, seconds=PATIENCE)
    with pytest.raises(RefusedError, match="overloaded") as caught:
        link.ask("PATCH", WEB, {"metadata": {}}, seconds=PATIENCE)
    assert (caught.value.passing, caught.value.code) == (True, Code.TRY_AGAIN_LATER)
    assert 0 < caught.value.retry_after <= 1
    assert len(kubeapi.requests) == 1
    eventually(lambda: _answers(link))


def _answers(link: Connection) -> bool:
    try:
        return name(link.ask("GET", WEB, seconds=PATIENCE)) == "web"
    except RefusedError:
        return False


@pytest.mark.parametrize("status", [409, 500, 504])
def test_what_one_request_has_to_wait_for_keeps_no_other(
    kubeapi: KubeApi, clients: Clients, status: int
) -> None:
    link = Connection(clients.connect)
    kubeapi.fault("GET", status=status, retry_after=20)
    with pytest.raises(RefusedError) as caught:
        link.ask("GET", WEB, seconds=PATIENCE)
    assert caught.value.retry_after == 20
    assert name(link.ask("GET", WEB, seconds=PATIENCE)) == "web"


def test_a_date_to_wait_for_is_a_time_from_now(kubeapi: KubeApi, clients: Clients) -> None:
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=20)
    kubeapi.fault("GET", status=504, retry_after=format_datetime(soon, usegmt=True))
    with pytest.raises(RefusedError) as caught:
        Connection(clients.connect).ask("GET", WEB, seconds=PATIENCE)
    assert 0 < caught.value.retry_after <= 20


@pytest.mark.parametrize(
    ("said", "waited"),
    [
        (7, 7),
        (1000, 30),
        ("Fri, 31 Dec 2100 23:59:59 GMT", 30),
        ("Fri, 31 Dec 2100 23:59:59 -0000", 30),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0),
        ("soon", 0),
        ("-1", 0),
        ("1_0", 0),
    ],
)
def test_a_time_to_wait_is_seconds_or_a_date(
    kubeapi: KubeApi, clients: Clients, said: int | str, waited: float
) -> None:
    kubeapi.fault("GET", status=504, retry_after=said)
    with pytest.raises(RefusedError) as caught:
        Connection(clients.connect).ask("GET", WEB, seconds=PATIENCE)
    assert caught.value.retry_after == waited


def test_a_stream_ends_when_it_is_cut(kubeapi: KubeApi, clients: Clients) -> None:
    link = Connection(clients.connect)
    query = [("watch", "true"), ("resourceVersion", "0")]
    came: list[bytes] = []
    with link.follow(PODS, query, quiet=PATIENCE) as lines:

        def read() -> None:
            with pytest.raises(RefusedError):
                came.extend(lines)

        reader = threading.Thread(target=read)
        reader.start()
        eventually(lambda: kubeapi.watchers)
        started = time.monotonic()
        lines.cut()
        reader.join(PATIENCE)
        assert time.monotonic() - started < PATIENCE / 2
        lines.cut()  # once more does no harm


def test_a_stream_does_not_keep_others_from_asking(kubeapi: KubeApi, clients: Clients) -> None:
    link = Connection(clients.connect, parallel=1)
    query = [("watch", "true"), ("resourceVersion", "0")]
    with link.follow(PODS, query, quiet=PATIENCE) as lines:
        assert name(link.ask("GET", WEB, seconds=PATIENCE)) == "web"
        assert b"ADDED" in next(iter(lines))


def test_a_line_without_an_end_is_not_collected(kubeapi: KubeApi, clients: Clients) -> None:
    kubeapi.fault("WATCH", garbage=b"x" * 17 * 1024 * 1024)
    query = [("watch", "true"), ("resourceVersion", "0")]
    link = Connection(clients.connect)
    with (
        link.follow(PODS, query, quiet=PATIENCE) as lines,
        pytest.raises(CniError, match="has no end"),
    ):
        list(lines)


# -- kubeconfigs that cannot work


def with_server(kubeapi: KubeApi, directory: Path, server: Any) -> str:
    path = kubeapi.kubeconfig(directory)
    config = json.loads(path.read_text())
    config["clusters"][0]["cluster"]["server"] = server
    path.write_text(json.dumps(config))
    return str(path)


@pytest.mark.parametrize(
    "server",
    ["", "ftp://10.0.0.1", "10.0.0.1:6443", "https://", "http://foo bar", "https://h:99999"],
)
def test_what_is_no_server_is_refused_before_it_is_asked(
    kubeapi: KubeApi, tmp_path: Path, server: str
) -> None:
    path = with_server(kubeapi, tmp_path, server)
    with pytest.raises(CniError) as caught:
        credentials.from_kubeconfig(path)
    assert caught.value.code == Code.API_REFUSED
    assert path in caught.value.cause


@pytest.mark.parametrize(
    "server", ["https://10.0.0.1", "https://[fd00::1]:6443", "http://api:80/k8s"]
)
def test_every_form_of_a_server_is_one(kubeapi: KubeApi, tmp_path: Path, server: str) -> None:
    client = credentials.from_kubeconfig(with_server(kubeapi, tmp_path, server)).client
    assert client.configuration.host == server


def test_a_token_that_is_none_is_refused_in_plain_words(kubeapi: KubeApi, tmp_path: Path) -> None:
    kubeapi.token = "\u2713"
    path = str(kubeapi.kubeconfig(tmp_path))
    asking = Connection(lambda: credentials.from_kubeconfig(path))
    with pytest.raises(CniError) as caught:
        asking.ask("GET", "/api/v1/namespaces/default/pods/web", seconds=PATIENCE)
    assert caught.value.code == Code.API_REFUSED
    assert "credential" in caught.value.cause
