"""What stylizes a batch of frames, and the table that finds it by name."""
