"""From a name to a network, through definitions and files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.core import definitions
from multus_py.models.objects import NetworkDefinition, ObjectRef
from tests.fakes import FakeCluster, FakeStore, chain, single

REF = ObjectRef("default", "storage")
CONF_DIR = "/etc/cni/multus/net.d"


def a_store(**files: Any) -> FakeStore:
    """Return a disk with configuration files; ``_`` in a name stands for the last dot."""
    store = FakeStore()
    for name, content in files.items():
        base, _, suffix = name.rpartition("_")
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        store.configs[f"{CONF_DIR}/{base}.{suffix}"] = raw
    return store


def configured(config: str, store: FakeStore | None = None) -> Any:
    definition = NetworkDefinition(REF, config)
    return definitions.configured(definition, store or FakeStore(), CONF_DIR)


def test_a_missing_definition_is_named_with_its_namespace() -> None:
    with pytest.raises(definitions.NoDefinitionError) as caught:
        definitions.get(FakeCluster(), REF)

    assert caught.value.absent
    assert caught.value.code == Code.NETWORK_NOT_FOUND
    assert "(storage) in namespace (default)" in caught.value.cause


def test_a_definition_that_the_cluster_does_not_give_keeps_its_reason() -> None:
    cluster = FakeCluster(error=CniError(Code.API_REFUSED, "not allowed here", "grant it"))

    with pytest.raises(definitions.NoDefinitionError) as caught:
        definitions.get(cluster, REF)

    assert not caught.value.absent
    assert (caught.value.code, caught.value.hint) == (Code.API_REFUSED, "grant it")
    assert "not allowed here" in caught.value.cause


@pytest.mark.parametrize("name", ["", "..", "a/b", "UPPER", "x" * 254, "a?watch=1"])
def test_what_is_no_name_never_reaches_the_cluster(name: str) -> None:
    cluster = FakeCluster(error=AssertionError("asked"))  # type: ignore[arg-type]  # must not be

    with pytest.raises(definitions.NoDefinitionError) as caught:
        definitions.get(cluster, ObjectRef("default", name))
    with pytest.raises(definitions.NoDefinitionError):
        definitions.get_first_generation(cluster, ObjectRef("default", name))

    assert caught.value.absent


def test_a_configuration_without_a_name_gets_the_definitions() -> None:
    assert configured('{"type": "one"}').name == "storage"
    assert configured('{"type": "one", "name": ""}').name == "storage"
    assert configured('{"plugins": [{"type": "one"}]}').document["name"] == "storage"


def test_a_name_inside_the_configuration_is_kept() -> None:
    assert configured('{"type": "one", "name": "inner"}').name == "inner"


@pytest.mark.parametrize("config", ["null", "[1]", "{type: one}", '{"name": "x"}', '"text"'])
def test_a_configuration_that_is_none_names_the_definition(config: str) -> None:
    with pytest.raises(CniError, match="default/storage"):
        configured(config)


def test_an_empty_definition_takes_the_file_whose_network_has_its_name() -> None:
    store = a_store(
        a_conf=single("one", "other"),
        b_json=single("two", "storage"),
        c_conf=single("x", "storage"),
    )

    assert configured("", store).types == ("two",)


def test_a_list_is_found_by_its_name_too() -> None:
    store = a_store(a_conflist=chain("storage", "one", "two"))

    assert configured("", store).types == ("one", "two")


def test_a_broken_file_does_not_keep_anybody_from_finding_another() -> None:
    store = a_store(a_conf=b"{broken", b_conf=single("one", "storage"))

    assert configured("", store).types == ("one",)


def test_if_nothing_is_found_a_broken_file_is_mentioned() -> None:
    store = a_store(a_conf=b"{broken", b_conf=single("one", "other"))

    with pytest.raises(NotFoundError, match=r"a\.conf"):
        configured("", store)


def test_the_file_of_that_name_has_to_be_right() -> None:
    store = a_store(a_conf={"name": "storage"})

    with pytest.raises(CniError, match="type") as caught:
        configured("", store)

    assert caught.value.code == Code.INVALID_CONFIGURATION


def test_an_empty_directory_is_an_error() -> None:
    with pytest.raises(NotFoundError, match=CONF_DIR):
        configured("")


# -- by path


def test_a_list_is_extended_by_the_directory_of_its_name() -> None:
    store = a_store(main_conflist=chain("net", "one"))
    store.configs[f"{CONF_DIR}/net/20.conf"] = b'{"type": "three"}'
    store.configs[f"{CONF_DIR}/net/10.conf"] = b'{"type": "two"}'
    store.configs[f"{CONF_DIR}/net/30.json"] = b'{"type": "ignored"}'

    found = definitions.by_path(store, f"{CONF_DIR}/main.conflist")

    assert found.types == ("one", "two", "three")
    assert len(found.document["plugins"]) == 3
    assert len(found.written["plugins"]) == 1


def test_a_list_may_have_all_its_plugins_in_the_directory() -> None:
    store = a_store(main_conflist={"cniVersion": "1.0.0", "name": "net"})
    store.configs[f"{CONF_DIR}/net/10.conf"] = b'{"type": "two"}'

    assert definitions.by_path(store, f"{CONF_DIR}/main.conflist").types == ("two",)


@pytest.mark.parametrize("value", [True, "true", "True"])
def test_a_list_may_be_content_with_its_own(value: Any) -> None:
    store = a_store(main_conflist=chain("net", "one", loadOnlyInlinedPlugins=value))
    store.configs[f"{CONF_DIR}/net/10.conf"] = b'{"type": "two"}'

    assert definitions.by_path(store, f"{CONF_DIR}/main.conflist").types == ("one",)


@pytest.mark.parametrize("value", [[], {}, "yes", 1])
def test_a_switch_of_a_list_that_is_none_is_refused(value: Any) -> None:
    store = a_store(main_conflist=chain("net", "one", loadOnlyInlinedPlugins=value))

    with pytest.raises(CniError, match="loadOnlyInlinedPlugins is neither") as caught:
        definitions.by_path(store, f"{CONF_DIR}/main.conflist")

    assert caught.value.code == Code.INVALID_CONFIGURATION


def test_a_missing_object_of_the_first_generation_is_called_what_it_is() -> None:
    with pytest.raises(definitions.NoDefinitionError) as caught:
        definitions.get_first_generation(FakeCluster(), REF)

    assert "cannot find a Network (storage) in namespace (default)" in caught.value.cause


@pytest.mark.parametrize("name", ["../up", "", None, 7])
def test_a_list_whose_name_is_none_leads_to_no_directory(name: Any) -> None:
    store = a_store(main_conflist={"name": name, "plugins": [{"type": "one"}]})

    with pytest.raises(CniError, match="invalid network name"):
        definitions.by_path(store, f"{CONF_DIR}/main.conflist")


def test_a_broken_plugin_in_the_directory_fails_the_network_and_names_the_list() -> None:
    store = a_store(main_conflist=chain("net", "one"))
    store.configs[f"{CONF_DIR}/net/10.conf"] = b"{"

    with pytest.raises(CniError, match=r"main\.conflist"):
        definitions.by_path(store, f"{CONF_DIR}/main.conflist")


def test_a_list_in_a_file_for_single_plugins_is_refused() -> None:
    store = a_store(main_conf=chain("net", "one"))

    with pytest.raises(CniError, match="conflist"):
        definitions.by_path(store, f"{CONF_DIR}/main.conf")


def test_a_path_that_does_not_exist_is_named() -> None:
    with pytest.raises(NotFoundError, match=r"/none\.conf"):
        definitions.by_path(FakeStore(), "/none.conf")


def test_a_directory_without_a_conf_or_conflist_has_no_network() -> None:
    with pytest.raises(NotFoundError, match=CONF_DIR):
        definitions.by_path(a_store(a_json=single("one", "x")), CONF_DIR)
