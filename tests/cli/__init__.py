"""Tests of ``multus_py.cli``."""
