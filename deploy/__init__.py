"""How the project is put on nodes: what is built here, and manifests."""
