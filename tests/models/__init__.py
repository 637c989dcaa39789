"""Tests of ``multus_py.models``."""
