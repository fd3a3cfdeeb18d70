"""`tempera` and `python -m pipeline`: run a command, and turn errors into two lines and an exit code."""

from __future__ import annotations

import io
import signal
import sys


def main() -> None:
    """Run the command line and exit with its exit code: see `pipeline.cli.run`."""
    interrupted = signal.getsignal(signal.SIGINT)
    if interrupted is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while modules load ends the process without a traceback
    from pipeline.cli import run
    from pipeline.cli.streams import NAMES, prepare_streams

    signal.signal(signal.SIGINT, interrupted)

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=NAMES)
    prepare_streams()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
