"""Tempera: painted video from timelapses and bursts, by optimization."""

__version__ = "0.1.0"
