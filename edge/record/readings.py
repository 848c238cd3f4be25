"""Readings as compressed CSV, a file for each hour: time of the source, time of receipt, sensor, value, quality.

Each flush appends a whole gzip member, so a file that a power cut ends is readable up to the last flush.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from edge.frame import Reading
from edge.wire.message import timestamp

COLUMNS = ("time", "received", "sensor", "value", "quality")


class ReadingFiles:
    """Appends readings.

    Args:
        folder: is made.
        max_bytes: of the folder, with what was there before; beyond it nothing is kept, and `left_out` counts.
        finish: puts the file of an hour that is over into another form; on a thread of its own, for that takes seconds. None: it stays CSV.

    Raises:
        OSError: the disk refuses; so do `append` and `close`.
    """

    def __init__(self, folder: Path, max_bytes: int, finish: Callable[[Path], Path] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.kept = self.left_out = 0
        self._max_bytes = max_bytes
        self._held_bytes = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
        self._finish = finish
        self._finishing: list[Future[Path]] = []
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="readings")
        self._open: Path | None = None
        for left in sorted(folder.glob("readings-*.csv.gz")):
            self._over(left)

    @property
    def full(self) -> bool:
        """Whether the size is reached."""
        return self._held_bytes >= self._max_bytes

    def append(self, readings: Sequence[Reading], now_ns: int, now_wall_ns: int) -> None:
        """Write readings that came until (monotonic ns, wall ns); those of one call stand in one file."""
        self._settle()
        if not readings:
            return
        if self.full:
            self.left_out += len(readings)
            return
        path = self.folder / f"readings-{timestamp(now_wall_ns)[:13].replace('-', '')}.csv.gz"
        if self._open not in (None, path):
            self._over(self._open)
        self._open = path
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

    def close(self) -> None:
        """The last hour is over too."""
        self._over(self._open)
        self._open = None
        self._worker.shutdown()
        self._settle()

    def _settle(self) -> None:
        """What became of files that were put into another form: their size, or why it failed."""
        over = [finished for finished in self._finishing if finished.done()]
        if over:
            self._finishing = [one for one in self._finishing if one not in over]
            for finished in over:
                finished.result()
            self._held_bytes = sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file())

    def _over(self, path: Path | None) -> None:
        if self._finish is not None and path is not None:
            self._finishing.append(self._worker.submit(self._finish, path))


def _row(reading: Reading, now_ns: int, now_wall_ns: int) -> tuple[str, str, str, str, str]:
    received_wall_ns = now_wall_ns - (now_ns - reading.received_ns)
    measured_wall_ns = received_wall_ns - reading.age_ns
    value = "" if math.isnan(reading.value) else repr(reading.value)
    return timestamp(measured_wall_ns), timestamp(received_wall_ns), reading.sensor, value, reading.quality.value
