"""Kill renders at random moments, fail every disk operation, measure leaks, fuzz configs and inputs.

    scripts/torture [--kills N] [--minutes M] [--seed S]

The parts: `--kills` SIGKILLs of real renders in processes of their own, at random moments and around random disk
operations, after which every frame and video is compared, byte for byte, with those of a render that was never stopped;
every disk operation of a frame, the plan, the lock, the statistics, the videos and `clean` fails once in every way;
videos on disks that are full after n bytes; memory and open files over 2,000 frames; and for `--minutes` minutes
damaged configs, images and videos. The last line is JSON. Exits with 1 if anything was lost or found wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.errors import WriteError
from tests.support.fuzz.__main__ import run_fuzz as fuzz_for
from tests.support.torture.fault_cases import CASES, video_case
from tests.support.torture.faults import try_every_fault
from tests.support.torture.kills import kill_renders
from tests.support.torture.leaks import in_a_process, watch_render

FULL_AFTER = 40
"""How many sizes of a full disk are tried for each kind of video."""
LEAK_FRAMES, LEAK_FROM = 2000, 200
LEAK_KB = 4096
"""How much 1,800 tiny frames may add to the memory of a process: less than 2.5 kB each."""


def main() -> int:
    """Run all parts and print what they found."""
    parser = argparse.ArgumentParser(
        prog="scripts/torture", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="SIGKILLs of renders (default 100)")
    parser.add_argument("--minutes", type=float, default=5.0, help="minutes of fuzzing (default 5; 0 leaves it out)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments and inputs (default 0)")
    parser.add_argument("--quick", action="store_true", help="fewer frames in the measurement of leaks")
    options = parser.parse_args()
    result = torture(options.kills, options.minutes, options.seed, quick=options.quick)
    print(json.dumps(result))
    return 0 if result["good"] else 1


def torture(kills: int, minutes: float, seed: int, *, quick: bool = False) -> dict[str, Any]:
    """All parts, one after the other; progress goes to stderr."""
    began = time.monotonic()
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as home:
        say(f"killing renders {kills} times")
        killed = kill_renders(Path(home, "kills"), kills=kills, seed=seed)
        problems += killed.failures
        say(f"  {killed.kills} kills, {killed.renders} renders finished, {killed.errors} errors")
    say("failing every disk operation")
    faults = fail_everything(problems)
    say(f"  {sum(faults.values())} faults")
    say("filling disks while a video is written")
    full = fill_disks(problems)
    leaks: dict[str, Any] = {}
    if sys.platform == "linux":
        frames = 600 if quick else LEAK_FRAMES
        say(f"rendering {frames} tiny frames")
        leaks = measure_leaks(frames, problems)
    fuzz = run_fuzz(minutes, seed, problems) if minutes else {}
    for problem in problems:
        say(f"PROBLEM: {problem}")
    return {
        "good": killed.errors == 0 and not problems,
        "seed": seed,
        "minutes": round((time.monotonic() - began) / 60, 1),
        **{name: value for name, value in asdict(killed).items() if name != "failures"},
        "faults": sum(faults.values()) + full,
        "faults_by_case": dict(faults),
        "full_disks": full,
        "leaks": leaks,
        "fuzz": fuzz,
        "problems": problems[:20],
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


def fail_everything(problems: list[str]) -> Counter[str]:
    """Put every case through every fault; returns how many each had."""
    faults: Counter[str] = Counter()
    for case in CASES:
        try:
            faults[case.name] = try_every_fault(case).total()
        except AssertionError as error:
            problems.append(f"{case.name}: {error}")
    return faults


def fill_disks(problems: list[str]) -> int:
    """Write videos over old ones on a disk that accepts no more than n bytes of a file; returns how often.

    The kernel enforces the limit, so it holds for what FFmpeg writes too.
    """
    tried = 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for name in ("a.mp4", "a.mkv", "a.gif", "a.webp"):
        case = video_case(name)
        with tempfile.TemporaryDirectory() as home:
            folder = Path(home)
            case.work(folder)
            size = (folder / name).stat().st_size
            case.prepare(folder)
            old = (folder / name).read_bytes()
            for step in range(FULL_AFTER):
                resource.setrlimit(resource.RLIMIT_FSIZE, (size * step // FULL_AFTER, limits[1]))
                try:
                    case.work(folder)
                except WriteError:
                    pass
                else:
                    problems.append(f"{name}: a full disk was not noticed")
                finally:
                    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
                tried += 1
                left = sorted(path.name for path in folder.iterdir())
                if left != [name] or (folder / name).read_bytes() != old:
                    problems.append(f"{name}: a full disk left {left}")
    return tried


def measure_leaks(frames: int, problems: list[str]) -> dict[str, Any]:
    """What a process holds after LEAK_FROM frames and at the end; growth is added to `problems`."""
    found = in_a_process(watch_render, frames, (LEAK_FROM, frames - 50))
    first, last = found[LEAK_FROM], found[frames - 50]
    if last["rss_kb"] - first["rss_kb"] > LEAK_KB:
        problems.append(f"memory grew from {first['rss_kb']} to {last['rss_kb']} kB")
    if last["files"] > first["files"] or last["threads"] > first["threads"]:
        problems.append(f"files or threads grew from {first} to {last}")
    return {"frames": frames, "first": first, "last": last}


def run_fuzz(minutes: float, seed: int, problems: list[str]) -> dict[str, Any]:
    """Damaged configs, images and videos, as `scripts/fuzz` tries them."""
    say(f"fuzzing for {minutes:g} minutes")
    found: dict[str, Any] = fuzz_for(minutes, seed)
    if found.get("failures"):
        problems.append(f"fuzzing: {found['failures']} inputs were neither read nor refused")
    return found


def say(text: str) -> None:
    """Print progress to stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
