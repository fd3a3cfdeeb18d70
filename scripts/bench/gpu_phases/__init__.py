"""The phases of `scripts/bench/gpu.py`: each function yields rows, plain dicts that can be written as JSON."""
