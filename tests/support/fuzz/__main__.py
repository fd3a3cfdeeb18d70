"""Give damaged configs, images, videos and photo sequences to the reader and check that each is read or refused.

    scripts/fuzz --minutes 5 --seed 0

A failure is an exception that is not of the package, a hang, memory over the limit, or frames that differ from `probe`;
its input is kept in a folder and named. Native decoders that crash take a worker with them, which is started again. The
last line is JSON: how many inputs of each kind were tried, accepted, refused, and failed. A case repeats exactly with
`--case KIND:NUMBER`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Self

from tests.support.fuzz.cases import KINDS, run_case

ROOT = Path(__file__).resolve().parents[3]
CASE_SECONDS = 60.0
START_SECONDS = 120.0
WEIGHTS = {"config": 3, "image": 4, "exif": 3, "video": 4, "sequence": 3}
WORKER_LIFE = 400
"""Cases until a worker is replaced, so that memory is measured from the start again."""


class Worker:
    """A process that tries cases, with a limit of time for each."""

    def __init__(self) -> None:
        self.done = 0
        read_end, write_end = os.pipe()
        self.answers: IO[str] = os.fdopen(read_end, encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fuzz.cases", str(write_end)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[write_end],
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        os.close(write_end)

    def run(self, kind: str, number: int, folder: Path) -> dict[str, str]:
        """Try one case; the outcome is that of `run_case`, or "crashed" or "hung", after which the worker is gone."""
        assert self.process.stdin is not None
        limit = START_SECONDS if self.done == 0 else CASE_SECONDS
        try:
            self.process.stdin.write(json.dumps({"kind": kind, "number": number, "folder": str(folder)}) + "\n")
            self.process.stdin.flush()
            ready, _, _ = select.select([self.answers], [], [], limit)
            line = self.answers.readline() if ready else ""
        except BrokenPipeError:
            ready, line = [self.answers], ""
        self.done += 1
        if line:
            answer: dict[str, str] = json.loads(line)
            return answer
        if not ready:
            return {"outcome": "hung", "error": f"no answer within {limit:.0f} s"}
        return {"outcome": "crashed", "error": f"the worker ended with code {self.process.wait()}"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.answers.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


def run_fuzz(minutes: float, seed: int, keep: Path | None = None) -> dict[str, int]:
    """Try inputs for so many minutes, at least one of each kind.

    Returns counts: `tried`, `accepted`, `refused`, `failures`, `native_crashes` and `unsteady` (see `UnsteadyError`),
    and `KIND_tried`, `KIND_accepted` and `KIND_refused` for every kind. An input that fails is kept in a folder of
    `keep` (by default a new temporary one) and named on stderr.
    """
    counts = dict.fromkeys(("tried", "accepted", "refused", "failures", "native_crashes", "unsteady"), 0)
    counts |= {f"{kind}_{what}": 0 for kind in KINDS for what in ("tried", "accepted", "refused")}
    rng = random.Random(seed)
    first = list(KINDS)
    end = time.monotonic() + 60 * minutes
    worker = Worker()
    with tempfile.TemporaryDirectory(prefix="tempera-fuzz-") as scratch:
        try:
            while first or time.monotonic() < end:
                if worker.done >= WORKER_LIFE:
                    worker.__exit__()
                    worker = Worker()
                kind = first.pop() if first else rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
                number = rng.randrange(2**40)
                folder = Path(scratch, "case")
                answer = worker.run(kind, number, folder)
                counts["tried"] += 1
                counts[f"{kind}_tried"] += 1
                if answer["outcome"] in ("accepted", "refused"):
                    counts[answer["outcome"]] += 1
                    counts[f"{kind}_{answer['outcome']}"] += 1
                    continue
                counts[{"crashed": "native_crashes", "unsteady": "unsteady"}.get(answer["outcome"], "failures")] += 1
                keep = keep or Path(tempfile.mkdtemp(prefix="tempera-fuzz-failures-"))
                shutil.copytree(folder, keep / f"{kind}-{number}", symlinks=True, ignore=_pipes, dirs_exist_ok=True)
                sys.stderr.write(f"{answer['outcome']}: {kind}:{number} in {keep}: {answer['error']!r}\n")
                if answer["outcome"] in ("crashed", "hung"):
                    worker.__exit__()
                    worker = Worker()
        finally:
            worker.__exit__()
    return counts


def _pipes(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(folder, name).is_fifo()]


def main() -> None:
    """Fuzz for a time, or repeat one case in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long")
    parser.add_argument("--seed", type=int, default=0, help="another seed tries other inputs")
    parser.add_argument("--keep", type=Path, default=None, help="folder for failing inputs")
    parser.add_argument("--case", default="", help="repeat one case, KIND:NUMBER, and print what it does")
    arguments = parser.parse_args()
    if arguments.case:
        kind, _, number = arguments.case.partition(":")
        folder = Path(tempfile.mkdtemp(prefix="tempera-fuzz-case-"))
        print(folder, file=sys.stderr)
        print(json.dumps(run_case(kind, int(number), folder)))
        return
    print(json.dumps(run_fuzz(arguments.minutes, arguments.seed, arguments.keep)))


if __name__ == "__main__":
    main()
