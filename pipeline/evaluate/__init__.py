"""Measures of a render, and of the baselines that it is compared with."""
