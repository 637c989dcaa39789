"""The CNI library's cache: we write what it reads and read what it wrote, now and long ago."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni import network, result
from multus_py.cni.errors import CniError, Code
from multus_py.models import cached
from multus_py.models.cached import CachedResult
from tests.models.foreign import SCALARS, WORDS, encoded, refused, respelled, spoiled, tolerated

LAN = {"cniVersion": "1.0.0", "name": "lan", "type": "bridge"}
RESULT = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "net1", "sandbox": "/run/netns/pod"}],
    "ips": [{"interface": 0, "address": "10.0.0.5/24"}],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}],
    "dns": {},
    "vendor": {"kept": 12345678901234567},
}


def as_bytes(config: object) -> str:
    return base64.b64encode(json.dumps(config).encode()).decode()


FROM_LIBCNI = {
    "kind": "cniCacheV1",
    "containerId": "ctr",
    "config": as_bytes(LAN),
    "ifName": "net1",
    "networkName": "lan",
    "netns": "/run/netns/pod",
    "cniArgs": [["K8S_POD_NAME", "web"], ["IP", "10.0.0.5/24"]],
    "capabilityArgs": {"mac": "02:00:00:00:00:77"},
    "result": RESULT,
}
READ = CachedResult(
    container_id="ctr",
    ifname="net1",
    network_name="lan",
    netns="/run/netns/pod",
    config=network.parse(LAN),
    cni_args=(("K8S_POD_NAME", "web"), ("IP", "10.0.0.5/24")),
    capability_args={"mac": "02:00:00:00:00:77"},
    result=result.checked(RESULT, ""),
)


def decoded(value: object) -> CachedResult:
    return cached.decode(json.dumps(value).encode())


def failure(value: object) -> CniError:
    return refused(decoded, value)


# -- what we write


def test_a_file_is_written_as_the_cni_library_does() -> None:
    written = json.loads(cached.encode(READ))
    assert list(written) == list(FROM_LIBCNI)
    assert json.loads(base64.b64decode(written["config"])) == LAN
    assert written | {"config": as_bytes(LAN)} == FROM_LIBCNI


def test_without_capabilities_their_member_is_left_out() -> None:
    plain = CachedResult(container_id="ctr", ifname="eth0", network_name="lan", result=READ.result)
    assert json.loads(cached.encode(plain)) == {
        "kind": "cniCacheV1",
        "containerId": "ctr",
        "config": "",
        "ifName": "eth0",
        "networkName": "lan",
        "netns": "",
        "cniArgs": [],
        "result": RESULT,
    }


def test_a_list_is_cached_without_the_plugins_from_the_directory_beside_it() -> None:
    own = {"cniVersion": "1.0.0", "name": "lan", "plugins": [{"type": "bridge"}]}
    config = network.parse_list(own, [{"type": "tuning"}])
    made = CachedResult(
        container_id="ctr", ifname="eth0", network_name="lan", config=config, result=READ.result
    )
    written = json.loads(cached.encode(made))
    assert json.loads(base64.b64decode(written["config"])) == own


# -- what we read


def test_a_file_of_the_cni_library_is_read_whole() -> None:
    assert decoded(FROM_LIBCNI) == READ


def test_members_that_the_cni_library_leaves_empty_are_empty() -> None:
    found = decoded(FROM_LIBCNI | {"cniArgs": None, "capabilityArgs": None, "netns": None})
    assert (found.cni_args, found.capability_args, found.netns) == ((), None, "")


@settings(deadline=None, max_examples=50)
@given(respelled({key: value for key, value in FROM_LIBCNI.items() if key != "kind"}))
def test_the_letter_case_of_members_does_not_matter(value: dict[str, Any]) -> None:
    assert decoded({"kind": "cniCacheV1"} | value) == READ


@pytest.mark.parametrize(
    "config",
    [
        None,
        "",
        "###",
        "é",
        f"#{as_bytes(LAN)}",
        "AAA",
        as_bytes([]),
        as_bytes({}),
        as_bytes({"type": "../sh"}),
    ],
)
def test_a_configuration_that_cannot_be_read_is_none(config: str | None) -> None:
    found = decoded(FROM_LIBCNI | {"config": config})
    assert (found.config, found.result) == (None, READ.result)


@pytest.mark.parametrize("kind", [{}, {"kind": None}, {"kind": "cniCacheV0"}])
def test_a_file_from_before_the_cache_had_members_is_a_bare_result(kind: dict[str, Any]) -> None:
    value = RESULT | kind
    assert decoded(value) == CachedResult(
        container_id="", ifname="", network_name="", result=result.checked(value, "")
    )


def test_a_bare_result_without_a_version_is_of_the_first() -> None:
    assert decoded({"ip4": {"ip": "10.0.0.5/24"}}).result.version == "0.1.0"


RESULTS = st.builds(
    lambda version, name, rest: {**rest, "cniVersion": version, "interfaces": [{"name": name}]},
    st.sampled_from(["0.3.1", "0.4.0", "1.0.0", "1.1.0"]),
    WORDS,
    st.dictionaries(WORDS, SCALARS, max_size=2),
)
FILES = st.builds(
    CachedResult,
    container_id=WORDS,
    ifname=WORDS,
    network_name=WORDS,
    netns=st.text(max_size=8),
    config=st.none() | WORDS.map(lambda kind: network.parse({"name": "lan", "type": kind})),
    cni_args=st.lists(st.tuples(WORDS, st.text(max_size=8)), max_size=2).map(tuple),
    capability_args=st.none() | st.dictionaries(WORDS, SCALARS, min_size=1, max_size=2),
    result=RESULTS.map(lambda value: result.checked(value, "")),
)


@settings(deadline=None, max_examples=100)
@given(FILES)
def test_what_was_written_is_read(made: CachedResult) -> None:
    assert cached.decode(cached.encode(made)) == made


# -- what cannot be read


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        (b"", "the cached result is not JSON"),
        (b"\xff", "the cached result is not UTF-8"),
        (b"[]", "the cached result is a list, not a JSON object"),
        (b"null", "the cached result is null, not a JSON object"),
    ],
)
def test_bytes_that_are_no_object_are_refused(raw: bytes, cause: str) -> None:
    error = refused(cached.decode, raw)
    assert error.code == Code.DECODING_FAILURE
    assert error.cause.startswith(cause)


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("containerId", None, "containerId"),
        ("containerId", 5, "containerId"),
        ("ifName", None, "ifName"),
        ("ifName", [], "ifName"),
        ("networkName", None, "networkName"),
        ("networkName", {}, "networkName"),
        ("netns", 1, "netns"),
        ("config", {}, "config"),
        ("cniArgs", "K=V", "cniArgs"),
        ("cniArgs", [["K"]], "cniArgs.0"),
        ("cniArgs", [["K", "V", "W"]], "cniArgs.0"),
        ("cniArgs", [["K", 1]], "cniArgs.0.1"),
        ("capabilityArgs", [], "capabilityArgs"),
        ("result", None, "result"),
        ("result", [], "result"),
    ],
)
def test_a_broken_member_is_named(key: str, value: object, place: str) -> None:
    error = failure(FROM_LIBCNI | {key: value})
    assert (error.code, error.hint) == (Code.DECODING_FAILURE, "a DEL goes on without it")
    assert error.cause.startswith(f"{place}: ")


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        ({"cniVersion": "9.9.9"}, "unsupported CNI result version '9.9.9'"),
        ({"cniVersion": "1.0.0", "ips": [{}]}, "its result has ips[0].address that is null"),
        ({"ip4": {"ip": "here"}}, "its result has ip4.ip 'here'"),
    ],
)
def test_a_broken_result_cannot_be_read_either(broken: dict[str, Any], cause: str) -> None:
    for value in (FROM_LIBCNI | {"result": broken}, broken):
        error = failure(value)
        assert (error.code, error.hint) == (Code.DECODING_FAILURE, "a DEL goes on without it")
        assert error.cause.startswith(cause)


ANYTHING = (
    st.binary(max_size=20)
    | encoded(spoiled(FROM_LIBCNI))
    | encoded(spoiled(RESULT))
    | encoded(st.text(max_size=8).map(lambda text: FROM_LIBCNI | {"config": text}))
)


@settings(deadline=None, max_examples=200)
@given(ANYTHING)
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    tolerated(cached.decode, raw)


# -- the name of the file


def test_the_file_is_named_after_what_is_attached() -> None:
    assert cached.file_name("ctr", "net1", "lan") == "lan-ctr-net1"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("lan-ctr-net1", ""),
        ("n" * 250, ""),
        ("n" * 251, "has 251 bytes (at most 250)"),
        ("é" * 126, "has 252 bytes (at most 250)"),
        ("../lan-ctr-net1", "is not the name of a file"),
        ("lan\0-ctr-net1", "is not the name of a file"),
    ],
)
def test_a_name_that_no_file_can_be_written_under_is_told(name: str, fault: str) -> None:
    assert cached.file_name_fault(name) == fault
