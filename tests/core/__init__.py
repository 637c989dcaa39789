"""Tests of ``multus_py.core``."""
