"""Working through a queue: every job that is not done is rendered; what fails is reported, and the others go on."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import IncompleteError, Interrupted, OtherRenderError, TemperaError
from pipeline.runtime import atomic
from pipeline.runtime.progress import ForwardingReporter, SilentReporter, describe_seconds
from pipeline.store.disk_errors import writing
from pipeline.store.lock import RenderLock
from pipeline.stylers.loaded import Loaded
from pipeline.workflows.clean import clean
from pipeline.workflows.forecast.cost import cost_key, expected_work, seconds_of
from pipeline.workflows.queue.forecast import counted, expected_frames
from pipeline.workflows.queue.jobs import RENDERS_NAME
from pipeline.workflows.queue.pictures import make_thumbnails, write_sheets
from pipeline.workflows.queue.report import PAGE_NAME, REPORT_NAME, Outcome, check_folder, write_report
from pipeline.workflows.queue.state import InputFacts, job_state, stored_frames
from pipeline.workflows.render import render
from pipeline.workflows.resolve import load_resources

if TYPE_CHECKING:
    from pipeline.runtime.cancellation import Cancellation
    from pipeline.runtime.progress import Advance, Reporter
    from pipeline.types import Chain, FrameStats, Phase
    from pipeline.workflows.queue.jobs import Job, Queue

AGAIN: Final = "the same command goes on; what is done stays as it is"
OTHER_FOLDER: Final = "use the settings that this queue was begun with, or another folder with -o"


@dataclass(frozen=True, slots=True)
class QueueResult:
    """What a queue came to: every job's outcome, the contact sheets, and the report as page and as JSON."""

    outcomes: tuple[Outcome, ...]
    sheets: tuple[Path, ...]
    page: Path
    report: Path

    def raise_if_failed(self) -> None:
        """Raise IncompleteError if a job failed."""
        failed = [outcome for outcome in self.outcomes if outcome.error is not None]
        if failed:
            first = failed[0]
            assert first.error is not None
            raise IncompleteError(
                f"{len(failed)} of {len(self.outcomes)} jobs failed, which {self.page} lists; the first is "
                f"{first.job.name}: {first.error.message}",
                hint=f"{first.error.hint}; then {AGAIN}",
            ) from first.error


def run_queue(queue: Queue, reporter: Reporter, cancellation: Cancellation, *, clean_up: bool = False) -> QueueResult:
    """Render every job that is not done; then write the contact sheets and the report.

    With `clean_up` the stored frames of a job are removed when its result is written and checked. Networks and stylers
    are loaded once for all jobs. An error of a job is kept for the report. Raises RenderDirectoryError if another
    process works on the queue, UsageError for foreign files in its place, MissingPartError or ConfigError if a style
    cannot be used here, Interrupted if an end was requested, WriteError if the folder or the report cannot be written.
    """
    renders = queue.folder / RENDERS_NAME
    with writing(renders):
        old_sheets = check_folder(queue.folder)
        atomic.make_folders(renders)
    with RenderLock(renders):
        work = _Work(queue, reporter, cancellation, clean_up)
        try:
            work.run()
        except Interrupted as stop:
            with writing(queue.folder):
                write_report(queue, work.outcomes(), [sheet for sheet in old_sheets if sheet.exists()])
            done = sum(outcome.state == "done" for outcome in work.outcomes())
            raise Interrupted(
                f"{done} of {len(queue.jobs)} jobs are done", hint=AGAIN, signal_number=stop.signal_number
            ) from None
        outcomes = work.outcomes()
        with writing(queue.folder), reporter.stage("writing the contact sheets", None):
            if not (queue.folder / REPORT_NAME).exists():
                write_report(queue, outcomes)  # it says whose the sheets are
            sheets = write_sheets(queue, {outcome.job.name for outcome in outcomes if outcome.state == "done"})
            for sheet in set(old_sheets) - set(sheets):
                atomic.remove(sheet)
            write_report(queue, outcomes, sheets)
    return QueueResult(tuple(outcomes), tuple(sheets), queue.folder / PAGE_NAME, queue.folder / REPORT_NAME)


class _Work:
    """One session of work on a queue."""

    def __init__(self, queue: Queue, reporter: Reporter, cancellation: Cancellation, clean_up: bool) -> None:
        self._queue = queue
        self._reporter = reporter
        self._cancellation = cancellation
        self._clean_up = clean_up
        self._facts = InputFacts(queue)
        self._loaded = Loaded()
        self._outcomes = {job.name: Outcome(job, "left") for job in queue.jobs}
        self._left: dict[str, tuple[Hashable, float]] = {}
        self._spent: dict[Hashable, float] = defaultdict(float)
        self._worked: dict[Hashable, float] = defaultdict(float)

    def outcomes(self) -> list[Outcome]:
        """How every job stands, in their order."""
        return list(self._outcomes.values())

    def run(self) -> None:
        """Find out what is done, load what the rest needs, and render it."""
        left = [job for job in self._queue.jobs if not self._is_settled(job)]
        if not left:
            return
        total, done = len(self._queue.jobs), len(self._queue.jobs) - len(left)
        self._reporter.note(counted(total, "job") + (f", {len(left):,} left" if done else ""))
        styles = {job.style.name: job.style for job in left}
        found = load_resources(list(styles.values()), self._queue.weights, self._reporter, self._loaded)
        for style, resources in zip(styles.values(), found, strict=True):
            for image in style.style.images:  # a style that cannot be used stops the queue before any work
                least_px = resources.encoder.min_side_px if resources.encoder else 1
                self._loaded.image_digest(image.path, min_side_px=least_px)
        reporter = _JobReporter(self._reporter)
        for number, job in enumerate(left, done + 1):
            self._cancellation.raise_if_requested("stopped", hint=AGAIN)
            self._reporter.note(f"{number:,} of {total:,}: {self._work_on(job, reporter)}{self._time_left()}")

    def _is_settled(self, job: Job) -> bool:
        """Whether a job is done, or cannot be worked on because of its input."""
        self._cancellation.raise_if_requested("stopped", hint=AGAIN)
        try:
            facts = self._facts.of(job)
        except TemperaError as error:
            self._outcomes[job.name] = Outcome(job, "failed", error=error)
            self._reporter.note(f"{job.name}: failed: {error.message}")
            return True
        state = job_state(self._queue, job, facts, self._loaded)
        if state == "done":
            self._finish(job, self._queue.output(job, facts.source.frame_count))
            return True
        frames = expected_frames(job.style, facts, 0 if state == "new" else stored_frames(self._queue, job))
        self._left[job.name] = cost_key(job.style), expected_work(job.style, facts.size, *frames)
        return False

    def _work_on(self, job: Job, reporter: _JobReporter) -> str:
        """Render a job; returns a line about it."""
        frame_count = self._facts.of(job).source.frame_count
        reporter.begin(job.name, quiet=frame_count == 1)
        key, work = self._left.pop(job.name)
        request = self._queue.request(job, frame_count)
        began = time.monotonic()
        try:
            with self._reporter.stage(job.name, None) if frame_count == 1 else contextlib.nullcontext():
                (output,) = render(request, reporter, self._cancellation, loaded=self._loaded)
        except Interrupted:
            raise
        except TemperaError as error:
            if isinstance(error, OtherRenderError):  # a queue has no --fresh and no --workdir
                error = OtherRenderError(error.message, hint=OTHER_FOLDER)
            self._outcomes[job.name] = Outcome(job, "failed", error=error)
            return f"{job.name} failed: {error.message}"
        seconds = time.monotonic() - began
        if work:  # else the result only had to be written
            self._spent[key] += seconds
            self._worked[key] += work
        self._finish(job, output)
        return f"{output.relative_to(self._queue.folder)}, {seconds:.1f} s"

    def _finish(self, job: Job, output: Path) -> None:
        """After a job is done: show it, and free its frames."""
        self._outcomes[job.name] = Outcome(job, "done", output)
        make_thumbnails(self._queue, job, self._facts.of(job))
        path = self._queue.render_path(job)
        if self._clean_up and any((path / "frames").glob("*/")):
            try:
                clean(path, SilentReporter(), self._cancellation, frames=True)
            except Interrupted:
                raise
            except TemperaError as error:
                self._reporter.note(f"{job.name}: its frames are kept: {error.message}")

    def _time_left(self) -> str:
        left: dict[Hashable, float] = defaultdict(float)
        for key, work in self._left.values():
            left[key] += work
        rates = {key: self._spent[key] / self._worked[key] for key in self._worked}
        return f"; left {describe_seconds(seconds_of(left, rates))}" if left else ""


class _JobReporter(ForwardingReporter):
    """Puts the name of the job before notes. Of a single picture it shows no steps."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__(reporter)
        self._job = ""
        self._steps: Reporter = reporter

    def begin(self, job: str, *, quiet: bool) -> None:
        """From now on this job is reported."""
        self._job = job
        self._steps = SilentReporter() if quiet else self._reporter

    def stage(self, name: str, total: int | None) -> contextlib.AbstractContextManager[Advance]:
        """See `Reporter`."""
        return self._steps.stage(name, total)

    @contextlib.contextmanager
    def stylizing(self, left: Mapping[Phase, int], done: int) -> Iterator[None]:
        """See `Reporter`."""
        with self._steps.stylizing(left, done):
            yield

    def started_anew(self, chain: Chain, index: int) -> None:
        """See `Reporter`."""
        self._steps.started_anew(chain, index)

    def frame_stored(self, chain: Chain, index: int, phase: Phase, stats: FrameStats, seconds: float) -> None:
        """See `Reporter`."""
        self._steps.frame_stored(chain, index, phase, stats, seconds)

    def note(self, message: str) -> None:
        """See `Reporter`."""
        self._reporter.note(f"{self._job}: {message}")
