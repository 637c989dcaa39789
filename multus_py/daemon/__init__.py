"""The node daemon: answers the plugin over a socket with what it already knows."""
