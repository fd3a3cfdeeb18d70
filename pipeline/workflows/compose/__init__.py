"""Layers of several renders over their input."""
