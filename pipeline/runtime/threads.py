"""How the threads of torch's OpenMP runtime wait for each other. The runtime reads it when torch loads, so it is set
before that."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

BRIEF = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "5000"}
"""Spin for some ten microseconds, then sleep. GNU's runtime reads the second variable; other runtimes read
the first and sleep at once."""


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Make waiting threads go to sleep soon, unless one of the variables is set already.

    Threads that spin until there is work make a render many times slower as soon as anything else runs on the machine;
    threads that sleep at once make it a quarter slower where nothing does. scripts/bench/runtime.py measures all three.
    """
    if not BRIEF.keys() & environment.keys():
        environment.update(BRIEF)
