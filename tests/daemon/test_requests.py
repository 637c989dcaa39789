"""What requests of the daemon's own are made with: what the runtime's requests showed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multus_py.daemon.requests import Seen, environment

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = {"cniVersion": "1.1.0", "name": "net", "type": "multus-py", "delegates": [{"type": "a"}]}


def test_until_the_first_request_there_is_a_guess(tmp_path: Path) -> None:
    seen = Seen({"cniDir": "/ours"}, path=str(tmp_path / "seen.json"))
    assert seen.parsed.cni_dir == "/ours"
    assert seen.parsed.delegates is None


def test_what_was_seen_last_counts_without_what_was_said_of_one_pod(tmp_path: Path) -> None:
    seen = Seen({}, path=str(tmp_path / "seen.json"))
    seen.note({**CONFIG, "prevResult": {}, "runtimeConfig": {}, "cni.dev/valid-attachments": []})
    assert seen.config == CONFIG


def test_the_next_daemon_goes_on_with_it(tmp_path: Path) -> None:
    path = tmp_path / "seen.json"
    Seen({}, path=str(path)).note(CONFIG)
    assert Seen({}, path=str(path)).config == CONFIG
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_broken_or_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "seen.json"
    path.write_bytes(b"{")
    assert Seen({}, path=str(path)).config["name"] == "multus-cni-network"
    seen = Seen({}, path=str(tmp_path / "missing" / "seen.json"))
    seen.note(CONFIG)
    assert seen.config == CONFIG


def test_variables_keep_what_follows_their_first_sign() -> None:
    assert environment([b"CNI_ARGS=a=b;c=d", b"CNI_PATH="]) == {
        "CNI_ARGS": "a=b;c=d",
        "CNI_PATH": "",
    }
