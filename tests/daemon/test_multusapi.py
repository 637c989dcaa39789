"""Multus's HTTP API over real unix sockets, with real plugins, and with Multus's own shim."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import socket
import stat
import struct
import subprocess
import threading
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.adapters.localhost import LocalHost
from multus_py.cni.errors import Code
from multus_py.daemon import multusapi
from multus_py.daemon.hands import Hands
from multus_py.daemon.metrics import Metrics
from multus_py.daemon.multusapi import MultusApi
from multus_py.daemon.requests import Requests, Seen
from multus_py.daemon.turns import Turns
from multus_py.models.objects import ObjectRef, Pod
from multus_py.models.settings import Settings
from multus_py.wire import LostError
from tests.fakes import FakeCluster
from tests.processes import PATIENCE, eventually, output, python
from tests.system.runtime import Runtime, network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.nodes import Netns

SHIM = Path(__file__).parents[2] / ".cache/bin/multus-shim"
ARGS = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_UID=uid-web"
WEB = Pod(ObjectRef("default", "web"), "uid-web", {})


@dataclass(frozen=True)
class Reply:
    """What the API answered."""

    status: int
    kind: str
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class Bench:
    """A daemon's API on a node with a pod."""

    runtime: Runtime
    directory: Path
    cluster: FakeCluster = field(default_factory=FakeCluster)
    metrics: Metrics = field(default_factory=Metrics)
    reasons: list[str] = field(default_factory=list)
    seconds: float = 10.0
    hands: Hands | None = None
    lost: bool = False

    def __post_init__(self) -> None:
        self.cluster.pods[WEB.ref] = WEB
        host = LocalHost(os.environ, own_executables=frozenset())
        self.hands = Hands(host, (str(self.runtime.bin_dir),))

    @property
    def path(self) -> Path:
        return self.directory / "multus.sock"

    @contextmanager
    def borrowed(self) -> Iterator[Hands | None]:
        if self.lost:
            raise LostError("connection closed")
        yield self.hands

    def api(self) -> MultusApi:
        seen = Seen({})
        requests = Requests(
            settings=Settings(),
            over={},
            cluster=self.cluster,
            turns=Turns(4, self.metrics),
            metrics=self.metrics,
            seen=seen,
        )
        return MultusApi(
            str(self.directory),
            run=requests.run,
            session=requests.session,
            config=lambda: self.runtime.written(delegates=[network("main", "primary")]),
            hands=self.borrowed,
            turn=nullcontext,
            ready=lambda: self.reasons,
            metrics=self.metrics,
            seconds=self.seconds,
        )

    # -- what a caller does

    def say(self, raw: bytes, *, end: bool = False) -> bytes:
        """Send bytes over a connection of their own and return all that comes back."""
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(self.path))
            try:
                connection.sendall(raw)
                if end:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it answers before it has heard everything
            heard = b""
            try:
                while part := connection.recv(65536):
                    heard += part
            except ConnectionResetError:
                pass
            return heard

    def ask(self, method: str, path: str, body: bytes = b"") -> Reply:
        """Make a request."""
        head = f"{method} {path} HTTP/1.1\r\nHost: dummy\r\nContent-Length: {len(body)}\r\n\r\n"
        return replied(self.say(head.encode() + body))

    def call(
        self,
        path: str,
        command: str,
        config: Any,
        attributes: Any = None,
        **environment: str | None,
    ) -> Reply:
        """Make a call as Multus's clients do."""
        known: dict[str, str | None] = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "ctr",
            "CNI_NETNS": self.runtime.netns,
            "CNI_IFNAME": "net5" if path == "/delegate" else "eth0",
            "CNI_ARGS": ARGS,
            "CNI_PATH": str(self.runtime.bin_dir) if path == "/cni" else None,
            **environment,
        }
        body: dict[str, Any] = {
            "env": {name: value for name, value in known.items() if value is not None},
            "config": base64.b64encode(json.dumps(config).encode()).decode(),
        }
        if attributes is not None:
            body["interfaceAttributes"] = attributes
        return self.ask("POST", path, json.dumps(body).encode())

    def cni(self, command: str, **environment: str | None) -> Reply:
        config = self.runtime.written(delegates=[network("main", "primary")])
        return self.call("/cni", command, config, **environment)

    def delegate(self, command: str, attributes: Any = None, **environment: str | None) -> Reply:
        return self.call("/delegate", command, HOT, attributes, **environment)

    def counted(self) -> dict[tuple[str, str, str], float]:
        """Return the requests counted so far by handler, code and method."""
        (metric,) = self.metrics.http_requests.collect()
        return {
            (one.labels["handler"], one.labels["code"], one.labels["method"]): one.value
            for one in metric.samples
            if one.name.endswith("_total")
        }


HOT = network("hot", "hot-net")


def replied(raw: bytes) -> Reply:
    """Read an HTTP answer."""

    class _Wire:
        def makefile(self, mode: str) -> Any:
            return io.BytesIO(raw)

    response = HTTPResponse(_Wire())  # type: ignore[arg-type]  # all that it takes of a socket
    response.begin()
    body = response.read()
    return Reply(response.status, response.headers["Content-Type"] or "", body)


@pytest.fixture
def bench(tmp_path: Path, netns: Netns) -> Iterator[Bench]:
    runtime = Runtime(tmp_path, netns.path)
    runtime.install("main", "hot")
    made = Bench(runtime, tmp_path / "run")
    api = made.api()
    api.start()
    yield made
    api.stop()


# -- the form


def test_the_socket_is_its_owners_alone(bench: Bench) -> None:
    assert stat.S_IMODE(bench.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(bench.directory.stat().st_mode) == 0o700


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_health_is_answered(bench: Bench, method: str) -> None:
    assert bench.ask(method, "/healthz", b"null") == Reply(200, "text/plain; charset=utf-8", b"")


def test_readiness_tells_the_truth(bench: Bench) -> None:
    assert bench.ask("POST", "/readyz", b"null").status == 200
    bench.reasons.append("the pods are not known yet")
    reply = bench.ask("GET", "/readyz")
    assert (reply.status, reply.body) == (500, b"the pods are not known yet\n")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/cni"), ("PUT", "/delegate"), ("DELETE", "/healthz"), ("WHATEVER", "/cni")],
)
def test_other_methods_are_not_allowed(bench: Bench, method: str, path: str) -> None:
    reply = bench.ask(method, path, b"body")
    assert (reply.status, reply.body) == (405, b"Method not allowed\n")


def test_other_paths_are_not_found(bench: Bench) -> None:
    reply = bench.ask("GET", "/metrics")
    assert (reply.status, reply.body) == (404, b"")


def test_requests_are_counted_as_multus_counts_them(bench: Bench) -> None:
    bench.ask("POST", "/healthz")
    bench.ask("GET", "/cni")
    bench.ask("GET", "/other")
    bench.ask("FROBNICATE", "/another")
    bench.cni("ADD")
    bench.delegate("STATUS")
    assert eventually(lambda: len(bench.counted()) == 6)
    assert bench.counted() == {
        ("/healthz", "200", "post"): 1,
        ("/cni", "405", "get"): 1,
        ("NotFound", "404", "get"): 1,
        ("NotFound", "404", "unknown"): 1,
        ("/cni", "200", "post"): 1,
        ("/delegate", "200", "post"): 1,
    }


def test_a_connection_serves_one_request(bench: Bench) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: dummy\r\n\r\n"
    heard = bench.say(one + one)
    assert heard.count(b"HTTP/1.1 200") == 1
    assert b"Connection: close" in heard


STRANGER = """
import os, socket, sys
os.chdir(sys.argv[1])
os.setuid(65534)
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("multus.sock")
    try:
        connection.sendall(b"GET /healthz HTTP/1.1\\r\\n\\r\\n")
        print(connection.recv(100))
    except (BrokenPipeError, ConnectionResetError):
        print(b"")
"""


def test_a_user_who_is_not_root_is_not_listened_to(bench: Bench) -> None:
    users = int(Path("/proc/self/uid_map").read_text().split()[2])
    if users == 1:
        pytest.skip("there is nobody but root in this user namespace")
    bench.directory.chmod(0o755)
    bench.path.chmod(0o666)
    assert output(python(STRANGER, bench.directory)) == "b''\n"
    assert bench.ask("GET", "/healthz").status == 200


def test_a_socket_that_is_removed_comes_back(bench: Bench) -> None:
    bench.path.unlink()
    assert eventually(lambda: bench.path.exists() and bench.ask("GET", "/healthz").status == 200)


def test_it_tells_whether_it_listens(tmp_path: Path) -> None:
    bench = Bench(Runtime(tmp_path, "/run/netns/none"), tmp_path / "run")
    api = bench.api()
    assert not api.listening
    api.start()
    assert api.listening
    api.stop()
    assert not api.listening
    assert not bench.path.exists()


# -- /cni


def test_requests_of_a_runtime_are_run_by_the_hands(bench: Bench) -> None:
    reply = bench.cni("ADD")

    assert (reply.status, reply.kind) == (200, "application/json")
    result = reply.document["Result"]
    assert result["cniVersion"] == "1.1.0"
    assert result["interfaces"] == [{"name": "eth0", "sandbox": bench.runtime.netns}]
    assert bench.cni("CHECK") == Reply(200, "text/plain; charset=utf-8", b"")
    assert bench.cni("DEL").status == 200
    assert bench.runtime.talk() == ["ADD main eth0", "CHECK main eth0", "DEL main eth0"]
    assert bench.runtime.state() == ([], {})


def test_status_and_gc_need_no_pod(bench: Bench) -> None:
    nothing = dict.fromkeys(("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"))
    assert bench.cni("STATUS", **nothing).status == 200
    assert bench.cni("GC", **nothing).status == 200
    assert bench.runtime.talk() == ["STATUS main", "GC main"]


def test_a_del_with_empty_arguments_is_accepted(bench: Bench) -> None:
    bench.cni("ADD")
    assert bench.cni("DEL", CNI_ARGS="").status == 200
    assert bench.runtime.state() == ([], {})


def test_an_interface_that_is_not_named_is_eth0(bench: Bench) -> None:
    assert bench.cni("ADD", CNI_IFNAME=None).document["Result"]["interfaces"][0]["name"] == "eth0"


def test_errors_have_code_and_message(bench: Bench) -> None:
    bench.runtime.behave(main={"ADD": {"fail": {"code": 7, "msg": "no address left"}}})
    reply = bench.cni("ADD")
    assert (reply.status, reply.kind) == (400, "application/json")
    assert reply.document["code"] == 7
    assert reply.document["msg"].startswith("ADD, pod default/web, network primary")
    assert "no address left" in reply.document["msg"]


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK", "STATUS", "GC"])
def test_without_hands_the_caller_is_to_come_again(bench: Bench, command: str) -> None:
    bench.hands = None
    reply = bench.cni(command)
    assert (reply.status, reply.document["code"]) == (400, Code.TRY_AGAIN_LATER)
    assert reply.document["msg"].startswith(f"{command}: ")
    assert bench.runtime.talk() == []


@pytest.mark.parametrize("path", ["/cni", "/delegate"])
def test_hands_that_are_lost_are_no_bug(bench: Bench, path: str) -> None:
    bench.lost = True
    reply = bench.call(path, "ADD", HOT)
    assert (reply.status, reply.document["code"]) == (400, Code.TRY_AGAIN_LATER)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"null", "not a JSON object"),
        (b"{}", "CNI_COMMAND"),
        (b'{"env": {"CNI_COMMAND": "SING"}}', "SING"),
        (b'{"env": {"CNI_COMMAND": 5}}', "env.CNI_COMMAND"),
        (b'{"env": [], "config": ""}', "env"),
        (b'{"config": "***"}', "base64"),
        (b'{"interfaceAttributes": {"mac": "x"}}', "interfaceAttributes.mac"),
        (b"[" * 100_000, "nested"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
@pytest.mark.parametrize("path", ["/cni", "/delegate"])
def test_bodies_that_are_none_are_explained(
    bench: Bench, path: str, body: bytes, words: str
) -> None:
    reply = bench.ask("POST", path, body)
    assert reply.status == 400
    assert words in reply.document["msg"]


# -- /delegate


def test_a_network_is_attached_to_a_running_pod_and_leaves_with_it(bench: Bench) -> None:
    bench.cni("ADD")
    reply = bench.delegate("ADD", {"ips": ["10.1.0.9/24"], "mac": "02:00:00:00:00:09"})

    assert reply.status == 200
    assert reply.document["Result"]["interfaces"][0]["name"] == "net5"
    call = bench.runtime.calls()[-1]
    assert "MAC=02:00:00:00:00:09;IP=10.1.0.9/24" in call["CNI_ARGS"]
    assert bench.delegate("CHECK").status == 200
    assert bench.cni("DEL").status == 200
    assert bench.runtime.talk()[-3:] == ["CHECK hot net5", "DEL hot net5", "DEL main eth0"]
    assert bench.runtime.state() == ([], {})


def test_it_is_detached_although_the_pod_is_gone(bench: Bench) -> None:
    bench.cni("ADD")
    before = bench.runtime.state()
    bench.delegate("ADD")
    bench.cluster.pods.clear()
    assert bench.delegate("DEL") == Reply(200, "text/plain; charset=utf-8", b"")
    assert bench.runtime.state() == before


def test_it_survives_a_restart_of_the_daemon(bench: Bench) -> None:
    bench.cni("ADD")
    bench.delegate("ADD")
    again = bench.api()
    again.start()
    try:
        assert bench.cni("DEL").status == 200
    finally:
        again.stop()
    assert bench.runtime.state() == ([], {})


def test_the_daemons_keys_are_not_the_networks(bench: Bench) -> None:
    bench.delegate("ADD")
    assert bench.runtime.calls()[-1]["stdin"] == HOT


def test_a_chain_is_checked_as_one(bench: Bench) -> None:
    chain = {"cniVersion": "1.1.0", "name": "c", "plugins": [{"type": "hot"}, {"type": "main"}]}
    assert bench.call("/delegate", "ADD", chain).status == 200
    assert bench.call("/delegate", "CHECK", chain).status == 200
    assert bench.runtime.talk()[-2:] == ["CHECK hot net5", "CHECK main net5"]


def test_a_uid_that_is_missing_is_looked_up(bench: Bench) -> None:
    bench.delegate("ADD", CNI_ARGS="K8S_POD_NAMESPACE=default;K8S_POD_NAME=web")
    assert "K8S_POD_UID=uid-web" in bench.runtime.calls()[-1]["CNI_ARGS"]


def test_plugins_are_found_on_the_path_of_the_hands(bench: Bench) -> None:
    assert bench.hands
    bench.hands = Hands(bench.hands.host, ("/nowhere", str(bench.runtime.bin_dir)))
    bench.delegate("ADD")
    assert "/nowhere" in bench.runtime.calls()[-1]["CNI_PATH"]


def test_a_pod_that_does_not_exist_gets_nothing(bench: Bench) -> None:
    reply = bench.delegate("ADD", CNI_ARGS=ARGS.replace("web", "gone"))
    assert (reply.status, reply.document["code"]) == (400, Code.TRY_AGAIN_LATER)
    assert "pod default/gone" in reply.document["msg"]


@pytest.mark.parametrize("command", ["GC", "VERSION"])
def test_what_is_not_about_one_network_is_refused(bench: Bench, command: str) -> None:
    reply = bench.delegate(command)
    assert (reply.status, reply.document["code"]) == (400, Code.INVALID_ENVIRONMENT)


def test_without_hands_nothing_is_attached(bench: Bench) -> None:
    bench.hands = None
    assert bench.delegate("ADD").document["code"] == Code.TRY_AGAIN_LATER
    assert bench.runtime.state() == ([], {})


# -- bad callers


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /cni HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST /cni HTTP/1.1\r\nContent-Length: 16777217\r\n\r\n", 413),
        (b"POST /cni HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /cni HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
        (b"POST /cni HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST /cni HTTP/1.1\r\nContent-Length: 10\r\n\r\nshort", 400),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"nonsense and more of it\r\n\r\n", 400),
    ],
)
def test_requests_that_cannot_be_read_are_refused(bench: Bench, head: bytes, status: int) -> None:
    assert replied(bench.say(head, end=True)).status == status


def test_who_says_nothing_is_not_waited_for_long(tmp_path: Path) -> None:
    bench = Bench(Runtime(tmp_path, "/run/netns/none"), tmp_path / "run", seconds=0.2)
    api = bench.api()
    api.start()
    try:
        assert bench.say(b"") == b""
        assert bench.say(b"POST /cni HTTP/1.1\r\n") == b""
        late = bench.say(b"POST /cni HTTP/1.1\r\nContent-Length: 5\r\n\r\nab")
        assert replied(late).status == 408
    finally:
        api.stop()


def test_who_drips_is_not_listened_to_for_ever(tmp_path: Path) -> None:
    bench = Bench(Runtime(tmp_path, "/run/netns/none"), tmp_path / "run", seconds=0.3)
    api = bench.api()
    api.start()
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        connection.connect(str(bench.path))

        def hung_up() -> bool:
            try:
                connection.sendall(b"G")
            except OSError:
                return True
            return False

        assert eventually(hung_up)
    api.stop()


_FOR_EVER = 100_000.0


def test_the_end_waits_for_requests_and_not_for_idle_connections(bench: Bench) -> None:
    bench.runtime.behave(main={"ADD": {"sleep": 0.5}})
    api = Bench(bench.runtime, bench.directory / "second", bench.cluster, seconds=_FOR_EVER)
    second = api.api()
    second.start()
    idle = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    idle.connect(str(api.path))
    replies: list[Reply] = []
    caller = threading.Thread(target=lambda: replies.append(api.cni("ADD")))
    caller.start()
    eventually(bench.runtime.talk)

    second.stop(_FOR_EVER)

    assert bench.runtime.entries() == ["ctr-eth0-main"]
    caller.join()
    assert [reply.status for reply in replies] == [200]
    assert idle.recv(1) == b""
    idle.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def mutated(chance: random.Random, body: bytes) -> bytes:
    """Return a body with something wrong."""
    match chance.randrange(6):
        case 0:
            return chance.randbytes(chance.randrange(200))
        case 1:
            return body[: chance.randrange(len(body))]
        case 2:
            at = chance.randrange(len(body))
            return body[:at] + chance.randbytes(3) + body[at + 3 :]
        case 3:
            return body.replace(b'"', chance.choice([b"'", b"", b'""']), chance.randrange(4))
        case 4:
            return json.dumps(chance.choice([None, [], 5, {"env": 5}, {"config": {}}])).encode()
        case _:
            words = [b"ADD", b"CNI_", b"env", b"config", b"net5", b"=", b";"]
            return body.replace(chance.choice(words), chance.randbytes(2))


def test_ten_thousand_broken_bodies_harm_nobody(bench: Bench) -> None:
    chance = random.Random(5)
    bench.hands = None  # what is whole by chance is not run
    good = {
        "env": {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c", "CNI_NETNS": "/n", "CNI_ARGS": ARGS},
        "config": base64.b64encode(json.dumps(HOT).encode()).decode(),
        "interfaceAttributes": {"ips": ["10.1.0.9"], "mac": "02:00:00:00:00:09", "cni-args": {}},
    }
    good["env"] |= {"CNI_IFNAME": "net5", "CNI_PATH": "/x"}  # type: ignore[operator]
    body = json.dumps(good).encode()
    bench.ask("POST", "/delegate", body)
    eventually(lambda: threading.active_count() < 10)
    threads, open_files = threading.active_count(), descriptors()

    for _ in range(10_000):
        path = chance.choice(["/cni", "/delegate"])
        reply = bench.ask("POST", path, mutated(chance, body))
        assert 400 <= reply.status < 500, reply
        assert reply.document["msg"]

    assert bench.ask("GET", "/healthz").status == 200
    assert eventually(lambda: threading.active_count() <= threads)
    assert eventually(lambda: descriptors() <= open_files)


def test_a_thousand_broken_requests_harm_nobody(bench: Bench) -> None:
    chance = random.Random(6)
    good = b"POST /cni HTTP/1.1\r\nHost: dummy\r\nContent-Length: 4\r\nA: b\r\n\r\nnull"
    bench.ask("GET", "/healthz")
    threads, open_files = threading.active_count(), descriptors()
    for _ in range(1000):
        raw = bytearray(good[: chance.randrange(len(good))] if chance.random() < 0.3 else good)
        for _ in range(chance.randrange(6)):
            if raw:
                raw[chance.randrange(len(raw))] = chance.randrange(256)
        bench.say(bytes(raw), end=True)
    assert bench.ask("GET", "/healthz").status == 200
    assert eventually(lambda: threading.active_count() <= threads)
    assert eventually(lambda: descriptors() <= open_files)


def test_clients_that_vanish_harm_nobody(bench: Bench) -> None:
    open_files = descriptors()
    for _ in range(50):
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
            connection.connect(str(bench.path))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(b"POST /cni HTTP/1.1\r\nContent-Length: 4\r\n\r\nnull")
    assert bench.ask("GET", "/healthz").status == 200
    assert eventually(lambda: descriptors() <= open_files)


# -- Multus's own shim, and its way to attach


def shim(bench: Bench, command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run Multus's shim as a runtime would."""
    if not SHIM.exists():
        pytest.fail("Multus's shim is not built: run `make test`, or `make .cache/bin/multus-shim`")
    config = bench.runtime.written(
        type="multus-shim",
        cniVersion="0.4.0" if command != "STATUS" else "1.1.0",
        delegates=[network("main", "primary")],
        daemonSocketDir=str(bench.directory),
    )
    variables = {
        "PATH": os.environ["PATH"],
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": "ctr",
        "CNI_NETNS": bench.runtime.netns,
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": f"IgnoreUnknown=1;{ARGS}",
        "CNI_PATH": str(bench.runtime.bin_dir),
        **environment,
    }
    return subprocess.run(
        [SHIM],
        check=False,
        input=json.dumps(config).encode(),
        env=variables,
        capture_output=True,
        timeout=PATIENCE,
    )


def test_multus_shim_attaches_looks_and_releases(bench: Bench) -> None:
    added = shim(bench, "ADD")
    assert added.returncode == 0, added
    result = json.loads(added.stdout)
    assert result["cniVersion"] == "0.4.0"
    assert result["ips"][0] == {"version": "4", "interface": 0, "address": "10.1.0.2/24"}
    assert shim(bench, "CHECK").returncode == 0
    assert shim(bench, "DEL").returncode == 0
    assert bench.runtime.talk() == ["ADD main eth0", "CHECK main eth0", "DEL main eth0"]
    assert bench.runtime.state() == ([], {})


def test_multus_shim_passes_status_and_gc(bench: Bench) -> None:
    assert shim(bench, "STATUS").returncode == 0
    assert bench.runtime.talk() == ["STATUS main"]


def test_multus_shim_shows_our_message(bench: Bench) -> None:
    bench.runtime.behave(main={"ADD": {"fail": {"code": 7, "msg": "no address left"}}})
    failed = shim(bench, "ADD")
    assert failed.returncode == 1
    message = json.loads(failed.stdout)["msg"]
    assert message.startswith("CmdAdd (shim): ADD, pod default/web, network primary")
    assert "no address left" in message


def test_the_paths_are_multus_own() -> None:
    assert (multusapi.CNI, multusapi.DELEGATE) == ("/cni", "/delegate")
    assert multusapi.NAME == "multus.sock"
