"""Who holds the lock of a render directory: what the file `lock` says.

The system's lock is exact on one machine, so a name that a dead process of this machine left never blocks a render. On
a shared file system that lock may not reach another machine: a name from there is taken as valid until its process has
emptied the file or a person deletes it. Telling the two apart takes more than a host name, which differs between the
containers of one machine and may be the same on two machines.
"""

from __future__ import annotations

import datetime
import json
import os
import secrets
import shlex
import socket
import sys
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from pipeline.runtime.hashing import json_digest

_MAX_COMMAND: Final = 1000
_MAX_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that works in a render directory: for messages, and to tell this machine from another."""

    pid: int
    host: str
    machine: str
    """A hash of what identifies the machine, the same after a reboot."""
    boot: str
    """A hash of what identifies this run of the machine's kernel, the same in all of its containers; "" if unknown."""
    since: str
    """UTC, ISO 8601."""
    session: str
    """Random, new for every holding of the lock; marks the lines of `stats.jsonl`."""
    command: str

    @classmethod
    def here(cls) -> Holder:
        """This process, in a new session."""
        machine, boot = _machine(), _boot()
        return cls(
            pid=os.getpid(),
            host=socket.gethostname(),
            machine=machine,
            boot=boot,
            since=utc(time.time()),
            session=secrets.token_hex(8),
            command=shlex.join(sys.argv)[:_MAX_COMMAND],
        )

    def on_this_machine(self) -> bool:
        """Whether this holder ran on the machine we are on: then the system's lock is exact."""
        if self.boot and self.boot == _boot():
            return True
        return self.host == socket.gethostname() and self.machine == _machine()

    def to_json(self) -> bytes:
        """What stands in the lock file."""
        return json.dumps(asdict(self)).encode("ascii")

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}: {self.command}"


def read_holder(descriptor: int) -> Holder | None:
    """What an open lock file says; None if it is empty, or incomplete because its writer crashed before its work."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        holder = Holder(**json.loads(os.read(descriptor, _MAX_BYTES)))
    except (ValueError, TypeError, RecursionError):
        return None
    pid, *texts = asdict(holder).values()
    return holder if isinstance(pid, int) and all(isinstance(text, str) for text in texts) else None


def utc(seconds: float) -> str:
    """A time since the epoch as UTC, ISO 8601."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def _machine() -> str:
    return _hashed(_text(Path("/etc/machine-id")) or f"{uuid.getnode():x}")


def _boot() -> str:
    return _hashed(_text(Path("/proc/sys/kernel/random/boot_id")))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _hashed(text: str) -> str:
    """Machine ids are not to be published (machine-id(5)), and render directories are copied around."""
    return json_digest(["tempera", text])[:16] if text else ""
