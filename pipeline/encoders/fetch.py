"""Where the weights of networks are, and the resumable, verified download of those that torchvision publishes.

`compact` is part of the package. torchvision's weights are looked for in `TEMPERA_CACHE` if that is set, else in
`$XDG_CACHE_HOME/tempera` (usually `~/.cache/tempera`) and in the cache of torch hub, so that a file which torchvision
has already downloaded is used.
"""

from __future__ import annotations

import http.client
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from pipeline.encoders.registry import FLOW_NETWORKS, WEIGHTS, Weights
from pipeline.errors import ConfigError, MissingPartError
from pipeline.runtime import atomic
from pipeline.runtime.hashing import file_digest
from pipeline.runtime.presence import in_home

Progress = Callable[[int, int | None], None]
"""Called with the bytes done and the bytes in all (None if the server does not state them)."""

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30


def cache_folder() -> Path:
    """Where downloads go; it may not exist yet. Without a home folder, as in some containers, a temporary one."""
    chosen = os.environ.get("TEMPERA_CACHE")
    if chosen:
        return in_home(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "tempera"
    try:
        return Path.home() / ".cache" / "tempera"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / "tempera"


def weights_path(name: str) -> Path:
    """Where the weights of a network are, or would be put.

    Raises ConfigError for a name that is not in the registry.
    """
    file = _weights(name)
    if not file.torchvision:
        return Path(__file__).resolve().parent.parent / "weights" / file.file_name
    own = cache_folder() / file.file_name
    if own.is_file() or os.environ.get("TEMPERA_CACHE"):
        return own
    import torch

    shared = Path(torch.hub.get_dir()) / "checkpoints" / file.file_name
    return shared if shared.is_file() else own


def fetch(name: str, *, progress: Progress | None = None) -> Path:
    """The weights of a network on this machine, downloaded if they are missing; an interrupted download resumes.

    Raises MissingPartError if they cannot be downloaded or are damaged, ConfigError for an unknown name.
    """
    path, file = weights_path(name), _weights(name)
    if path.is_file():
        return path
    if not file.torchvision:
        verify(name)
    from pipeline.encoders import pretrained

    download(pretrained.weights_url(name), path, file.sha256, progress, hint=_offline_hint(name, path))
    return path


def verify(name: str) -> str:
    """SHA-256 of a network's weights, after comparing it with the published one.

    Raises MissingPartError if the file is missing or damaged, ConfigError for an unknown name.
    """
    path, file = weights_path(name), _weights(name)
    remedy = f"delete it and run `tempera weights fetch {name}`" if file.torchvision else "reinstall tempera"
    if not path.is_file():
        remedy = remedy.removeprefix("delete it and ")
        raise MissingPartError(f"the weights of {name} are not at {path}", hint=remedy)
    digest = file_digest(path)
    if not digest.startswith(file.sha256):
        raise MissingPartError(
            f"{path} is damaged: its SHA-256 is {digest}, expected {file.sha256}",
            hint=f"{remedy}, which writes it again",
        )
    return digest


def _weights(name: str) -> Weights:
    if name not in WEIGHTS:
        raise ConfigError(f"there are no weights of a network {name!r}", hint=f"choose from {', '.join(WEIGHTS)}")
    return WEIGHTS[name]


def _offline_hint(name: str, path: Path) -> str:
    again = f"`tempera weights fetch {name}` with a network continues where it stopped; or copy the file to {path}"
    if name in FLOW_NETWORKS:
        return f"{again}; or use --set motion.method=dis, which needs no weights"
    return f"{again} or name it with --weights; or use --encoder compact, which ships with tempera"


def download(url: str, path: Path, expected: str, progress: Progress | None = None, *, hint: str) -> None:
    """Download to `path` through `path.part`, continuing an existing part; the SHA-256 must begin with `expected`.

    Raises MissingPartError, with this hint, if the server cannot be reached, the file cannot be written, or its content
    is not the expected one.
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
            hint=f"if that happens twice, a proxy may be changing files; {hint}",
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
