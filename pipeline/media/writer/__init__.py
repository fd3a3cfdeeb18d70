"""Writing the output: videos with audio, animations, and numbered images."""
