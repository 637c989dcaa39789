"""Parts of a cluster that are away, killed, replaced or renewed."""
