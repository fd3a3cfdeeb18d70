"""The render directory: every finished frame on disk, atomically; resumable, movable, one process at a time."""

from pipeline.store.atomic import write_bytes
from pipeline.store.directory import RenderDirectory, fresh
from pipeline.store.lock import Holder, RenderLock, probe
from pipeline.store.plan_file import check_same, plan_from_json, plan_to_json
from pipeline.store.report import ChainStatus, Finding, Progress, Report, Status

__all__ = [
    "ChainStatus",
    "Finding",
    "Holder",
    "Progress",
    "RenderDirectory",
    "RenderLock",
    "Report",
    "Status",
    "check_same",
    "fresh",
    "plan_from_json",
    "plan_to_json",
    "probe",
    "write_bytes",
]
