from __future__ import annotations

import os

from tests.bench import proc
from tests.bench.proc import Machine

STAT = (
    "4711 (a (strange) name) S 1 4711 4711 0 -1 4194304 100 200 0 0 "
    "250 150 70 30 20 0 3 0 12345 1000 200 18446744073709551615"
)


def test_the_time_of_a_process_has_that_of_the_children_it_waited_for() -> None:
    assert proc.cpu_of(STAT) == 500 / os.sysconf("SC_CLK_TCK")


def test_memory_is_told_in_mebibytes() -> None:
    status = "Name:\tdaemon\nVmHWM:\t   61440 kB\nVmRSS:\t   51200 kB\n"
    assert proc.mebibytes_of(status) == 50.0
    assert proc.mebibytes_of(status, "VmHWM") == 60.0


def test_processes_are_added_up() -> None:
    one = proc.memory([os.getpid()])
    assert proc.memory([os.getpid(), os.getpid()]) > one > 0
    assert proc.cpu([os.getpid()]) >= 0


def test_stolen_time_is_a_share_of_all_time_between() -> None:
    before = Machine.of("cpu  100 0 50 800 10 0 5 35 0 0\ncpu0 1 2 3\n")
    after = Machine.of("cpu  150 0 60 930 10 0 5 45 0 0\ncpu0 1 2 3\n")
    assert after.stolen_since(before) == 10 / 200
    assert after.stolen_since(after) == 0
