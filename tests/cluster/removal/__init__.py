"""Nodes that multus-py comes to and leaves, and others that want them."""
