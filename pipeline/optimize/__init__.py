"""The optimization of pixels: the objective, its losses, and the minimizers."""
