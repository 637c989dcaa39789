from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest

from multus_py.adapters.manifests import Manifests
from multus_py.cli import inputs
from multus_py.cli.inputs import Inputs
from multus_py.cni.errors import CniError, Code

if TYPE_CHECKING:
    from pathlib import Path


def definition(name: str, config: object = None) -> str:
    spec = {} if config is None else {"spec": {"config": config}}
    kind = {"kind": "NetworkAttachmentDefinition", "apiVersion": "k8s.cni.cncf.io/v1"}
    return json.dumps({**kind, "metadata": {"name": name}, **spec})


def given(*paths: Path) -> Inputs:
    made = Inputs()
    for path in paths:
        made.add(str(path))
    return made


def written(directory: Path, **files: str) -> list[Path]:
    """Write files; two underscores stand for the dot in a name."""
    paths = [directory / name.replace("__", ".") for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.write_text(content)
    return paths


def types(made: Inputs) -> list[str]:
    return [plugin["type"] for plugin in inputs.plugins(made.cluster(), made)]


RIGHT = definition("right", '{"type": "bridge"}')

# -- errors


@pytest.mark.parametrize(
    ("config", "cause"),
    [
        ('{"type": 5}', "plugin type 5 is not the name of a file"),
        ("{nonsense", "is not JSON"),
        ("[]", "is a list"),
        ("{}", "neither 'type' nor 'plugins' is set"),
        ({"type": "bridge"}, "spec.config is an object, not a text"),
    ],
)
def test_a_wrong_definition_is_named_with_its_file(
    tmp_path: Path, config: object, cause: str
) -> None:
    (path,) = written(tmp_path, net__yaml=RIGHT + "\n---\n")
    path.write_text(path.read_text() + definition("wrong", config))

    with pytest.raises(CniError, match=cause) as caught:
        types(given(path))

    assert caught.value.where == (str(path), "network default/wrong")


def test_a_wrong_network_of_the_first_generation_is_named_with_its_file(tmp_path: Path) -> None:
    kind = "{kind: Network, apiVersion: kubernetes-network.cni.cncf.io/v1, metadata: {name: old}}"
    (path,) = written(tmp_path, net__yaml=kind)

    with pytest.raises(CniError, match="plugin is not set") as caught:
        types(given(path))

    assert caught.value.where == (str(path), "network default/old")


@pytest.mark.parametrize("content", ["{", '{"type": 5}'])
def test_a_wrong_configuration_file_is_named(tmp_path: Path, content: str) -> None:
    (path,) = written(tmp_path, net__conf=content)

    with pytest.raises(CniError) as caught:
        types(given(path))

    assert str(path) in (*caught.value.where, caught.value.cause.partition(" is ")[0])


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").symlink_to("net.yaml")

    with pytest.raises(CniError, match="cannot be read") as caught:
        given(tmp_path / "net.yaml")

    assert (caught.value.code, caught.value.where) == (
        Code.IO_FAILURE,
        (str(tmp_path / "net.yaml"),),
    )


# -- files beside manifests


def test_a_definition_without_a_configuration_gets_the_file_of_its_name(tmp_path: Path) -> None:
    path, *_ = written(
        tmp_path,
        net__yaml=definition("wanted"),
        a__conf='{"name": "wanted", "type": "macvlan"}',
        b__conf='{"name": "other", "type": 5}',
        c__conf='{"type": "bridge"}',
        bad__conf="{",
    )
    (tmp_path / "directory.conf").mkdir()

    made = given(path)

    assert types(made) == ["macvlan", "bridge"]  # and the primary network's
    assert list(made.conf_files) == [str(tmp_path / "a.conf")]


def test_a_file_that_was_given_is_preferred_to_one_beside(tmp_path: Path) -> None:
    path, _ = written(
        tmp_path, net__yaml=definition("wanted"), a__conf='{"name": "wanted", "type": "macvlan"}'
    )
    (tmp_path / "x").mkdir()
    (other,) = written(tmp_path / "x", a__conf='{"name": "wanted", "type": "ipvlan"}')

    assert types(given(path, other)) == ["ipvlan", "bridge"]


def test_a_definition_that_no_file_has_the_name_of_is_an_error(tmp_path: Path) -> None:
    path, bad, _ = written(
        tmp_path, net__yaml=definition("wanted"), bad__conf="{", good__conf='{"name": "c"}'
    )

    with pytest.raises(CniError, match="has the name wanted") as caught:
        types(given(path))

    assert caught.value.where == (str(path), "network default/wanted")
    assert bad.name in caught.value.cause
    assert "good.conf" not in caught.value.cause


# -- configurations of ours


def test_a_configuration_of_ours_may_be_in_a_list(tmp_path: Path) -> None:
    ours = {"type": "multus-py", "delegates": [{"type": "ptp"}]}
    content = {"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "portmap"}, ours]}
    (path,) = written(tmp_path, ours__conflist=json.dumps(content))

    made = given(path)

    assert made.config == {**ours, "cniVersion": "1.0.0", "name": "net"}
    assert types(made) == ["ptp"]


@pytest.mark.parametrize("delegates", [5, [5], [{"type": 5}], None])
def test_wrong_delegates_are_left_to_the_plugin(tmp_path: Path, delegates: object) -> None:
    content = {"type": "multus-py", "delegates": delegates}
    (path,) = written(tmp_path, ours__conf=json.dumps(content))

    assert types(given(path)) == []


# -- what the plugin is given


def test_files_of_any_name_are_written_as_manifests(tmp_path: Path) -> None:
    """Shells pass a pipe as /dev/fd/63."""
    (tmp_path / "x").mkdir()
    paths = written(tmp_path, net__yaml=definition("a"), net__json=definition("b"))
    paths += written(tmp_path / "x", net__yaml=definition("c"))
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as file:
        file.write(definition("d"))
    made = Inputs()
    for path in (*map(str, paths), f"/dev/fd/{reader}"):
        made.add(path)
    os.close(reader)

    made.write(str(tmp_path / "out"), json.loads(definition("e")))

    cluster = Manifests([str(tmp_path / "out" / "manifests")])
    assert [item.ref.name for item in cluster.networks()] == ["a", "b", "c", "d", "e"]
    assert stat.S_ISDIR((tmp_path / "out" / "net.d").stat().st_mode)
