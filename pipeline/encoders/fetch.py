"""Where the weights of networks live, and how VGG's and RAFT's get there: a resumable, verified download.

`compact` ships inside the package. torchvision's weights are looked for in `TEMPERA_CACHE` if that is set, else in
`$XDG_CACHE_HOME/tempera` (usually `~/.cache/tempera`) and in the cache of torch hub, so that a file which torchvision
has downloaded once is used.
"""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import ConfigError, MissingPartError
from pipeline.runtime import atomic
from pipeline.runtime.hashing import file_digest

Progress = Callable[[int, int | None], None]
"""Called with the bytes done and the bytes in all (None if the server does not say)."""

COMPACT_SHA256 = "feb42f43a3d02b43f8efb43f7dde263d15d8685a16f5d6f4779f8af60684fa06"
"""Of pipeline/weights/compact.safetensors."""
FILES = {
    "vgg19": "vgg19-dcbb9e9d.pth",
    "vgg16": "vgg16-397923af.pth",
    "raft_small": "raft_small_C_T_V2-01064c6d.pth",
    "raft_large": "raft_large_C_T_SKHT_V2-ff5fadd5.pth",
}
"""torchvision's file names, known here so that looking for a file does not import torchvision; a test compares them."""
CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30


def cache_folder() -> Path:
    """Where downloads go; it need not exist yet."""
    chosen = os.environ.get("TEMPERA_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tempera"


def weights_path(name: str) -> Path:
    """Where the weights of a network are, or would be put: "compact" or one of `FILES`.

    Raises ConfigError for another name.
    """
    if name == "compact":
        return Path(__file__).resolve().parent.parent / "weights" / "compact.safetensors"
    if name not in FILES:
        raise ConfigError(
            f"there are no weights of a network {name!r}", hint=f"choose from compact, {', '.join(FILES)}"
        )
    file_name = FILES[name]
    own = cache_folder() / file_name
    if own.is_file() or os.environ.get("TEMPERA_CACHE"):
        return own
    import torch

    shared = Path(torch.hub.get_dir()) / "checkpoints" / file_name
    return shared if shared.is_file() else own


def fetch(name: str, *, progress: Progress | None = None) -> Path:
    """The weights of a network on this machine, downloaded if they are not here yet; an interrupted download resumes.

    Raises MissingPartError if they cannot be had or are damaged, ConfigError for an unknown name.
    """
    path = weights_path(name)
    if path.is_file():
        return path
    if name == "compact":
        verify(name)
    from pipeline.encoders import pretrained

    download(pretrained.weights_url(name), path, sha256_prefix(path.name), progress, hint=_offline_hint(name, path))
    return path


def verify(name: str) -> str:
    """SHA-256 of a network's weights, after comparing it with the published one.

    Raises MissingPartError if the file is absent or damaged, ConfigError for an unknown name.
    """
    path = weights_path(name)
    expected = COMPACT_SHA256 if name == "compact" else sha256_prefix(path.name)
    remedy = "reinstall tempera" if name == "compact" else f"delete it and run `tempera weights fetch {name}`"
    if not path.is_file():
        remedy = remedy.removeprefix("delete it and ")
        raise MissingPartError(f"the weights of {name} are not at {path}", hint=remedy)
    digest = file_digest(path)
    if not digest.startswith(expected):
        raise MissingPartError(
            f"{path} is damaged: its SHA-256 is {digest}, expected {expected}", hint=f"{remedy}, which writes it again"
        )
    return digest


def sha256_prefix(file_name: str) -> str:
    """The beginning of the SHA-256 that torch puts into the names of its files, as in `vgg19-dcbb9e9d.pth`."""
    return file_name.rpartition(".")[0].rpartition("-")[2]


def _offline_hint(name: str, path: Path) -> str:
    again = f"`tempera weights fetch {name}` with a network continues where it stopped; or bring the file to {path}"
    if name.startswith("raft"):
        return f"{again}; or use --set motion.method=dis, which needs no weights"
    return f"{again} or name it with --weights; or use --encoder compact, which ships with tempera"


def download(url: str, path: Path, expected: str, progress: Progress | None = None, *, hint: str) -> None:
    """Download to `path` through `path.part`, continuing a part that is there, and check that the SHA-256 of the whole
    begins with `expected`.

    Raises MissingPartError, with this hint, if the server cannot be reached, the disk refuses, or the bytes are not the
    expected ones.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _receive(url, part, progress)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise MissingPartError(
            f"{url} could not be downloaded to {path.parent}: {reason}",
            hint=hint,
        ) from error
    digest = file_digest(part)
    if not digest.startswith(expected):
        part.unlink()
        raise MissingPartError(
            f"{url} was downloaded, but its SHA-256 is {digest}, expected {expected}...; it has been deleted",
            hint=f"if that happens twice, something between you and the server changes files; {hint}",
        )
    try:
        atomic.publish(part, path)
    except OSError as error:
        raise MissingPartError(f"{path} could not be written: {error.strerror or error}", hint=hint) from error


def _receive(url: str, part: Path, progress: Progress | None) -> None:
    """Append to `part` what the server has beyond it."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "tempera"})  # noqa: S310 - torchvision's https URL
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return  # the part is already as long as the file, or longer: the digest decides
        raise
    with response:
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        done = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else done + int(length)
        with part.open("ab" if resumed else "wb") as file:
            while chunk := response.read(CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, total)
    if total is not None and done < total:
        raise ConnectionError(f"the connection broke after {done} of {total} bytes")
