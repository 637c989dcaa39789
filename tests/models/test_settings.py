"""The daemon's configuration: Multus's keys, ours, and the keys that hold for every request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.models import config as configuration
from multus_py.models import settings
from multus_py.models.settings import Settings


def parsed(**keys: Any) -> Settings:
    return settings.parse(json.dumps(keys))[0]


def over(**keys: Any) -> dict[str, Any]:
    return settings.parse(json.dumps(keys))[1]


def test_nothing_is_a_complete_configuration() -> None:
    assert parsed() == Settings()
    assert over() == {}


def test_the_keys_of_multus_are_understood() -> None:
    """Source: the ConfigMap of Multus 4.3's manifest, and its documentation."""
    read = parsed(
        chrootDir="",
        cniVersion="0.3.1",
        logLevel="debug",
        logToStderr=False,
        cniConfigDir="/host/etc/cni/net.d",
        multusAutoconfigDir="/host/etc/cni/net.d",
        multusConfigFile="auto",
        socketDir="/host/run/multus/",
        metricsPort=9091,
        connectionLimit=7,
        perNodeCertificate={
            "enabled": True,
            "bootstrapKubeconfig": "/var/lib/kubelet/kubeconfig",
            "certDir": "/etc/cni/multus/certs",
            "certDuration": "24h",
        },
    )
    assert (read.log_level, read.log_to_stderr) == ("debug", False)
    assert (read.socket_dir, read.metrics_port) == ("/host/run/multus/", 9091)
    assert read.in_flight(cores=64) == 7
    assert (read.per_node_certificate.enabled, read.per_node_certificate.cert_duration) == (
        True,
        "24h",
    )


@pytest.mark.parametrize(
    ("keys", "cores", "number"),
    [
        ({}, 1, 4),
        ({}, 16, 32),
        ({"connectionLimit": 3}, 16, 3),
        ({"maxInFlight": 5, "connectionLimit": 3}, 16, 5),
    ],
)
def test_a_burst_is_bounded_by_the_cores_or_by_what_is_written(
    keys: dict[str, int], cores: int, number: int
) -> None:
    assert parsed(**keys).in_flight(cores) == number


def test_keys_of_the_plugin_hold_for_every_request() -> None:
    keys = over(confDir="/c", namespaceIsolation=True, socketDir="/s", logLevel="debug")
    assert keys == {"confDir": "/c", "namespaceIsolation": True}


def test_what_is_the_requests_own_stays_its_own() -> None:
    own = {"name": "x", "type": "x", "cniVersion": "0.3.1", "delegates": [], "kubeconfig": "/k"}
    kept = over(**own, prevResult={}, runtimeConfig={})
    assert kept == {}


def test_keys_that_both_read_are_read_by_both() -> None:
    keys = {"readinessindicatorfile": "/ready", "requestTimeout": 50}
    read = parsed(**keys)
    assert (read.readiness_indicator_file, read.request_timeout) == ("/ready", 50)
    assert over(**keys) == keys


def test_the_daemons_key_wins_whatever_its_case() -> None:
    config = {"name": "net", "confdir": "/theirs", "binDir": "/b"}
    assert configuration.overlaid(config, {"confDir": "/ours"}) == {
        "name": "net",
        "binDir": "/b",
        "confDir": "/ours",
    }


def certificate(**keys: str) -> str:
    whole = {"enabled": True, "bootstrapKubeconfig": "/k", "certDir": "/c", **keys}
    return json.dumps({"perNodeCertificate": whole})


@pytest.mark.parametrize(
    ("raw", "code", "words"),
    [
        ("[]", Code.DECODING_FAILURE, "a list, not a JSON object"),
        ("{", Code.DECODING_FAILURE, "not JSON"),
        ('{"metricsPort": "x"}', Code.INVALID_CONFIGURATION, "metricsPort"),
        ('{"metricsPort": 0}', Code.INVALID_CONFIGURATION, "metricsPort"),
        ('{"connectionLimit": 0}', Code.INVALID_CONFIGURATION, "connectionLimit"),
        ('{"connectionLimit": -1}', Code.INVALID_CONFIGURATION, "connectionLimit"),
        ('{"maxInFlight": 0}', Code.INVALID_CONFIGURATION, "maxInFlight"),
        ('{"requestTimeout": 1}', Code.INVALID_CONFIGURATION, "requestTimeout"),
        ('{"perNodeCertificate": []}', Code.INVALID_CONFIGURATION, "perNodeCertificate"),
        ('{"chrootDir": "/hostroot"}', Code.INVALID_CONFIGURATION, "chrootDir"),
        ('{"cniVersion": "0.3.7"}', Code.INVALID_CONFIGURATION, "cniVersion"),
        (certificate(certDir=""), Code.INVALID_CONFIGURATION, "certDir is not set"),
        (certificate(bootstrapKubeconfig=""), Code.INVALID_CONFIGURATION, "bootstrapKubeconfig"),
        (certificate(certDuration="9m59s"), Code.INVALID_CONFIGURATION, "10m or more"),
        (certificate(certDuration="a day"), Code.INVALID_CONFIGURATION, "no duration like 10m"),
    ],
)
def test_a_wrong_configuration_is_named(raw: str, code: Code, words: str) -> None:
    with pytest.raises(CniError) as caught:
        settings.parse(raw)
    assert caught.value.code == code
    assert words in str(caught.value)
    assert str(caught.value).startswith("daemon configuration: ")
