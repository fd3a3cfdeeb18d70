"""What becomes of stored frames: finished, retimed, framed, named and recorded in files."""
