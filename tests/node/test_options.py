"""What the flags of Multus's ``thin_entrypoint`` come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.node.options import Options

if TYPE_CHECKING:
    from pathlib import Path


def test_without_flags_everything_is_as_with_multus() -> None:
    assert Options().settings() == {
        "confDir": "/etc/cni/multus/net.d",
        "kubeconfig": "/etc/cni/net.d/multus.d/multus.kubeconfig",
    }
    task, target = Options().task(), Options().target()
    assert (task.directory, task.primaries) == ("/host/etc/cni/net.d", "/host/etc/cni/net.d")
    assert (target.bin_dir, target.conf_dir) == ("/host/opt/cni/bin", "/etc/cni/net.d")
    assert Options().kubeconfig == "/host/etc/cni/net.d/multus.d/multus.kubeconfig"


def test_the_keys_of_the_configuration_are_in_multus_order() -> None:
    options = Options(
        multus_log_to_stderr=False,
        multus_log_level="DEBUG",
        multus_log_file="/var/log/multus.log",
        global_namespaces="a,b",
        namespace_isolation=True,
        additional_bin_dir="/opt/more",
        readiness_indicator_file="/run/ready",
        multus_cni_conf_dir="/host/etc/other",
        multus_kubeconfig_file_host="/etc/k3s/net.d/multus.d/multus.kubeconfig",
    )
    assert list(options.settings().items()) == [
        ("namespaceIsolation", True),
        ("globalNamespaces", "a,b"),
        ("logToStderr", False),
        ("logLevel", "debug"),
        ("logFile", "/var/log/multus.log"),
        ("binDir", "/opt/more"),
        ("confDir", "/etc/other"),
        ("readinessindicatorfile", "/run/ready"),
        ("kubeconfig", "/etc/k3s/net.d/multus.d/multus.kubeconfig"),
    ]
    assert options.target().conf_dir == "/etc/k3s/net.d"


def test_a_kubeconfig_of_another_name_says_nothing_of_the_directory() -> None:
    options = Options(multus_kubeconfig_file_host="/root/config", cni_conf_dir="/host/etc/x")
    assert options.target().conf_dir == "/etc/x"


def test_what_is_kept() -> None:
    task = Options(
        multus_master_cni_file_name="10-a.conf",
        override_network_name=True,
        cni_version="0.4.0",
        force_cni_version=True,
        multus_token_dir="/run/x",
    ).task()
    assert (task.named, task.copied, task.leaving) == ("10-a.conf", "", "/run/x/leaving")
    wanted = task.wanted
    assert (wanted.cni_version, wanted.force_cni_version) == ("0.4.0", True)
    assert (wanted.override_network_name, wanted.type) == (True, "multus")
    assert task.readiness_file == ""  # which may be nowhere in the container


def test_a_given_file_is_kept_as_it_is() -> None:
    task = Options(multus_conf_file="/tmp/x.conf", rename_conf_file=True).task()
    assert (task.copied, task.primaries) == ("/tmp/x.conf", "/host/etc/cni/net.d")


def test_a_renamed_file_is_read_where_it_is_kept() -> None:
    task = Options(rename_conf_file=True, cni_conf_dir="/c").task()
    assert (task.directory, task.primaries) == ("/c", "/c/multus.d/renamed")


@pytest.mark.parametrize("file", ["", "/usr/src/multus-cni/bin/multus"])
def test_multus_own_place_stands_for_multus_py(file: str) -> None:
    assert not Options(multus_bin_file=file).copies_binary
    assert Options(multus_bin_file="/bin/x").copies_binary


@pytest.mark.parametrize(
    ("flags", "cause"),
    [
        ({"cni_conf_dir": "{}/no"}, "--cni-conf-dir {}/no is not a directory"),
        ({"cni_bin_dir": "{}/no"}, "--cni-bin-dir {}/no is not a directory"),
        ({"multus_bin_file": "{}/no"}, "--multus-bin-file {}/no is not a file"),
        ({"multus_conf_file": "{}/no"}, "--multus-conf-file {}/no is not a file"),
        ({"cni_version": "7.0.0"}, "--cni-version 7.0.0 is not supported"),
        ({"multus_log_level": "loud"}, "--multus-log-level loud is none of panic, error, verbose"),
    ],
)
def test_what_cannot_be_right_is_an_error(
    tmp_path: Path, flags: dict[str, str], cause: str
) -> None:
    given = {key: value.format(tmp_path) for key, value in flags.items()}
    places: dict[str, Any] = {"cni_conf_dir": str(tmp_path), "cni_bin_dir": str(tmp_path)}
    Options(**places).check()
    with pytest.raises(CniError) as raised:
        Options(**places | given).check()
    assert raised.value.code == Code.INVALID_CONFIGURATION
    assert raised.value.cause.startswith(cause.format(tmp_path))
    assert raised.value.hint


def test_where_nothing_is_installed_no_directory_for_it_is_needed(tmp_path: Path) -> None:
    Options(cni_conf_dir=str(tmp_path), cni_bin_dir="/no", skip_multus_binary_copy=True).check()
