"""Tests of what gets the product onto nodes: bundle, image, chart."""
