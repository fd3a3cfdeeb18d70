"""The commands that look and change nothing: probe, status, verify, doctor."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import typer

import pipeline
from pipeline.cli import options
from pipeline.cli.options import parse_fps, parse_frames


def probe(
    inputs: options.Inputs,
    frames: options.Frames = None,
    fps: options.Fps = None,
    assignments: options.Assignments = [],  # noqa: B006 - typer copies it
    as_json: options.AsJson = False,
) -> None:
    """Show what we understand of an input: order, size, timing, rotation, color, audio, gaps."""
    from pipeline.config.reading import parse_config, set_value
    from pipeline.config.settings import InputSettings
    from pipeline.media.reader.source import probe as run_probe

    settings = InputSettings()
    if assignments:
        data: dict[str, Any] = {"style": {"images": [{"path": "unused"}]}}
        for assignment in assignments:
            set_value(data, assignment)
        settings = parse_config(data, where="--set").input
    source = run_probe(inputs, settings, frames=parse_frames(frames), fps=parse_fps(fps))
    facts = asdict(source)
    if as_json:
        facts |= {"frame_count": source.frame_count, "duration_s": source.duration_s}
        _print_json(facts)
        return
    steps = {later - earlier for earlier, later in zip(source.pts, source.pts[1:], strict=False)}
    timing = (
        "constant" if len(steps) <= 1 else f"variable, steps {min(steps)} to {max(steps)} ticks of {source.time_base} s"
    )
    color = source.color
    tags = [color.primaries, color.transfer, color.matrix]
    if color.full_range is not None:
        tags.append("full range" if color.full_range else "limited range")
    rows = {
        "input": source.path,
        "kind": f"{source.kind}, {source.frame_count} frames",
        "size": f"{source.width_px}x{source.height_px} px"
        + (f", rotated by {source.rotation_deg} degrees" if source.rotation_deg else ""),
        "rate": f"{float(source.frame_rate):.3f} fps, {timing}",
        "duration": f"{source.duration_s:.3f} s",
        "order": source.order,
        "color": ", ".join(tag for tag in tags if tag) or "not tagged",
        "audio": "yes" if source.has_audio else "no",
        "digest": source.digest,
    }
    lines = [f"{name:<9} {value}" for name, value in rows.items()] + [f"note      {note}" for note in source.notes]
    sys.stdout.write("\n".join(lines) + "\n")


def status(directory: options.Directory, as_json: options.AsJson = False) -> None:
    """What is done, what is left, how fast, how long still."""
    from pipeline.runtime.progress import describe_seconds
    from pipeline.store.directory import RenderDirectory
    from pipeline.store.report import read_status
    from pipeline.workflows.render import resume_command

    found = read_status(RenderDirectory.open(directory))
    if as_json:
        facts = asdict(found)
        facts["total"]["seconds_left"] = found.total.seconds_left
        _print_json(facts)
        return
    total = found.total
    lines = [
        f"{'finished' if found.finished else found.state}: {total.done} of {total.done + total.left} frames are painted"
    ]
    if total.seconds_per_frame is not None:
        lines[0] += f", {total.seconds_per_frame:.1f} s a frame"
    if total.left:
        lines[0] += f", {describe_seconds(total.seconds_left)} left"
    lines += [
        f"  {chain.id}: {chain.progress.done} of {chain.progress.done + chain.progress.left}" for chain in found.chains
    ]
    lines += [f"  {name}: its frames were removed, its video stands for them" for name in found.delivered]
    if total.left and found.state == "stopped":
        lines.append(f"continue with: {resume_command(directory)}")
    sys.stdout.write("\n".join(lines) + "\n")


def verify(
    directory: options.Directory, progress: options.ProgressChoice = "auto", as_json: options.AsJson = False
) -> None:
    """Check every stored frame."""
    from pipeline.runtime.progress import make_reporter
    from pipeline.store.directory import RenderDirectory
    from pipeline.store.report import verify_frames

    render = RenderDirectory.open(directory)
    stored = sum(len(render.stored(chain)) for chain in render.plan.chains)
    with make_reporter(progress).stage("checking frames", stored) as advance:
        report = verify_frames(render, lambda checked, _of: advance(checked))
    if as_json:
        _print_json({**asdict(report), "ok": report.ok})
    else:
        lines = [f"{finding.kind}: {finding.path}: {finding.what}" for finding in report.findings]
        verdict = "all good" if report.ok else "damage found"
        lines.append(f"{report.checked} frames checked, {report.unpainted} not painted yet, {verdict}")
        sys.stdout.write("\n".join(lines) + "\n")
    if not report.ok:
        from pipeline.errors import RenderDirectoryError
        from pipeline.workflows.render import resume_command

        bad = sum(finding.kind in ("damaged", "missing") for finding in report.findings)
        raise RenderDirectoryError(
            f"{directory}: {bad} frames are damaged or missing",
            hint=f"`{resume_command(directory)}` paints them again, with what was painted over them",
        )


def doctor(as_json: options.AsJson = False) -> None:
    """What works here and what does not: torch, device, codecs, encoders, optional parts."""
    facts = _examine()
    if as_json:
        _print_json(facts)
    else:
        sys.stdout.write("".join(f"{name:<17} {_plain(value)}\n" for name, value in facts.items()))
    if not facts["encoder compact"].startswith("works"):
        raise typer.Exit(6)


def _examine() -> dict[str, Any]:
    from importlib.metadata import version

    import cv2
    import torch

    from pipeline.config.catalog import shipped_styles
    from pipeline.encoders.fetch import weights_path
    from pipeline.encoders.registry import ENCODERS, FLOW_NETWORKS
    from pipeline.media.writer.target import describe_codecs
    from pipeline.runtime.device import choose_device, choose_precision

    device = choose_device("auto")
    facts: dict[str, Any] = {
        "tempera": pipeline.__version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "precision": choose_precision("auto", device),
        "video": f"PyAV {version('av')}",
        "opencv": cv2.__version__,
        "codecs": describe_codecs(),
        "encoder compact": _try_compact(),
    }
    downloaded = {
        name: "encoder" for name, entry in ENCODERS.items() if entry.weights is not None and entry.weights.torchvision
    } | dict.fromkeys(FLOW_NETWORKS, "motion")
    for name, part in downloaded.items():
        here = weights_path(name).is_file()
        facts[f"{part} {name}"] = (
            "weights installed" if here else f"no weights; `tempera weights fetch {name}` loads them"
        )
    facts["styles"] = ", ".join(shipped_styles()) or "none found: the installation is incomplete"
    return facts


def _try_compact() -> str:
    """Load the bundled encoder and take one gradient through it."""
    import torch

    from pipeline.encoders.load import load_encoder
    from pipeline.errors import TemperaError

    try:
        encoder = load_encoder("compact")
    except TemperaError as error:
        return f"fails: {error.message}"
    pixels = torch.full((1, 3, 64, 64), 0.5, requires_grad=True)
    features = encoder(pixels, ("relu4_2",))["relu4_2"]
    features.square().mean().backward()  # type: ignore[no-untyped-call]
    good = pixels.grad is not None and bool(torch.isfinite(pixels.grad).all())
    return f"works, weights {encoder.digest[:12]}" if good else "fails: its gradient is not finite"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    return ", ".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)


def _print_json(value: Any) -> None:
    def known(item: Any) -> Any:
        if isinstance(item, Fraction):
            return str(item)
        raise TypeError(f"no JSON for {type(item).__name__}")

    sys.stdout.write(json.dumps(value, indent=2, default=known, ensure_ascii=False) + "\n")
