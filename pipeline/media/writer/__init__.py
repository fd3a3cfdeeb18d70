"""Writing the output: videos with sound, animations, and numbered images."""
