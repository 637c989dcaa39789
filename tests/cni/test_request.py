"""Requests: what a container runtime may ask, and what is refused before anything is looked at."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni import request
from multus_py.cni.errors import CniError, Code
from multus_py.cni.request import Attachment, Request

ENVIRONMENT = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "abc-1",
    "CNI_NETNS": "/run/netns/pod",
    "CNI_IFNAME": "eth0",
    "CNI_ARGS": "IgnoreUnknown=1",
    "CNI_PATH": "/opt/cni/bin:/usr/lib/cni",
}
CONFIG = {"cniVersion": "1.1.0", "name": "multus-net", "type": "multus-py"}


def config(**changes: Any) -> bytes:
    """Return a configuration as standard input; ``changes`` are its keys, None takes one away."""
    return json.dumps({k: v for k, v in (CONFIG | changes).items() if v is not None}).encode()


def refusal(changes: dict[str, str], stdin: bytes = config()) -> CniError:
    with pytest.raises(CniError) as caught:
        request.parse(ENVIRONMENT | changes, stdin)
    return caught.value


def outcome(environ: dict[str, str], stdin: bytes) -> str | int:
    """Return the command of a request, or the code of its error."""
    try:
        return request.parse(environ, stdin).command
    except CniError as error:
        return error.code


def test_a_request_is_environment_and_configuration() -> None:
    assert request.parse(ENVIRONMENT | {"HOME": "/root"}, config()) == Request(
        command="ADD",
        container_id="abc-1",
        netns="/run/netns/pod",
        ifname="eth0",
        args="IgnoreUnknown=1",
        path=("/opt/cni/bin", "/usr/lib/cni"),
        own_netns_allowed=False,
        config=CONFIG,
    )


def test_an_attachment_is_container_and_interface() -> None:
    assert request.parse(ENVIRONMENT, config()).attachment == Attachment("abc-1", "eth0")


def test_empty_parts_of_the_path_are_no_directories() -> None:
    path = {"CNI_PATH": ":/opt/cni/bin::/usr/lib/cni:"}
    assert request.parse(ENVIRONMENT | path, config()).path == ("/opt/cni/bin", "/usr/lib/cni")


@pytest.mark.parametrize(
    ("value", "allowed"), [("1", True), ("TRUE", True), ("true", True), ("0", False), ("", False)]
)
def test_the_own_namespace_may_be_allowed(value: str, *, allowed: bool) -> None:
    asked = request.parse(ENVIRONMENT | {"CNI_NETNS_OVERRIDE": value}, config())
    assert asked.own_netns_allowed == allowed


def test_a_configuration_is_kept_as_it_was_written() -> None:
    stdin = b'{"z": 12345678901234567, "name": "n", "cniVersion": "1.0.0", "a": 1.0}'
    asked = request.parse(ENVIRONMENT, stdin)
    assert json.dumps(asked.config) == stdin.decode()


@pytest.mark.parametrize(
    ("written", "answered"),
    [({}, "1.1.0"), ({"cniVersion": None}, "0.1.0"), ({"cniVersion": ""}, "0.1.0")],
)
def test_the_answer_has_the_version_of_the_configuration(
    written: dict[str, Any], answered: str
) -> None:
    assert request.parse(ENVIRONMENT, config(**written)).cni_version == answered
    assert request.parse(ENVIRONMENT, json.dumps(CONFIG | written).encode()).cni_version == answered


# -- which command needs what


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("ADD", ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"]),
        ("DEL", ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"]),
        ("CHECK", ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"]),
        ("GC", ["CNI_PATH"]),
        ("STATUS", ["CNI_PATH"]),
    ],
)
def test_all_missing_variables_are_named_in_one_error(command: str, needed: list[str]) -> None:
    with pytest.raises(CniError) as caught:
        request.parse({"CNI_COMMAND": command}, config())
    assert caught.value.code == Code.INVALID_ENVIRONMENT
    assert caught.value.cause == f"required environment variables {', '.join(needed)} missing"
    enough = {"CNI_COMMAND": command, **{variable: ENVIRONMENT[variable] for variable in needed}}
    assert request.parse(enough, config()).command == command


def test_version_needs_nothing_and_reads_nothing() -> None:
    asked = request.parse({"CNI_COMMAND": "VERSION"}, b"\xff no configuration")
    assert asked == Request(command="VERSION", config={})
    assert asked.cni_version == "0.1.0"


@pytest.mark.parametrize("command", ["GC", "STATUS", "VERSION"])
def test_variables_a_command_does_not_need_are_not_looked_at(command: str) -> None:
    unused = {"CNI_COMMAND": command, "CNI_CONTAINERID": "/", "CNI_IFNAME": "/"}
    assert request.parse(ENVIRONMENT | unused, config()).command == command


def test_a_container_that_is_gone_has_no_namespace() -> None:
    asked = request.parse(ENVIRONMENT | {"CNI_COMMAND": "DEL", "CNI_NETNS": ""}, config())
    assert asked.netns == ""


# -- malformed environments


TOO_LONG = f"CNI_CONTAINERID '{'x' * 41}…{'x' * 20}' is no container ID: it has 201 characters"


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"CNI_COMMAND": ""}, "required environment variables CNI_COMMAND missing"),
        ({"CNI_COMMAND": "add"}, "unknown CNI_COMMAND 'add'"),
        ({"CNI_COMMAND": "ADD "}, "unknown CNI_COMMAND 'ADD '"),
        ({"CNI_COMMAND": "UPDATE", "CNI_PATH": ""}, "unknown CNI_COMMAND 'UPDATE'"),
        ({"CNI_COMMAND": "ADD\0"}, "CNI_COMMAND contains characters that cannot be printed"),
        ({"CNI_CONTAINERID": ""}, "required environment variables CNI_CONTAINERID missing"),
        ({"CNI_CONTAINERID": "../etc"}, "CNI_CONTAINERID '../etc' is no container ID"),
        ({"CNI_CONTAINERID": "-a", "CNI_PATH": ""}, "CNI_CONTAINERID '-a' is no container ID"),
        ({"CNI_CONTAINERID": "é"}, "CNI_CONTAINERID 'é' is no container ID"),
        ({"CNI_CONTAINERID": "x" * 201}, TOO_LONG),
        ({"CNI_CONTAINERID": "a" * 201}, "CNI_CONTAINERID 'aaa"),
        ({"CNI_CONTAINERID": "abc\n"}, "CNI_CONTAINERID contains characters that"),
        ({"CNI_NETNS": ""}, "required environment variables CNI_NETNS missing"),
        ({"CNI_NETNS": "/run\n/pod"}, "CNI_NETNS contains characters that"),
        ({"CNI_NETNS": "/run\0"}, "CNI_NETNS contains characters that"),
        ({"CNI_IFNAME": ""}, "required environment variables CNI_IFNAME missing"),
        ({"CNI_IFNAME": "."}, "CNI_IFNAME: interface name '.' is empty"),
        ({"CNI_IFNAME": "a/b"}, "CNI_IFNAME: interface name 'a/b' contains"),
        ({"CNI_IFNAME": "a" * 16}, "CNI_IFNAME: interface name 'aaaaaaaaaaaaaaaa' is too long"),
        ({"CNI_IFNAME": "eth\t0"}, "CNI_IFNAME contains characters that"),
        ({"CNI_IFNAME": "eth\udcff"}, "CNI_IFNAME contains characters that"),
        ({"CNI_ARGS": "A=\n"}, "CNI_ARGS contains characters that"),
        ({"CNI_ARGS": "A=\udc80"}, "CNI_ARGS contains characters that"),
        ({"CNI_PATH": ""}, "required environment variables CNI_PATH missing"),
        ({"CNI_PATH": "/bin\x1b[0m"}, "CNI_PATH contains characters that"),
    ],
    ids=ascii,
)
def test_a_malformed_environment_is_refused(changes: dict[str, str], cause: str) -> None:
    error = refusal(changes)
    assert error.code == Code.INVALID_ENVIRONMENT
    assert error.cause.startswith(cause)


def test_an_empty_environment_lacks_a_command() -> None:
    with pytest.raises(CniError) as caught:
        request.parse({}, config())
    assert caught.value.cause == "required environment variables CNI_COMMAND missing"
    assert "people use cnitool or multus-py try" in caught.value.hint


def test_an_unknown_command_is_told_the_known_ones() -> None:
    error = refusal({"CNI_COMMAND": "UPDATE"})
    assert error.hint == "use one of ADD, DEL, CHECK, GC, STATUS, VERSION"


def test_the_environment_is_looked_at_before_standard_input() -> None:
    assert refusal({"CNI_COMMAND": "UPDATE"}, b"").code == Code.INVALID_ENVIRONMENT


# -- malformed configurations


@pytest.mark.parametrize(
    ("stdin", "code", "cause"),
    [
        (b"", 6, "is not JSON (Expecting value"),
        (b"{", 6, "is not JSON (Expecting property name"),
        (b'{"name": "\xff"}', 6, "is not UTF-8 (byte 10)"),
        (config(name="a\ud800"), 6, "holds half of a surrogate pair"),
        (b'{"a":' * 2000 + b"1" + b"}" * 2000, 6, "is nested more than 100 levels deep"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, 6, "is nested more than 100 levels deep"),
        (config().ljust(16 * 1024 * 1024 + 1), 6, "is larger than 16 MiB"),
        (b"null", 6, "is null, not a JSON object"),
        (b"[]", 6, "is a list, not a JSON object"),
        (b'"{}"', 6, "is a text, not a JSON object"),
        (config(cniVersion=1.1), 6, "cniVersion is a number, not a text"),
        (config(cniVersion=0), 6, "cniVersion is a number, not a text"),
        (config(cniVersion=False), 6, "cniVersion is a boolean, not a text"),
        (config(cniVersion=[]), 6, "cniVersion is a list, not a text"),
        (b"{}", 7, "the network configuration has no name"),
        (config(name=None), 7, "the network configuration has no name"),
        (config(name=""), 7, "the network configuration has no name"),
        (config(name=5), 7, "the network configuration has no name"),
        (config(name="a b"), 7, "network name 'a b' is invalid"),
        (config(name="-a"), 7, "network name '-a' is invalid"),
        (config(name="a/../b"), 7, "network name 'a/../b' is invalid"),
        (config(name="a\0"), 7, r"network name 'a\x00' is invalid"),
        (config(name="n" * 201), 7, "is invalid"),
        (config(cniVersion="2.0.0"), 1, "cniVersion '2.0.0' is not supported"),
        (config(cniVersion="latest"), 1, "cniVersion 'latest' is not supported"),
        (config(cniVersion="1.0"), 1, "cniVersion '1.0' is not supported"),
    ],
    ids=[
        "empty",
        "cut off",
        "not UTF-8",
        "half a surrogate pair",
        "deep",
        "deeper than the limit",
        "too large",
        "null",
        "a list",
        "a text",
        "version a number",
        "version zero",
        "version false",
        "version a list",
        "empty object",
        "no name",
        "name empty",
        "name a number",
        "name with a blank",
        "name with a dash first",
        "name a path",
        "name with a zero",
        "name too long",
        "version of the future",
        "version a word",
        "version too short",
    ],
)
def test_a_malformed_configuration_is_refused(stdin: bytes, code: int, cause: str) -> None:
    error = refusal({}, stdin)
    assert error.code == code
    assert cause in error.cause
    assert len(error.message()) <= 300


@pytest.mark.parametrize(
    ("command", "cni_version", "cause"),
    [
        ("CHECK", "0.3.1", "config version 0.3.1 does not allow CHECK (since 0.4.0)"),
        ("CHECK", "", "config version 0.1.0 does not allow CHECK (since 0.4.0)"),
        ("GC", "1.0.0", "config version 1.0.0 does not allow GC (since 1.1.0)"),
        ("STATUS", "0.4.0", "config version 0.4.0 does not allow STATUS (since 1.1.0)"),
        ("STATUS", None, "config version 0.1.0 does not allow STATUS (since 1.1.0)"),
        ("GC", "1.2.0", "cniVersion '1.2.0' is not supported"),
    ],
)
def test_a_command_the_version_does_not_have_is_refused(
    command: str, cni_version: str | None, cause: str
) -> None:
    error = refusal({"CNI_COMMAND": command}, config(cniVersion=cni_version))
    assert error.code == Code.INCOMPATIBLE_VERSION
    assert error.cause == cause


@pytest.mark.parametrize(
    ("command", "cni_version"),
    [("ADD", "0.1.0"), ("DEL", ""), ("CHECK", "0.4.0"), ("GC", "1.1.0"), ("STATUS", "1.1.0")],
)
def test_a_command_the_version_has_is_accepted(command: str, cni_version: str) -> None:
    asked = request.parse(ENVIRONMENT | {"CNI_COMMAND": command}, config(cniVersion=cni_version))
    assert asked.command == command


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=100)
@given(
    st.dictionaries(st.sampled_from(list(ENVIRONMENT)), st.text(max_size=20)),
    st.binary() | st.dictionaries(st.sampled_from(list(CONFIG)), JSON).map(lambda d: config(**d)),
)
def test_whatever_is_sent_is_a_request_or_an_error_of_the_specification(
    changes: dict[str, str], stdin: bytes
) -> None:
    assert outcome(ENVIRONMENT | changes, stdin) in {*request.COMMANDS, 1, 4, 6, 7}
