"""Bodies of Multus's HTTP API."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.models import multusapi
from multus_py.models.requests import Requests


def body(**members: Any) -> bytes:
    return json.dumps(members).encode()


def test_a_call_is_environment_standard_input_and_requests() -> None:
    call = multusapi.parse(
        body(
            env={"CNI_COMMAND": "ADD", "PATH": "/bin"},
            config=base64.b64encode(b'{"name": "net"}').decode(),
            interfaceAttributes={
                "ips": ["10.1.0.9/24"],
                "mac": "02:00:00:00:00:09",
                "cni-args": {"vlan": 7},
                "default-route": ["10.1.0.1"],
            },
        )
    )
    assert call.environment == {"CNI_COMMAND": "ADD", "PATH": "/bin"}
    assert call.stdin == b'{"name": "net"}'
    assert call.requests == Requests(
        ips=("10.1.0.9/24",),
        mac="02:00:00:00:00:09",
        cni_args={"vlan": 7},
        default_route=("10.1.0.1",),
    )


@pytest.mark.parametrize("attributes", [None, {}, {"ips": None, "mac": "", "cni-args": None}])
def test_what_is_not_asked_for_is_not_there(attributes: Any) -> None:
    call = multusapi.parse(body(env={}, interfaceAttributes=attributes))
    assert (call.requests, call.stdin) == (Requests(), b"")


def test_base64_may_have_lines() -> None:
    assert multusapi.parse(body(config="eyJh\r\nIjoxfQ==\n")).stdin == b'{"a":1}'


@pytest.mark.parametrize(
    ("attributes", "place"),
    [
        ({"mac": "5"}, "interfaceAttributes.mac"),
        ({"ips": ["10.1.0"]}, "interfaceAttributes.ips.0"),
        ({"default-route": ["10.1.0.1/24"]}, "interfaceAttributes.default-route.0"),
        ({"cni-args": []}, "interfaceAttributes.cni-args"),
    ],
)
def test_what_cannot_be_asked_for_is_named(attributes: Any, place: str) -> None:
    with pytest.raises(CniError, match=place) as caught:
        multusapi.parse(body(interfaceAttributes=attributes))
    assert caught.value.code == Code.INVALID_ENVIRONMENT
