"""Configurations are told apart by what is in them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.models.config import OUR_TYPES
from multus_py.node import configurations
from tests.node import standin

if TYPE_CHECKING:
    from pathlib import Path


CASES: list[tuple[Any, bool, bool]] = [
    (standin.generated(), True, False),
    (standin.generated(type="multus"), True, False),
    ({"plugins": [standin.generated()]}, True, False),
    ({"type": "multus-py"}, False, True),
    ({"plugins": [{"type": "tuning"}, {"type": "multus-py"}]}, False, True),
    ({"type": "multus", "delegates": []}, False, True),
    ({"plugins": [{"type": "multus-shim"}]}, False, True),
    ({"type": "bridge"}, False, False),
    ({"type": "other", "delegate": {"type": "multus-py"}}, False, False),
    ({"type": ["multus-py"], "plugins": "multus-py"}, False, False),
    ({"plugins": [5, None, {"type": 5}]}, False, False),
    (["multus-py"], False, False),
    ("multus-py", False, False),
]


@pytest.mark.parametrize(("content", "generated", "calls"), CASES)
@pytest.mark.parametrize("name", ["00-multus.conf", "10-net.conflist.cilium_bak", "x"])
def test_the_content_decides(
    tmp_path: Path, name: str, content: object, *, generated: bool, calls: bool
) -> None:
    path = tmp_path / name
    path.write_text(json.dumps(content))
    assert configurations.generated(str(tmp_path)) == ((str(path),) if generated else ())
    assert configurations.calling(str(tmp_path), OUR_TYPES) == ((str(path),) if calls else ())


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"type": "multus-py"'])
def test_what_is_no_json_is_nobodys(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "00-multus.conf").write_bytes(content)
    assert configurations.calling(str(tmp_path), OUR_TYPES) == ()


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "00-multus.conf")
    (tmp_path / "multus.d").mkdir()
    (tmp_path / "link.conf").symlink_to("nowhere")
    assert configurations.calling(str(tmp_path), OUR_TYPES) == ()
    assert configurations.calling(str(tmp_path / "nowhere"), OUR_TYPES) == ()
