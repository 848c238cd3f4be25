"""Readings as compressed CSV, a file for each hour: time of the source, time of receipt, sensor, value, quality.

Each flush appends a whole gzip member, so a file that a power cut ends is readable up to the last flush.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Sequence
from pathlib import Path

from edge.frame import Reading
from edge.wire.message import timestamp

COLUMNS = ("time", "received", "sensor", "value", "quality")


class ReadingFiles:
    """Appends readings.

    Args:
        folder: is made.
        max_bytes: of the folder, with what was there before; beyond it nothing is kept, and `left_out` counts.

    Raises:
        OSError: the disk refuses; so does `append`.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.kept = self.left_out = 0
        self._max_bytes = max_bytes
        self._held_bytes = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())

    @property
    def full(self) -> bool:
        """Whether the size is reached."""
        return self._held_bytes >= self._max_bytes

    def append(self, readings: Sequence[Reading], now_ns: int, now_wall_ns: int) -> None:
        """Write readings that came until (monotonic ns, wall ns); those of one call stand in one file."""
        if not readings:
            return
        if self.full:
            self.left_out += len(readings)
            return
        path = self.folder / f"readings-{timestamp(now_wall_ns)[:13].replace('-', '')}.csv.gz"
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        if not path.exists():
            table.writerow(COLUMNS)
        table.writerows(_row(reading, now_ns, now_wall_ns) for reading in readings)
        member = gzip.compress(text.getvalue().encode())
        with path.open("ab") as file:
            file.write(member)
        self._held_bytes += len(member)
        self.kept += len(readings)


def _row(reading: Reading, now_ns: int, now_wall_ns: int) -> tuple[str, str, str, str, str]:
    received_wall_ns = now_wall_ns - (now_ns - reading.received_ns)
    measured_wall_ns = received_wall_ns - reading.age_ns
    value = "" if math.isnan(reading.value) else repr(reading.value)
    return timestamp(measured_wall_ns), timestamp(received_wall_ns), reading.sensor, value, reading.quality.value
