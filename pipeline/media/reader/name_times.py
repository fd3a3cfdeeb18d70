"""The time of capture that phones and programs write into the names of photos."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Final

from pipeline.media.reader.exif import CaptureTime

# IMG_20240622_181200, PXL_20240622_181200123, 2024-06-22 18.12.00, 20240622181200_003. Behind the seconds may stand
# milliseconds: three digits, directly or after a dot or underscore.
_DATE_TEXT: Final = re.compile(
    r"(?<![0-9])((?:19|20)[0-9]{2})([-_.]?)([0-9]{2})\2([0-9]{2})[-_ T.]*(?:at )?"
    r"([0-9]{2})([-_.:h]?)([0-9]{2})[-_.:m]?([0-9]{2})(?:[._]?([0-9]{3}))?(?![0-9])"
)
_UNIX_TEXT: Final = re.compile(r"(?<![0-9])([0-9]{10})([0-9]{3})?(?![0-9])")
_UNIX_SECONDS: Final = range(946_684_800, 2_524_608_000)
"""The years 2000 to 2049: a number outside is a counter."""
_EPOCH: Final = datetime(1970, 1, 1)


def time_in_name(path: str) -> CaptureTime | None:
    """The date with time of day, or the Unix time, that stands in the name of a file; None if there is none.

    A date is taken for local time, as most cameras write it; a Unix time, in s or ms, is UTC.
    """
    stem = PurePath(path).stem
    for date in _DATE_TEXT.finditer(stem):
        year, _, month, day, hour, _, minute, second, thousandths = date.groups()
        try:
            local = datetime(
                int(year), int(month), int(day), int(hour), int(minute), int(second), int(thousandths or 0) * 1000
            )
        except ValueError:
            continue  # digits that are no date
        return CaptureTime(local)
    unix = _UNIX_TEXT.search(stem)
    if unix is None or int(unix[1]) not in _UNIX_SECONDS:
        return None
    return CaptureTime(_EPOCH + timedelta(seconds=int(unix[1]), milliseconds=int(unix[2] or 0)), timedelta())
