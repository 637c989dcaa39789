"""The part of the bundle that is kept from one build to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy import runtime

if TYPE_CHECKING:
    from pathlib import Path


def test_two_builds_at_once_leave_one_result(tmp_path: Path) -> None:
    kept = tmp_path / "runtime"

    def make(scratch: Path, content: str) -> None:
        scratch.mkdir()
        (scratch / "content").write_text(content)

    def while_another_is_faster(scratch: str) -> None:
        make(tmp_path / scratch, "slow")
        make(kept, "fast")

    assert runtime.kept(str(kept), while_another_is_faster) == str(kept)
    assert [path.name for path in tmp_path.iterdir()] == ["runtime"]
    assert (kept / "content").read_text() == "fast"
