"""The primary network's file is renamed, and ours still follows it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.node.aside import Aside
from multus_py.node.launchers import OwnTypes
from tests import powercut

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "net.d"
    directory.mkdir()
    return directory


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    return tmp_path / "stage"


def aside(directory: Path, stage: Path, named: str = "") -> Aside:
    return Aside(str(directory), str(stage), own_types=OwnTypes("/nowhere"), named=named)


def network(name: str, **more: Any) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "name": name, "type": "bridge", **more}


def write(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def staged(stage: Path) -> dict[str, str]:
    """Return the networks in the stage by file."""
    return {path.name: json.loads(path.read_text())["name"] for path in stage.iterdir()}


def test_the_file_is_renamed_and_stays_known(directory: Path, stage: Path) -> None:
    write(directory / "10-a.conf", network("a"))
    write(directory / "20-b.conf", network("b"))
    write(directory / "00-multus.conf", network("ours", type="multus-py"))
    for _ in range(2):  # the second as after a restart
        made = aside(directory, stage)
        made.look()
        assert staged(stage) == {"10-a.conf": "a"}
        made.rename()
        assert files(directory) == ["00-multus.conf", "10-a.conf.old", "20-b.conf"]

    aside(directory, stage).undo()
    assert files(directory) == ["00-multus.conf", "10-a.conf", "20-b.conf"]
    assert not stage.exists()


def test_a_file_that_is_written_again_counts(directory: Path, stage: Path) -> None:
    made = aside(directory, stage)
    for name in ("a", "another"):
        write(directory / "10-a.conf", network(name))
        made.look()
        assert staged(stage) == {"10-a.conf": name}
        made.rename()
    assert files(directory) == ["10-a.conf.old"]
    assert json.loads((directory / "10-a.conf.old").read_text())["name"] == "another"


def test_changes_of_the_renamed_file_count(directory: Path, stage: Path) -> None:
    made = aside(directory, stage)
    write(directory / "10-a.conf", network("a"))
    made.look()
    made.rename()
    write(directory / "10-a.conf.old", network("changed"))
    made.look()
    assert staged(stage) == {"10-a.conf": "changed"}


def test_while_the_file_is_half_written_the_last_one_holds(directory: Path, stage: Path) -> None:
    made = aside(directory, stage)
    write(directory / "10-a.conf", network("a"))
    write(directory / "20-b.conf", network("b"))
    made.look()
    for content in ("", "{", "[]", '{"type": "multus"}'):
        (directory / "10-a.conf").write_text(content)
        made.look()
        assert staged(stage) == {"10-a.conf": "a"}


def test_a_better_file_takes_over(directory: Path, stage: Path) -> None:
    made = aside(directory, stage)
    write(directory / "10-a.conf", network("a"))
    made.look()
    made.rename()
    write(directory / "05-b.conflist", {"name": "b", "plugins": [{"type": "ptp"}]})
    made.look()
    assert staged(stage) == {"05-b.conflist": "b"}


def test_what_is_gone_for_good_is_forgotten(directory: Path, stage: Path) -> None:
    made = aside(directory, stage)
    write(directory / "10-a.conf", network("a"))
    made.look()
    made.rename()
    (directory / "10-a.conf.old").unlink()
    made.look()
    assert staged(stage) == {}
    write(directory / "20-b.conf", network("b"))
    made.look()
    assert staged(stage) == {"20-b.conf": "b"}


def test_somebody_elses_old_file_is_left_alone(directory: Path, stage: Path) -> None:
    write(directory / "05-off.conf.old", network("off"))
    write(directory / "10-a.conf", network("a"))
    made = aside(directory, stage)
    made.look()
    assert staged(stage) == {"10-a.conf": "a"}
    made.rename()
    made.undo()
    assert files(directory) == ["05-off.conf.old", "10-a.conf"]


def test_a_named_file_is_the_one(directory: Path, stage: Path) -> None:
    write(directory / "10-a.conf", network("a"))
    write(directory / "20-b.conf", network("b"))
    made = aside(directory, stage, "20-b.conf")
    made.look()
    made.rename()
    made.look()
    assert staged(stage) == {"20-b.conf": "b"}
    assert files(directory) == ["10-a.conf", "20-b.conf.old"]


def test_plugins_of_a_sub_directory_come_along(directory: Path, stage: Path) -> None:
    (directory / "a").mkdir()
    write(directory / "a" / "10.conf", {"type": "tuning"})
    (directory / "a" / "20.conf").mkdir()
    write(directory / "10-a.conflist", {"name": "a", "plugins": [{"type": "ptp"}]})
    made = aside(directory, stage)
    made.look()
    content = json.loads((stage / "10-a.conflist").read_text())
    assert [plugin["type"] for plugin in content["plugins"]] == ["ptp", "tuning"]
    assert content["loadOnlyInlinedPlugins"] is True


def test_undoing_does_not_overwrite(directory: Path, stage: Path) -> None:
    made = aside(directory, stage)
    write(directory / "10-a.conf", network("a"))
    made.look()
    made.rename()
    write(directory / "10-a.conf", network("newer"))
    made.undo()
    assert json.loads((directory / "10-a.conf").read_text())["name"] == "newer"
    made.undo()


def test_nothing_is_written_that_is_there_already(directory: Path, stage: Path) -> None:
    made = aside(directory, stage)
    write(directory / "10-a.conf", network("a"))
    made.look()
    before = (stage / "10-a.conf").stat()
    made.look()
    assert (stage / "10-a.conf").stat().st_ino == before.st_ino


def test_the_network_is_known_whenever_the_power_fails(directory: Path, stage: Path) -> None:
    """Under its own name or renamed and kept; what was cut short is finished by the next life."""

    def prepare() -> None:
        for path in (*directory.iterdir(), *(stage.iterdir() if stage.exists() else ())):
            path.unlink()
        write(directory / "10-a.conf", network("a"))

    def act() -> None:
        made = aside(directory, stage)
        made.look()
        made.rename()
        made.undo()

    def check(calls: int) -> None:
        assert files(directory) == ["10-a.conf"] or staged(stage) == {"10-a.conf": "a"}, calls
        made = aside(directory, stage)
        made.look()
        made.rename()
        assert files(directory) == ["10-a.conf.old"]
        made.undo()
        assert files(directory) == ["10-a.conf"]

    assert powercut.at_every_call(act, prepare, check)
