"""What a large cluster of daemons costs its API server, in made-up time: docs/scale.md."""
