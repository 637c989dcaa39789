"""Tests of the whole plugin: real processes, real plugins, real namespaces."""
