"""Tests of ``multus_py.node``."""
