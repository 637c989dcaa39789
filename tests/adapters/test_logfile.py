from __future__ import annotations

import datetime as dt
import gzip
import logging
import os
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.adapters import logfile
from multus_py.models import config as configuration
from tests.processes import output, outputs, python

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOG = logging.getLogger("multus_py.tests")
MEGABYTE = 1024 * 1024


@pytest.fixture(autouse=True)
def _loggers_of_before() -> Iterator[None]:
    logger = logging.getLogger("multus_py")
    before = (logger.handlers, logger.level, logger.propagate)
    yield
    logger.handlers, logger.level, logger.propagate = before


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "multus.log"


def configure(**keys: Any) -> None:
    config = {"name": "multus", "clusterNetwork": "net", **keys}
    logfile.configure(configuration.parse(config))


def log_to(path: Path, **options: Any) -> None:
    configure(logLevel="debug", logToStderr=False, logFile=str(path), logOptions=options)


# -- lines


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("panic", ["panic"]),
        ("error", ["panic", "error", "error"]),
        ("verbose", ["panic", "error", "error", "verbose"]),
        ("debug", ["panic", "error", "error", "verbose", "debug"]),
        ("DEBUG", ["panic", "error", "error", "verbose", "debug"]),
    ],
)
def test_levels_are_those_of_multus(
    capsys: pytest.CaptureFixture[str], level: str, written: list[str]
) -> None:
    configure(logLevel=level)
    for severity in (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG):
        LOG.log(severity, "said")
    out, err = capsys.readouterr()
    assert re.findall(r"\[(\w+)\] said\n", err) == written
    assert out == ""


def test_only_panic_is_written_unless_more_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure()
    LOG.error("an error")
    assert capsys.readouterr().err == ""


def test_a_level_that_does_not_exist_is_told_once_and_silences_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(logLevel="chatty")
    LOG.error("an error")
    assert capsys.readouterr().err == (
        "multus-py: logLevel 'chatty' is none of panic, error, verbose, debug\n"
    )


def test_a_line_has_the_time_of_this_place_the_level_and_the_message(path: Path) -> None:
    earliest = dt.datetime.now().astimezone().replace(microsecond=0)
    log_to(path)
    LOG.info("ADD container=%s: %s", "ctr", "é\ud800")
    found = re.fullmatch(r"(\S+) \[verbose\] ADD container=ctr: é\?\n", path.read_text())
    assert found
    assert earliest <= dt.datetime.fromisoformat(found[1]) <= dt.datetime.now().astimezone()
    assert dt.datetime.fromisoformat(found[1]).utcoffset() == earliest.utcoffset()


def test_lines_go_where_they_are_wanted_and_nowhere_else(
    path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    configure(logLevel="error", logFile=str(path))
    LOG.error("to both")
    configure(logLevel="error", logToStderr=False)
    LOG.error("to nobody")
    log_to(path)
    LOG.error("to the file")
    assert re.findall(r"to .*", capsys.readouterr().err) == ["to both"]
    assert re.findall(r"to .*", path.read_text()) == ["to both", "to the file"]
    assert caplog.text == ""


def test_a_log_is_for_root_and_its_directory_for_all(tmp_path: Path) -> None:
    path = tmp_path / "log/multus.log"
    log_to(path)
    LOG.info("said")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", ["file/multus.log", "directory", "a\0b"])
def test_a_log_that_cannot_be_written_disturbs_nobody(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    log_to(tmp_path / name)
    LOG.info("first")
    LOG.info("second")
    assert capsys.readouterr().err.count("multus-py: cannot write logFile") == 1


# -- rotation


def rotated(path: Path) -> list[Path]:
    """Return the files that were moved aside, oldest first."""
    return sorted(other for other in path.parent.iterdir() if other != path)


def fill(path: Path, megabytes: float = 1.0) -> bytes:
    content = b"x" * int(megabytes * MEGABYTE - 1) + b"\n"
    path.write_bytes(content)
    return content


def test_a_full_log_is_moved_aside(path: Path) -> None:
    content = fill(path)
    log_to(path, maxSize=1, compress=False)
    LOG.info("after")
    (aside,) = rotated(path)
    assert re.fullmatch(r"multus-\d{4}(-\d\d){2}T\d\d(-\d\d){2}\.\d{3}\.log", aside.name)
    assert aside.read_bytes() == content
    assert path.read_text().endswith("[verbose] after\n")


def test_a_log_that_is_not_full_stays(path: Path) -> None:
    content = fill(path, 0.9)
    log_to(path, maxSize=1)
    LOG.info("after")
    assert rotated(path) == []
    assert path.read_bytes().startswith(content)


def test_a_log_may_have_a_hundred_megabytes_unless_told_otherwise(path: Path) -> None:
    path.touch()
    os.truncate(path, 99 * MEGABYTE)
    log_to(path)
    LOG.info("not yet")
    assert rotated(path) == []
    os.truncate(path, 100 * MEGABYTE)
    LOG.info("now")
    assert len(rotated(path)) == 1


def test_what_was_moved_aside_is_compressed(path: Path) -> None:
    content = fill(path)
    log_to(path, maxSize=1)
    LOG.info("after")
    (aside,) = rotated(path)
    assert aside.name.endswith(".log.gz")
    assert gzip.decompress(aside.read_bytes()) == content
    assert aside.stat().st_mode & 0o777 == 0o600


def backup(path: Path, number: int, *, days: float = 0, suffix: str = ".log") -> Path:
    """Make a file that was moved aside some days ago."""
    old = path.parent / f"multus-2024-01-0{number}T00-00-00.000{suffix}"
    old.touch()
    changed = time.time() - days * 24 * 60 * 60
    os.utime(old, (changed, changed))
    return old


def test_the_oldest_of_too_many_are_forgotten(path: Path) -> None:
    old = [backup(path, number, suffix=".log.gz") for number in range(1, 5)]
    fill(path)
    log_to(path, maxSize=1, maxBackups=3, maxAge=0)
    LOG.info("after")
    assert rotated(path)[:-1] == old[-2:]


def test_those_that_are_too_old_are_forgotten(path: Path) -> None:
    backup(path, 1, days=3)
    young = backup(path, 2, days=1)
    fill(path)
    log_to(path, maxSize=1, maxBackups=0, maxAge=2)
    LOG.info("after")
    assert rotated(path)[:-1] == [young]


def test_without_limits_none_is_forgotten(path: Path) -> None:
    old = [backup(path, number, days=1000) for number in range(1, 9)]
    fill(path)
    log_to(path, maxSize=1, maxBackups=0, maxAge=0)
    LOG.info("after")
    assert rotated(path)[:-1] == old


@pytest.mark.parametrize("name", ["multus.log", "multus"])
def test_files_of_others_are_not_forgotten(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    others = [tmp_path / other for other in ("multus-daemon.log", "multus-2024.log", "multus-a.gz")]
    for other in others:
        other.touch()
        os.utime(other, (1, 1))
    fill(path)
    log_to(path, maxSize=1, maxBackups=1, maxAge=1)
    LOG.info("after")
    assert all(other.exists() for other in others)
    assert len(rotated(path)) == len(others) + 1


# -- many processes


CONFIGURED = """
import logging, os, random, sys
from multus_py.adapters import logfile
from multus_py.models import config

path, compress, *arguments = sys.argv[1:]
logfile.configure(config.parse({
    "name": "multus", "clusterNetwork": "net", "logToStderr": False, "logLevel": "debug",
    "logFile": path,
    "logOptions": {"maxSize": 1, "maxBackups": 0, "maxAge": 1, "compress": compress == "True"},
}))
log = logging.getLogger("multus_py")
"""

WRITE = f"""{CONFIGURED}
for number in range(500):
    log.info("%s:%d %s.", arguments[0], number, random.randbytes(1500).hex())
"""


@pytest.mark.parametrize("compress", [True, False])
def test_processes_lose_no_line_and_mix_none(path: Path, *, compress: bool) -> None:
    outputs([python(WRITE, path, compress, writer) for writer in range(6)])
    contents = [path.read_bytes()]
    for aside in rotated(path):
        content = aside.read_bytes()
        contents.append(gzip.decompress(content) if compress else content)
    assert len(contents) >= 9
    lines = b"".join(contents).decode().splitlines()
    said = [re.fullmatch(r"\S+ \[verbose\] (\d:\d+) [0-9a-f]{3000}\.", line) for line in lines]
    assert sorted(found[1] if found else "" for found in said) == sorted(
        f"{writer}:{number}" for writer in range(6) for number in range(500)
    )


WRITE_WHILE_OTHERS_TIDY_UP = f"""{CONFIGURED}
def be_faster(event, arguments, done=set()):
    if event == "os.remove" and arguments[0] not in done:
        done.add(arguments[0])
        os.unlink(arguments[0])

sys.addaudithook(be_faster)
log.info("after")
"""


@pytest.mark.parametrize("compress", [True, False])
def test_what_others_have_forgotten_already_costs_no_line(path: Path, *, compress: bool) -> None:
    backup(path, 1, days=10)
    fill(path)
    output(python(WRITE_WHILE_OTHERS_TIDY_UP, path, compress))
    assert path.read_text().endswith("[verbose] after\n")
    assert len(rotated(path)) == 1
