"""Renders in processes of their own, forked from one that has imported everything and done nothing else.

A new process would spend two seconds on importing torch, and killing it there tests nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

_PRELOADED = ["torch", "cv2", "av", "numpy", "PIL.Image", "rich.progress", "pipeline.cli", "pipeline.workflows.render"]
_PRELOADED += [
    "pipeline.media.reader",
    "pipeline.media.writer",
    "pipeline.execute.scheduler",
    "pipeline.stylers.table",
    "pipeline.stylers.neural",
]
_PRELOADED += ["pipeline.encoders", "pipeline.postprocess.finish", "pipeline.analysis.cuts", "pipeline.motion"]

Hook = Callable[[], None]
"""Called in the new process before the command; must be picklable."""


def start(
    arguments: Sequence[str], *, hook: Hook | None = None, out: Path | None = None, err: Path | None = None
) -> ForkServerProcess:
    """Start `tempera` with these arguments; stdout and stderr go to files, or nowhere."""
    process = context().Process(target=_run, args=(list(arguments), hook, out or os.devnull, err or os.devnull))
    process.start()
    return process


def context() -> ForkServerContext:
    """How such processes are made."""
    # Read when torch loads; one thread, because the frames are tiny and every sum must be the same.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(_PRELOADED)
    return found


def _run(arguments: list[str], hook: Hook | None, out: str | Path, err: str | Path) -> None:
    for descriptor, path in ((1, out), (2, err)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(opened, descriptor)
        os.close(opened)
    if hook is not None:
        hook()
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    sys.argv = ["tempera", *arguments]
    from pipeline.__main__ import main

    main()
