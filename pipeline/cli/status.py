"""`tempera status` and `tempera verify`: the progress of a render, and the check of its stored frames."""

from __future__ import annotations

import sys
from dataclasses import asdict

from pipeline.cli import options
from pipeline.cli.printing import print_json


def status(directory: options.Directory, as_json: options.AsJson = False) -> None:
    """Show how far a render is: frames, speed, time left."""
    from pipeline.config.section import curve_lines
    from pipeline.plan.paths import style_configs
    from pipeline.runtime.progress import describe_seconds
    from pipeline.store.directory import RenderDirectory, resume_command
    from pipeline.store.status import read_status

    render = RenderDirectory.open(directory)
    found = read_status(render)
    if as_json:
        print_json(asdict(found))
        return
    total = found.total
    state, kept = "finished" if found.finished else found.state, "done" if found.exported else "stored"
    lines = [f"{state}: {total.done} of {total.done + total.left} frames are {kept}"]
    if total.seconds_per_frame is not None:
        lines[0] += f", {total.seconds_per_frame:.1f} s a frame"
    if total.left:
        lines[0] += f", {describe_seconds(total.seconds_left)} left"
    if total.anew:
        lines[0] += f"; {total.anew} started anew, because too little corresponded with the frame before"
    lines += [
        f"  {chain.id}: {chain.progress.done} of {chain.progress.done + chain.progress.left}" for chain in found.chains
    ]
    lines += [f"  {sentence}" for sentence in found.videos]
    lines += [f"  {line}" for line in curve_lines(style_configs(render.plan, directory))]
    lines += [f"  {edit}" for edit in found.edits]
    if found.checked is not None:
        lines.append(f"checked {found.checked.in_words()}")
    if total.left and found.state == "stopped":
        lines.append(f"continue with: {resume_command(directory)}")
    sys.stdout.write("\n".join(lines) + "\n")


def verify(
    directory: options.Directory, progress: options.ProgressChoice = "auto", as_json: options.AsJson = False
) -> None:
    """Check every stored frame."""
    from pipeline.runtime.reporters import make_reporter
    from pipeline.store.directory import RenderDirectory
    from pipeline.store.last_check import remember_check
    from pipeline.store.verification import verify_frames
    from pipeline.store.videos import exported

    render = RenderDirectory.open(directory)
    stored = sum(len(render.stored(chain)) for chain in render.plan.chains)
    with make_reporter(progress).stage("checking frames", stored) as advance:
        report = verify_frames(render, lambda checked, _of: advance(checked))
    bad = [finding for finding in report.findings if finding.kind in ("damaged", "missing")]
    remember_check(render, report.checked, len(bad))
    damaged = {finding.path for finding in bad}
    if as_json:
        print_json({**asdict(report), "ok": report.ok})
    else:
        lines = [f"{finding.kind}: {finding.path}: {finding.what}" for finding in report.findings]
        lines += [
            video.instead_of_frames(directory) for video in exported(render).values() if video.path not in damaged
        ]
        verdict = "all good" if report.ok else "damage found"
        lines.append(f"{report.checked} frames checked, {report.unstylized} not stylized yet, {verdict}")
        sys.stdout.write("\n".join(lines) + "\n")
    if not report.ok:
        from pipeline.errors import RenderDirectoryError
        from pipeline.store.directory import resume_command

        lost = sum(finding.chain is not None for finding in bad)
        videos = len(bad) - lost
        what = [f"{lost} frames"] * bool(lost) + [f"{videos} videos whose frames were removed"] * bool(videos)
        hints = [f"`{resume_command(directory)}` stylizes frames again, with what follows from them"] * bool(lost)
        hints += ["put a video back where it was, or render again with --fresh"] * bool(videos)
        raise RenderDirectoryError(f"{directory}: {' and '.join(what)} are damaged or missing", hint="; ".join(hints))
