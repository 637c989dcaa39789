"""Tests of ``multus_py.adapters``."""
