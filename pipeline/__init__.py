"""Tempera: painted video from timelapses and bursts, by optimization."""

import os

__version__ = "0.1.0"

# Read when torch loads, so it stands before everything. Threads that spin while they wait make a render many times
# slower as soon as anything else runs on the machine; scripts/bench/runtime.py measures both.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
