"""Tests of ``multus_py.daemon``."""
