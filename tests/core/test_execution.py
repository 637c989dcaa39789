"""How a plugin's end becomes an error that a person can act on."""

from __future__ import annotations

import json

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.core import add
from multus_py.core.ports import PluginExit
from tests.core.test_add import a_node
from tests.fakes import single


def ended(status: int, stdout: bytes = b"", stderr: bytes = b"") -> CniError:
    """Return the error of an ADD whose second network's plugin ended like this."""
    node = a_node()
    node.pod(networks="one")
    node.host.plugins["one"] = lambda _: PluginExit(status=status, stdout=stdout, stderr=stderr)
    with pytest.raises(CniError) as caught:
        add.add(node.session())
    return caught.value


def test_message_and_details_of_the_plugin_are_the_cause() -> None:
    error = ended(1, json.dumps({"code": 7, "msg": "no", "details": "pool is empty"}).encode())

    assert (error.code, error.cause.partition(" (not undone")[0]) == (7, "no; pool is empty")
    assert error.where == ("network default/one", "interface net1", "plugin one")


def test_the_parent_link_is_named_as_plugins_say_link_not_found() -> None:
    node = a_node()
    node.network("default/vlan", single("one", master="absent0"))
    node.pod(networks="vlan")
    said = b'{"code": 999, "msg": "Link not found"}'
    node.host.plugins["one"] = lambda _: PluginExit(status=1, stdout=said, stderr=b"")
    with pytest.raises(CniError, match=r"plugin one \(master absent0\): Link not found"):
        add.add(node.session())


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(1, 1), (11, 11), (50, 50), (99, 99), (100, 100), (999, 100), (0, 100), (-3, 100)],
)
def test_codes_that_the_specification_owns_are_passed_on(theirs: int, ours: int) -> None:
    assert ended(1, json.dumps({"code": theirs, "msg": "no"}).encode()).code == ours


@pytest.mark.parametrize("code", ["7", None, True, 7.5])
def test_a_code_that_is_none_is_not_passed_on(code: object) -> None:
    error = ended(1, json.dumps({"code": code, "msg": "no"}).encode())

    assert error.code in {Code.DELEGATE_FAILED, 1}
    assert error.cause.startswith("no")


@pytest.mark.parametrize(
    ("stdout", "stderr", "words"),
    [
        (b"", b"", "exit code 3 and without a word"),
        (b"", b"cannot open /dev/vhost-net\n", "exit code 3: cannot open /dev/vhost-net"),
        (b"Segmentation fault", b"", "exit code 3: Segmentation fault"),
        (b'{"msg": 5}', b"", 'exit code 3: {"msg": 5}'),
        (b'["x"]', b"because", "exit code 3: because"),
        (b"\xff\xfe", b"", "exit code 3: \ufffd\ufffd"),
    ],
)
def test_a_plugin_without_an_error_object_has_its_last_words_reported(
    stdout: bytes, stderr: bytes, words: str
) -> None:
    error = ended(3, stdout, stderr)

    assert error.code == Code.DELEGATE_FAILED
    assert words in error.cause


def test_a_plugin_that_died_from_a_signal_is_reported_with_its_number() -> None:
    assert "signal 9" in ended(-9).cause


def test_megabytes_of_last_words_still_fit_into_one_message() -> None:
    error = ended(1, json.dumps({"code": 100, "msg": "x" * 5_000_000}).encode())

    assert len(error.message()) <= 300
    assert "default/one" in error.message()


def test_try_again_is_explained() -> None:
    error = ended(1, json.dumps({"code": 11, "msg": "agent is starting"}).encode())

    assert error.message().endswith("Next: the runtime tries again")
