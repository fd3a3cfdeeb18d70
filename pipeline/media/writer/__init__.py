"""Writing what is delivered: videos with sound, animations, and numbered pictures."""
