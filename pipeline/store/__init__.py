"""The render directory: every finished frame on disk, atomically; resumable, movable, one process at a time."""

from pipeline.store.atomic import write_bytes
from pipeline.store.checking import FrameCheck
from pipeline.store.directory import RenderDirectory, fresh
from pipeline.store.frames import stored_sizes
from pipeline.store.lock import Holder, RenderLock, probe
from pipeline.store.plan_file import check_same, plan_from_json, plan_to_json
from pipeline.store.report import ChainStatus, Finding, Progress, Report, Status
from pipeline.store.videos import Video, delivered, digest_of, known_videos, remember_video, remove_frames

__all__ = [
    "ChainStatus",
    "Finding",
    "FrameCheck",
    "Holder",
    "Progress",
    "RenderDirectory",
    "RenderLock",
    "Report",
    "Status",
    "Video",
    "check_same",
    "delivered",
    "digest_of",
    "fresh",
    "known_videos",
    "plan_from_json",
    "plan_to_json",
    "probe",
    "remember_video",
    "remove_frames",
    "stored_sizes",
    "write_bytes",
]
