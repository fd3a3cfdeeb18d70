"""The arguments that benchmarks of real media share. A module of the benchmarks."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def media_parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser with `--data`, a folder, and `--out`, whose help begins with the docstring of the benchmark."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("TEMPERA_DATA")
    parser.add_argument(
        "--data", type=_folder, default=data, required=data is None, help="folder of the real media (TEMPERA_DATA)"
    )
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    return parser


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a folder")
    return path
