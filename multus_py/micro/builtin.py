"""Importing this lets MicroPython find the modules that are compiled into CPython."""

import sys

from multus_py.micro import posix, select, signals, sockets, time

for _name, _module in (
    ("posix", posix),
    ("select", select),
    ("time", time),
    ("_signal", signals),
    ("_socket", sockets),
):
    sys.modules[_name] = _module
