"""The configuration of the plugin: every key with its default and with what is wrong for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni.errors import CniError, Code
from multus_py.models import config
from multus_py.models.config import LogOptions, MultusConfig
from multus_py.models.requests import RuntimeConfig
from tests.models.foreign import VALUES, refused, respelled, spoiled, tolerated

LAN = {"name": "lan", "type": "bridge"}
SMALLEST = {"name": "multus-net", "delegates": [LAN]}

EVERYTHING = {
    "cniVersion": "1.0.0",
    "name": "multus-net",
    "type": "multus-shim",
    "capabilities": {"portMappings": True},
    "ipam": {"type": "host-local"},
    "dns": {"nameservers": ["10.0.0.10"]},
    "prevResult": {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.5/24"}]},
    "runtimeConfig": {"mac": "02:00:00:00:00:77"},
    "kubeconfig": "/etc/kubeconfig",
    "delegates": [LAN, {"name": "store", "plugins": [{"type": "macvlan"}]}],
    "clusterNetwork": "primary",
    "defaultNetworks": ["storage"],
    "systemNamespaces": ["admin"],
    "multusNamespace": "networks",
    "namespaceIsolation": True,
    "globalNamespaces": "shared, default",
    "auxiliaryCNIChainName": "aux",
    "readinessindicatorfile": "/run/ready",
    "retryDeleteOnError": True,
    "confDir": "/etc/confs",
    "cniDir": "/var/records",
    "binDir": "/opt/plugins",
    "logToStderr": False,
    "logLevel": "debug",
    "logFile": "/var/log/multus.log",
    "logOptions": {"maxAge": 1, "maxSize": 2, "maxBackups": 3, "compress": False},
    "always_use_default": True,
    "legacyNetworks": False,
    "manifests": ["/etc/manifests"],
    "statusDir": "/run/status",
    "releaseAttempts": 2,
    "requestTimeout": 30,
}
"""Every key that there is, with another value than its default."""

ATTRIBUTES = {field.alias or name: name for name, field in MultusConfig.model_fields.items()}


def parsed(**changes: Any) -> MultusConfig:
    return config.parse(SMALLEST | changes)


def failure(**changes: Any) -> CniError:
    return refused(config.parse, SMALLEST | changes)


# -- keys


def test_the_smallest_configuration_has_a_name_and_a_network() -> None:
    assert [network.name for network in parsed().inline_networks()] == ["lan"]


def test_every_key_is_tested_here() -> None:
    assert set(EVERYTHING) == set(ATTRIBUTES)


@pytest.mark.parametrize(
    ("key", "default"),
    [
        ("cniVersion", ""),
        ("type", ""),
        ("capabilities", {}),
        ("ipam", {}),
        ("dns", {}),
        ("prevResult", None),
        ("runtimeConfig", RuntimeConfig()),
        ("kubeconfig", ""),
        ("clusterNetwork", ""),
        ("defaultNetworks", []),
        ("systemNamespaces", ["kube-system"]),
        ("multusNamespace", "kube-system"),
        ("namespaceIsolation", False),
        ("globalNamespaces", ""),
        ("auxiliaryCNIChainName", ""),
        ("readinessindicatorfile", ""),
        ("retryDeleteOnError", False),
        ("confDir", "/etc/cni/multus/net.d"),
        ("cniDir", "/var/lib/cni/multus"),
        ("binDir", "/opt/cni/bin"),
        ("logToStderr", True),
        ("logLevel", "panic"),
        ("logFile", ""),
        ("logOptions", LogOptions(maxAge=5, maxSize=100, maxBackups=5, compress=True)),
        ("always_use_default", None),
        ("legacyNetworks", None),
        ("manifests", []),
        ("statusDir", ""),
        ("releaseAttempts", 5),
        ("requestTimeout", 100),
    ],
)
def test_a_key_that_is_missing_or_null_has_its_default(key: str, default: object) -> None:
    assert getattr(parsed(), ATTRIBUTES[key]) == default
    assert getattr(parsed(**{key: None}), ATTRIBUTES[key]) == default


@pytest.mark.parametrize("key", sorted(set(EVERYTHING) - {"runtimeConfig", "logOptions"}))
def test_a_key_has_the_value_that_is_written(key: str) -> None:
    assert getattr(config.parse(EVERYTHING), ATTRIBUTES[key]) == EVERYTHING[key]


def test_nested_objects_have_the_values_that_are_written() -> None:
    everything = config.parse(EVERYTHING)
    assert everything.runtime_config.mac == "02:00:00:00:00:77"
    assert everything.log_options == LogOptions(maxAge=1, maxSize=2, maxBackups=3, compress=False)


@settings(deadline=None, max_examples=100)
@given(respelled(EVERYTHING))
def test_the_letter_case_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    assert config.parse(value) == config.parse(EVERYTHING)


def test_log_options_are_known_in_any_letter_case_too() -> None:
    assert parsed(LogOptions={"MAXAGE": 9}).log_options.max_age == 9


@pytest.mark.parametrize("key", ["cniConf", "defaultnetworkfile", "allowTryDeleteOnErr", "x"])
def test_other_keys_are_ignored(key: str) -> None:
    kept = parsed(**{key: [1]}).model_dump(exclude={key})
    assert kept == parsed().model_dump()


# -- wrong values


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("cniVersion", 1, "cniVersion"),
        ("name", 1, "name"),
        ("type", ["multus"], "type"),
        ("capabilities", [], "capabilities"),
        ("capabilities", {"portMappings": "true"}, "capabilities.portMappings"),
        ("ipam", "host-local", "ipam"),
        ("dns", [], "dns"),
        ("prevResult", [], "prevResult"),
        ("runtimeConfig", [], "runtimeConfig"),
        ("runtimeConfig", {"ips": "10.0.0.1"}, "runtimeConfig.ips"),
        ("kubeconfig", {}, "kubeconfig"),
        ("delegates", LAN, "delegates"),
        ("delegates", ["lan"], "delegates.0"),
        ("clusterNetwork", ["lan"], "clusterNetwork"),
        ("defaultNetworks", "lan", "defaultNetworks"),
        ("defaultNetworks", [None], "defaultNetworks.0"),
        ("systemNamespaces", "kube-system", "systemNamespaces"),
        ("systemNamespaces", [1], "systemNamespaces.0"),
        ("multusNamespace", 1, "multusNamespace"),
        ("namespaceIsolation", "true", "namespaceIsolation"),
        ("globalNamespaces", ["default"], "globalNamespaces"),
        ("auxiliaryCNIChainName", False, "auxiliaryCNIChainName"),
        ("readinessindicatorfile", True, "readinessindicatorfile"),
        ("retryDeleteOnError", 1, "retryDeleteOnError"),
        ("confDir", 1, "confDir"),
        ("cniDir", [], "cniDir"),
        ("binDir", ["/opt/cni/bin"], "binDir"),
        ("logToStderr", "yes", "logToStderr"),
        ("logLevel", 3, "logLevel"),
        ("logFile", {}, "logFile"),
        ("logOptions", "fast", "logOptions"),
        ("logOptions", {"maxAge": "5"}, "logOptions.maxAge"),
        ("logOptions", {"maxSize": 0.5}, "logOptions.maxSize"),
        ("logOptions", {"maxBackups": []}, "logOptions.maxBackups"),
        ("logOptions", {"compress": 1}, "logOptions.compress"),
        ("always_use_default", "true", "always_use_default"),
        ("legacyNetworks", 1, "legacyNetworks"),
        ("manifests", "/etc/manifests", "manifests"),
        ("manifests", [1], "manifests.0"),
        ("statusDir", [], "statusDir"),
        ("releaseAttempts", "5", "releaseAttempts"),
        ("releaseAttempts", False, "releaseAttempts"),
        ("requestTimeout", "30", "requestTimeout"),
        ("requestTimeout", 30.5, "requestTimeout"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(key: str, value: object, place: str) -> None:
    error = failure(**{key: value})
    assert error.code == Code.INVALID_CONFIGURATION
    assert error.cause.startswith((f"{place}: should be a valid ", f"{place}: should be an object"))


@pytest.mark.parametrize(
    ("seconds", "cause"),
    [
        (4, "requestTimeout: should be greater than or equal to 5 (it is 4)"),
        (3601, "requestTimeout: should be less than or equal to 3600 (it is 3601)"),
    ],
)
def test_a_request_may_take_neither_too_short_nor_too_long(seconds: int, cause: str) -> None:
    assert failure(requestTimeout=seconds).cause == cause


@pytest.mark.parametrize("seconds", [5, 3600])
def test_the_limits_of_a_requests_time_are_allowed(seconds: int) -> None:
    assert parsed(requestTimeout=seconds).request_timeout == seconds


def test_a_release_is_tried_at_least_once() -> None:
    error = failure(releaseAttempts=0)
    assert error.cause == "releaseAttempts: should be greater than or equal to 1 (it is 0)"
    assert parsed(releaseAttempts=1).release_attempts == 1


def test_a_configuration_has_a_name() -> None:
    assert refused(config.parse, {"delegates": [LAN]}).cause == "name: Field required"


def test_an_error_leads_to_the_documentation() -> None:
    assert failure(binDir=1).message() == (
        "configuration: binDir: should be a valid string (it is 1)."
        " Next: correct the CNI configuration (docs/configuration.md)"
    )


@settings(deadline=None, max_examples=200)
@given(spoiled(EVERYTHING) | st.dictionaries(st.sampled_from([*EVERYTHING, "x"]), VALUES))
def test_any_configuration_is_read_or_refused(value: Any) -> None:
    tolerated(config.parse, value)


@settings(deadline=None, max_examples=200)
@given(spoiled(SMALLEST | {"prevResult": {"ip4": {"ip": "10.0.0.5/24"}}}))
def test_any_fault_in_a_network_or_a_previous_result_is_refused_alike(value: Any) -> None:
    tolerated(config.parse, value)


# -- previous results


@pytest.mark.parametrize(
    ("cni_version", "result"),
    [
        ("0.2.0", {"ip4": {"ip": "10.0.0.5/24"}}),
        ("1.0.0", {"interfaces": [{"name": "eth0"}], "ips": [{"address": "10.0.0.5/24"}]}),
        ("1.0.0", {"cniVersion": "0.1.0", "ip6": {"ip": "fd00::5/64"}}),
        ("", {}),
    ],
)
def test_a_previous_result_is_of_its_own_or_the_configurations_version(
    cni_version: str, result: dict[str, object]
) -> None:
    assert parsed(cniVersion=cni_version, prevResult=result).prev_result == result


@pytest.mark.parametrize(
    ("cni_version", "result", "cause"),
    [
        ("1.0.0", {"ips": [{"address": "here"}]}, "prevResult: its result has ips[0].address"),
        ("0.2.0", {"ip4": {}}, "prevResult: its result has ip4.ip"),
        ("1.0.0", {"cniVersion": "9.9.9"}, "prevResult: unsupported CNI result version '9.9.9'"),
        ("9.9.9", {}, "prevResult: unsupported CNI result version '9.9.9'"),
    ],
)
def test_a_broken_previous_result_is_refused(
    cni_version: str, result: dict[str, object], cause: str
) -> None:
    error = failure(cniVersion=cni_version, prevResult=result)
    assert error.code == Code.INVALID_CONFIGURATION
    assert error.cause.startswith(cause)
    assert error.hint == "correct the CNI configuration (docs/configuration.md)"


# -- networks


@pytest.mark.parametrize("delegates", [None, []])
def test_some_network_has_to_be_named(delegates: list[object] | None) -> None:
    assert failure(delegates=delegates).cause == "neither clusterNetwork nor a delegate is set"


def test_networks_keep_the_order_of_the_configuration() -> None:
    store = {"name": "store", "plugins": [{"type": "macvlan"}, {"type": "tuning"}]}
    networks = parsed(delegates=[store, LAN]).inline_networks()
    assert [(network.name, network.types) for network in networks] == [
        ("store", ("macvlan", "tuning")),
        ("lan", ("bridge",)),
    ]


@pytest.mark.parametrize(
    ("delegate", "where", "cause"),
    [
        ({"name": "store"}, (), "neither 'type' nor 'plugins' is set"),
        ({"plugins": []}, (), "plugins is an empty list"),
        ({"plugins": "macvlan"}, (), "plugins is a text, not a list"),
        ({"plugins": [{}]}, ("plugins[0]",), "a plugin has no 'type'"),
        ({"type": "../sh"}, (), "plugin type '../sh' is not the name of a file"),
        ({"type": "macvlan", "name": 5}, (), "name is a number, not a text"),
    ],
)
def test_a_broken_delegate_is_named_by_its_place(
    delegate: dict[str, object], where: tuple[str, ...], cause: str
) -> None:
    error = failure(delegates=[LAN, delegate])
    assert error.code == Code.INVALID_CONFIGURATION
    assert (error.where, error.cause) == (("configuration", "delegates[1]", *where), cause)


def test_a_cluster_network_makes_delegates_meaningless() -> None:
    assert parsed(clusterNetwork="primary", delegates=[{}]).cluster_network == "primary"


@pytest.mark.parametrize(
    ("text", "namespaces"),
    [
        ("", ("default",)),
        ("shared", ("shared",)),
        (" shared , infra,default", ("shared", "infra", "default")),
    ],
)
def test_shared_namespaces_are_separated_by_commas_and_replace_the_default(
    text: str, namespaces: tuple[str, ...]
) -> None:
    assert parsed(globalNamespaces=text).shared_namespaces == namespaces


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("", ""),
        ("/run/ready", "/run/ready"),
        ("run/ready", "/run/ready"),
        ("/run/./multus/../ready/", "/run/ready"),
        ("../../ready", "/ready"),
    ],
)
def test_the_readiness_indicator_is_a_clean_absolute_path(written: str, path: str) -> None:
    assert parsed(readinessindicatorfile=written).readiness_indicator == path


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        ("", {"multus", "multus-shim", "multus-py"}),
        ("multus", {"multus", "multus-shim", "multus-py"}),
        ("meta", {"multus", "multus-shim", "multus-py", "meta"}),
    ],
)
def test_the_types_that_lead_back_include_the_one_we_run_under(kind: str, types: set[str]) -> None:
    assert parsed(type=kind).own_types == types


# -- the first generation

MASTER = {"type": "flannel", "masterplugin": True}
KUBECONFIG = "/etc/kubeconfig"


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({}, False),
        ({"kubeconfig": KUBECONFIG}, False),
        ({"kubeconfig": KUBECONFIG, "delegates": None}, True),
        ({"kubeconfig": KUBECONFIG, "delegates": None, "clusterNetwork": "primary"}, False),
        ({"delegates": [MASTER]}, True),
        ({"delegates": [LAN, MASTER]}, True),
        ({"delegates": [LAN | {"masterplugin": False}]}, False),
        ({"delegates": [LAN | {"masterplugin": "true"}]}, False),
        ({"kubeconfig": KUBECONFIG, "always_use_default": True}, True),
        ({"kubeconfig": KUBECONFIG, "always_use_default": False}, True),
        ({"always_use_default": None}, False),
        ({"legacyNetworks": True}, True),
        ({"legacyNetworks": False, "delegates": [MASTER]}, False),
        ({"legacyNetworks": False, "always_use_default": True}, False),
    ],
)
def test_a_configuration_of_the_first_generation_is_known_by_its_keys(
    changes: dict[str, Any], *, first: bool
) -> None:
    assert parsed(**changes).first_generation is first


def test_the_documented_configurations_of_the_first_generation_are_accepted() -> None:
    by_kubeconfig = config.parse({"name": "n", "type": "multus", "kubeconfig": KUBECONFIG})
    assert by_kubeconfig.inline_networks() == []
    always = {"kubeconfig": KUBECONFIG, "delegates": [MASTER], "always_use_default": True}
    assert config.parse({"name": "n", "type": "multus", **always}).always_use_default is True


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        (
            {"delegates": [MASTER, LAN | {"masterplugin": "yes"}]},
            "delegates[1].masterplugin is a text",
        ),
        (
            {"delegates": [LAN | {"masterplugin": 1}], "legacyNetworks": True},
            "delegates[0].masterplugin is a number",
        ),
        ({"delegates": [MASTER, LAN, MASTER]}, "more than one delegate has masterplugin"),
        ({"always_use_default": True}, "always_use_default needs a kubeconfig and delegates"),
        (
            {"always_use_default": True, "kubeconfig": KUBECONFIG, "delegates": None},
            "always_use_default needs a kubeconfig and delegates",
        ),
        (
            {"legacyNetworks": True, "delegates": []},
            "neither a kubeconfig nor clusterNetwork nor a delegate is set",
        ),
    ],
)
def test_contradictions_of_the_first_generation_are_refused(
    changes: dict[str, Any], cause: str
) -> None:
    error = failure(**changes)
    assert (error.code, error.cause) == (Code.INVALID_CONFIGURATION, cause)


@pytest.mark.parametrize("other", [{"kubeconfig": KUBECONFIG}, {"clusterNetwork": "primary"}])
def test_the_first_generation_can_do_without_delegates(other: dict[str, str]) -> None:
    assert parsed(legacyNetworks=True, delegates=None, **other).inline_networks() == []
