"""What is seen of the daemon over real TCP."""

from __future__ import annotations

import http.client
import logging
import socket
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_metrics

from multus_py.daemon.metrics import Metrics
from multus_py.daemon.sight import Sight
from tests.processes import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


def a_sight(**changes: Any) -> Sight:
    """Return what a daemon shows that is fine, on a port that is free."""
    usual: dict[str, Any] = {
        "metrics_port": 0,
        "health_port": None,
        "alive": list,
        "ready": list,
        "metrics": Metrics(),
    }
    return Sight(**usual | changes)


@contextmanager
def shown(**changes: Any) -> Iterator[list[int]]:
    """Show it, and return the ports."""
    sight = a_sight(**changes)
    sight.start()
    wanted = sum(changes.get(key, 0) is not None for key in ("metrics_port", "health_port")) - (
        "health_port" not in changes
    )
    try:
        eventually(lambda: len(sight.ports) == wanted)
        yield sight.ports
    finally:
        sight.stop()


def ask(
    port: int, path: str, method: str = "GET", host: str = "127.0.0.1", **headers: str
) -> tuple[int, str, str]:
    """Return status, kind and text of an answer."""
    with closing(http.client.HTTPConnection(host, port, timeout=PATIENCE)) as connection:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read().decode()


def test_the_metrics_are_in_the_form_that_prometheus_reads() -> None:
    metrics = Metrics()
    metrics.pending_releases.set(3)
    with shown(metrics=metrics) as (port,):
        status, kind, text = ask(port, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain")
    parsed = plain_metrics(text)
    families = {family.name: family for family in parsed}
    assert families["multus_py_pending_releases"].samples[0].value == 3
    assert "process_resident_memory_bytes" in families


def test_openmetrics_is_spoken_where_it_is_asked_for() -> None:
    with shown() as (port,):
        _, kind, text = ask(port, "/metrics", Accept="application/openmetrics-text;version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    parsed = open_metrics(text)  # type: ignore[no-untyped-call]  # the library's own
    assert "multus_py_pending_releases" in {family.name for family in parsed}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_daemon_that_is_fine_says_so(path: str) -> None:
    with shown() as (port,):
        assert ask(port, path)[::2] == (200, "ok\n")


@pytest.mark.parametrize(("path", "question"), [("/healthz", "alive"), ("/readyz", "ready")])
def test_one_that_is_not_gives_its_reasons(path: str, question: str) -> None:
    reasons = ["the socket is not there", "the pods of this node are not known yet"]
    with shown(**{question: lambda: reasons}) as (port,):
        assert ask(port, path)[::2] == (503, "\n".join(reasons) + "\n")
        reasons.clear()
        assert ask(port, path)[0] == 200


def test_a_daemon_that_is_alive_may_not_be_ready() -> None:
    with shown(ready=lambda: ["not yet"]) as (port,):
        assert (ask(port, "/healthz")[0], ask(port, "/readyz")[0]) == (200, 503)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_families_are_answered(host: str) -> None:
    with shown() as (port,):
        assert ask(port, "/healthz", host=host)[0] == 200


def test_other_paths_and_methods_are_refused() -> None:
    with shown() as (port,):
        assert ask(port, "/debug/pprof/")[0] == 404
        assert ask(port, "/metrics", "POST")[0] == 405
        assert ask(port, "/readyz", "HEAD")[::2] == (200, "")


def test_the_health_port_does_not_show_metrics() -> None:
    with shown(metrics_port=None, health_port=0) as (port,):
        assert ask(port, "/readyz")[0] == 200
        assert ask(port, "/metrics")[0] == 404


def test_there_may_be_both_ports() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as reserved:
        free = reserved.getsockname()[1]
    with shown(metrics_port=0, health_port=free) as (first, second):
        assert (ask(first, "/metrics")[0], ask(second, "/metrics")[0]) == (200, 404)


def test_one_port_for_both_is_one_port() -> None:
    sight = a_sight(metrics_port=0, health_port=0)
    sight.start()
    eventually(lambda: sight.ports)
    sight.stop()
    assert len(sight.ports) == 1


def test_without_ports_nothing_listens() -> None:
    sight = a_sight(metrics_port=None)
    sight.start()
    sight.stop()
    assert sight.ports == []


def test_a_port_that_is_taken_is_complained_about_once_and_had_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tries = []

    def pause(tried: int) -> float:
        tries.append(tried)
        return 0.01

    other = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    port = other.getsockname()[1]
    sight = a_sight(metrics_port=port, pause=pause)
    sight.start()
    eventually(lambda: tries[:3] == [0, 1, 2])
    assert sight.ports == []
    other.close()
    assert eventually(lambda: sight.ports) == [port]
    assert ask(port, "/healthz")[0] == 200
    sight.stop()
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in errors] == [
        f"cannot listen on port {port}, for now: Address already in use"
    ]


def test_a_port_that_is_never_free_does_not_hold_up_the_end() -> None:
    with closing(socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)) as one:
        sight = a_sight(metrics_port=one.getsockname()[1], pause=lambda _: 100_000.0)
        sight.start()
        sight.stop()


def test_profiles_are_refused_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with shown(enable_pprof=True) as (port,):
        assert ask(port, "/debug/pprof/profile")[0] == 404
    assert "enablePprof is ignored" in caplog.text


def test_garbage_harms_nobody() -> None:
    with shown() as (port,):
        for garbage in (b"\0" * 100, b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b""):
            with closing(socket.create_connection(("127.0.0.1", port))) as connection:
                connection.sendall(garbage)
        assert ask(port, "/healthz")[0] == 200


def test_connections_that_say_nothing_are_limited() -> None:
    with shown() as (port,):
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(64)]

        def refused() -> bool:
            try:
                return ask(port, "/healthz")[0] != 200
            except (ConnectionError, http.client.RemoteDisconnected):
                return True

        assert eventually(refused)
        for connection in idle:
            connection.close()
        assert eventually(lambda: not refused())
