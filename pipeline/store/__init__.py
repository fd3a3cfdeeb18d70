"""The render directory: every finished frame on disk, atomically; resumable, movable, one process at a time."""
