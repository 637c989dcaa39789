"""Taking over a node and leaving it: configuration, installation, credentials."""
