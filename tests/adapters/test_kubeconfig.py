"""What a kubeconfig makes of the configuration of a client: what the library would make of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes.client import Configuration

from multus_py.adapters import kubeconfig
from multus_py.cni.errors import CniError

if TYPE_CHECKING:
    from collections.abc import Callable

    Set = Callable[[Configuration, dict[str, Any], dict[str, Any]], None]

FILE = os.path.abspath(__file__)
FILES = st.sampled_from([FILE, f"{Path(FILE).parent}/../adapters/{Path(FILE).name}", "/none", "/"])
NOTHING = st.sampled_from([None, ""])
NONSENSE = st.sampled_from([0, 7, 1.5, True])
TEXTS = st.sampled_from(["a", "a.b.c", " ä\n", "10.0.0.1"])

CLUSTERS = st.fixed_dictionaries(
    {},
    optional={
        "server": st.sampled_from(
            ["https://h", "https://[fd00::1]:6443/k8s//", "http://h:80/", "h", "https"]
        )
        | NOTHING
        | NONSENSE,
        "certificate-authority": FILES | NOTHING | NONSENSE,
        "insecure-skip-tls-verify": st.booleans() | NOTHING,
        "tls-server-name": TEXTS | NOTHING,
        "proxy-url": st.sampled_from(["http://proxy:3128", "socks5://proxy"]) | NOTHING,
        "extensions": NONSENSE | NOTHING,
    },
)
USERS = st.fixed_dictionaries(
    {},
    optional={
        "token": TEXTS | NOTHING | NONSENSE,
        "tokenFile": FILES | NOTHING | NONSENSE,
        "client-certificate": FILES | NOTHING | NONSENSE,
        "client-key": FILES | NOTHING | NONSENSE,
        "username": TEXTS | NOTHING | NONSENSE,
        "password": TEXTS | NOTHING | NONSENSE,
        "as": TEXTS | NOTHING,
    },
)
USUAL = {"server": "https://h:6443", "certificate-authority": FILE}

MALFORMED = (OSError, ValueError, TypeError, AttributeError, KeyError)

NOT_COMPARED = ("logger_formatter", "refresh_api_key_hook")
"""An object of each configuration's own; what sets again what has been read once."""


def outcome(set_: Set, cluster: dict[str, Any], user: dict[str, Any]) -> dict[str, Any] | None:
    """Return all of the configuration, and what it says of the user; None if it cannot be made."""
    configuration = Configuration()
    try:
        set_(configuration, cluster, user)
    except MALFORMED:
        return None
    token = configuration.get_api_key_with_prefix("BearerToken")
    return {**vars(configuration), **dict.fromkeys(NOT_COMPARED), "token": token}


@settings(max_examples=500, deadline=None)
@given(cluster=CLUSTERS, user=USERS)
def test_the_configuration_is_the_librarys(cluster: dict[str, Any], user: dict[str, Any]) -> None:
    assert outcome(kubeconfig._set, cluster, user) == outcome(
        kubeconfig._set_by_asking, cluster, user
    )


@pytest.mark.parametrize(
    ("cluster", "user"),
    [
        (USUAL, {}),
        (USUAL, {"token": "secret"}),
        (USUAL, {"tokenFile": FILE}),
        (USUAL, {"client-certificate": FILE, "client-key": FILE}),
        (USUAL, {"token": "secret", "client-certificate": FILE, "client-key": FILE}),
        (USUAL, {"username": "name", "password": "word"}),
        (USUAL, {"token": "", "username": "name", "password": "wörd"}),
        (USUAL | {"insecure-skip-tls-verify": True}, {"token": "secret"}),
        (USUAL | {"insecure-skip-tls-verify": False}, {"token": "secret"}),
        (USUAL | {"tls-server-name": "kubernetes"}, {"token": "secret"}),
        (USUAL | {"proxy-url": "http://proxy:3128"}, {"token": "secret"}),
        ({"server": "http://h/"}, {"token": "secret", "client-certificate": "/none"}),
        ({}, {"token": "secret"}),
    ],
)
def test_what_is_usual_is_the_librarys_too(cluster: dict[str, Any], user: dict[str, Any]) -> None:
    by_us = outcome(kubeconfig._set, cluster, user)

    assert by_us is not None
    assert by_us == outcome(kubeconfig._set_by_asking, cluster, user)


@pytest.mark.parametrize("value", [None, ["a"], {"a": "b"}])
def test_what_is_no_text_is_refused(value: object) -> None:
    """The library refuses null only; of a list or an object it would send its own name for it."""
    with pytest.raises(ValueError, match="its token is"):
        kubeconfig.configure(Configuration(), USUAL, {"token": value})


def test_a_proxy_of_the_environment_is_the_librarys_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://of-environment:3128")
    for cluster in (USUAL, USUAL | {"proxy-url": "http://proxy:3128"}):
        by_us = outcome(kubeconfig._set, cluster, {})
        assert by_us == outcome(kubeconfig._set_by_asking, cluster, {})


def test_a_program_is_asked_for_a_token_whatever_else_there_is(tmp_path: Path) -> None:
    answer = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "from-program"},
    }
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    program.chmod(0o755)
    asked = {"apiVersion": answer["apiVersion"], "command": str(program), "args": []}
    configuration = Configuration()

    user = {"username": "name", "password": "word", "exec": asked}
    kubeconfig.configure(configuration, USUAL, user)

    assert configuration.api_key == {"BearerToken": "Bearer from-program"}


def test_a_provider_is_asked_for_a_token() -> None:
    provider = {"name": "gcp", "config": {"access-token": "of-provider"}}
    configuration = Configuration()

    kubeconfig.configure(configuration, USUAL, {"auth-provider": provider})

    assert configuration.api_key == {"BearerToken": "Bearer of-provider"}


# -- reading

CONFIG = {
    "clusters": [{"name": "c", "cluster": {"server": "https://h"}}],
    "users": [{"name": "u", "user": {"token": "t", "tokenFile": "file"}}],
    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    "current-context": "x",
}


@pytest.mark.parametrize(
    "text", [json.dumps(CONFIG), json.dumps(CONFIG, indent="\t"), yaml.safe_dump(CONFIG)]
)
def test_json_and_yaml_are_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "kubeconfig").write_text(text)

    assert kubeconfig.current(str(tmp_path / "kubeconfig")) == (
        {"server": "https://h"},
        {"token": "t", "tokenFile": str(tmp_path / "file")},
    )


@pytest.mark.parametrize("text", ["", "{", "a: b: c", "\0", "[1", "@", "\xff"])
def test_what_is_neither_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(CniError, match="failed to get context"):
        kubeconfig.current(str(path))


def test_json_needs_no_yaml(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(CONFIG))
    program = f"""
import sys
from multus_py.adapters import kubeconfig
kubeconfig.current({str(path)!r})
print("yaml" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "False\n"
