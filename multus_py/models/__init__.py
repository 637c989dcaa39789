"""What other people write and read: configuration, annotations, API objects, files on disk."""
