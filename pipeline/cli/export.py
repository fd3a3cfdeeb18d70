"""`tempera export`: write the video again, without stylizing again."""

from __future__ import annotations

from typing import Any

from pipeline.cli import options
from pipeline.cli.options import parse_fps
from pipeline.cli.printing import print_paths


def export(
    directory: options.Directory,
    output: options.Output = None,
    fps: options.Fps = None,
    assignments: options.Assignments = [],  # noqa: B006 - typer copies it
    moved_to: options.MovedInput = None,
    progress: options.ProgressChoice = "auto",
) -> None:
    """Write the video again, without stylizing again. For another codec, rate or finish: --set output.crf=12."""
    from pipeline.cli.signals import cancelled_by_signals
    from pipeline.config.reading import parse_config, set_value
    from pipeline.config.settings import Config
    from pipeline.errors import ConfigError
    from pipeline.runtime.reporters import make_reporter
    from pipeline.workflows.export import export as run_export

    for assignment in assignments:
        if not assignment.strip().startswith("output."):
            raise ConfigError(
                f"--set {assignment}: export changes only keys of `output`", hint="other settings need a new render"
            )

    def changed(config: Config) -> Config:
        data: dict[str, Any] = config.model_dump(mode="json", by_alias=True)
        for assignment in assignments:
            set_value(data, assignment)
        return config.model_copy(update={"output": parse_config(data, where="--set").output})

    reporter = make_reporter(progress)
    with cancelled_by_signals() as cancellation:
        print_paths(
            run_export(
                directory, output, reporter, cancellation, fps=parse_fps(fps), settings=changed, moved_to=moved_to
            )
        )
