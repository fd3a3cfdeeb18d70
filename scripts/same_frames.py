"""Compare the frames that two revisions of Tempera store, pixel by pixel. For changes that must not change them.

    scripts/same_frames.py REVISION [--only demo burst cut styles] [--keep FOLDER]

Renders the demo and three short clips (a handheld burst, a video with a cut, two styles) with the code of REVISION, in
a worktree of its own, and with the code of the working tree. Inputs are made once, from the sample timelapse and the
style images that ship. The last line is JSON; the exit code is 1 if a frame differs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pipeline.sample.frame import sample_frame  # noqa: E402

BURST_SHIFTS_PX = ((0, 0), (3, 1), (7, -2), (9, 2), (14, 4), (15, 0), (18, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", help="what the working tree is compared with")
    parser.add_argument("--only", nargs="+", choices=("demo", "burst", "cut", "styles"), help="some of the renders")
    parser.add_argument("--keep", type=Path, help="folder for everything; by default one that is removed in the end")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        old = folder / "old-code"
        if not old.exists():
            subprocess.run(["git", "worktree", "add", "--detach", str(old), options.revision], cwd=ROOT, check=True)
        try:
            found = compare(folder, old, options.only)
        finally:
            if options.keep is None:
                subprocess.run(["git", "worktree", "remove", "--force", str(old)], cwd=ROOT, check=True)
    sys.stdout.write(json.dumps(found) + "\n")
    sys.exit(0 if found["different"] == 0 else 1)


def compare(folder: Path, old: Path, only: Sequence[str] | None) -> dict[str, Any]:
    """Render everything twice; how many frames are the same, and the names of those that are not."""
    frames, different = 0, []
    for name, command in commands(folder / "inputs").items():
        if only and name not in only:
            continue
        stored = {}
        for side, code in (("old", old), ("new", ROOT)):
            output = folder / side / name
            output.mkdir(parents=True, exist_ok=True)
            stored[side] = render(code, [*command, "-o", str(output if name == "demo" else output / "out.mp4")], output)
        both = stored["old"].keys() & stored["new"].keys()
        for path in sorted(stored["old"].keys() | stored["new"].keys()):
            frames += 1
            if path not in both or not same(stored["old"][path], stored["new"][path]):
                different.append(f"{name}/{path}")
        sys.stderr.write(f"{name}: {len(stored['new'])} frames, {len(different)} different so far\n")
    return {"frames": frames, "different": len(different), "first": different[:3]}


def same(first: Path, second: Path) -> bool:
    """Whether two images have the same pixels; how they are compressed does not matter."""
    return np.array_equal(np.asarray(Image.open(first)), np.asarray(Image.open(second)))


def render(code: Path, arguments: Sequence[str], output: Path) -> dict[str, Path]:
    """Run one command with the code of one checkout; its stored frames by their path in the output."""
    environment = {**os.environ, "PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", "pipeline", *arguments, "--progress", "none"]
    subprocess.run(command, env=environment, cwd=output.parents[1], check=True, stdout=subprocess.DEVNULL)
    found = sorted(output.glob("*.render/frames/*/*.png"))
    return {str(path.relative_to(output)): path for path in found}


def commands(inputs: Path) -> dict[str, list[str]]:
    """The arguments of each render, without its output."""
    inputs.mkdir(parents=True, exist_ok=True)
    sample = [np.asarray(sample_frame(index, 48, 320, 180)) for index in range(0, 48, 4)]
    burst, cut = inputs / "burst", inputs / "cut.mkv"
    if not burst.exists():
        burst.mkdir()
        still = np.asarray(Image.fromarray(sample[5]).resize((368, 208)))
        for number, (right, down) in enumerate(BURST_SHIFTS_PX):
            crop = still[8 + down : 188 + down, 10 + right : 330 + right]
            Image.fromarray(crop).save(burst / f"IMG_{9997 + number:04d}.png")
    if not cut.exists():
        painting = np.asarray(Image.open(ROOT / "configs" / "images" / "oil.jpg").convert("RGB"))
        second = [painting[40 : 40 + 180, 30 + 2 * index : 350 + 2 * index] for index in range(6)]
        write_video(cut, [*sample[:6], *second])
    return {
        "demo": ["demo"],
        "burst": ["render", str(burst), "--style", "oil"],
        "cut": ["render", str(cut), "--style", "watercolor"],
        "styles": ["render", str(cut), "--frames", "2:9", "--style", "woodcut", "--style", "ink", "--width", "256"],
    }


def write_video(path: Path, frames: Sequence[NDArray[np.uint8]]) -> None:
    """Encode frames, uint8 (H, W, 3) sRGB, without loss."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=Fraction(24))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "bgr0"
        for rgb in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    main()
