"""Tests of ``multus_py.cni``."""
