"""What is not carried goes, and nothing beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy import trimming

if TYPE_CHECKING:
    from pathlib import Path


def test_names_and_what_is_in_them_go(tmp_path: Path) -> None:
    for name in ("kubernetes/aio/client.py", "kubernetes/client/rest.py", "aio.py", "a/b_test.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    trimming.trim(str(tmp_path), ("kubernetes/aio", "*/*_test.py"))

    assert left(tmp_path) == {"kubernetes/client/rest.py", "aio.py"}


def test_generated_models_go_but_their_package_stays(tmp_path: Path) -> None:
    models = tmp_path / "kubernetes/client/models"
    models.mkdir(parents=True)
    for name in ("__init__.py", "v1_pod.py", "version_info.py"):
        (models / name).touch()

    trimming.trim(str(tmp_path), trimming.LIBRARIES)

    assert left(tmp_path) == {"kubernetes/client/models/__init__.py"}


def test_sources_of_other_languages_go_from_everywhere(tmp_path: Path) -> None:
    for name in ("a.pyi", "b.c", "py.typed", "c.py", "d.pem", "e.so"):
        (tmp_path / name).touch()

    trimming.trim(str(tmp_path), ())

    assert left(tmp_path) == {"c.py", "d.pem", "e.so"}


def test_an_entry_imports_nothing_any_more(tmp_path: Path) -> None:
    entry = tmp_path / "__init__.py"
    entry.write_text('__version__ = "1"\n\nfrom . import client\nfrom . import watch\n')

    trimming.quieten(str(entry))

    assert entry.read_text() == '__version__ = "1"\n\n'


def test_an_entry_imports_no_names_of_its_modules_any_more(tmp_path: Path) -> None:
    entry = tmp_path / "__init__.py"
    entry.write_text(
        "import os\nfrom .retry import (Backoff,\n    wait)\nfrom .live import probe\nA = 1\n"
    )

    trimming.quieten(str(entry))

    assert entry.read_text() == "import os\nA = 1\n"


def left(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}
