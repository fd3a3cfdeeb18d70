"""Measures of a render and of what it is compared with."""
