"""Tests, one module for each module of the package, and ``system`` for the whole plugin."""
