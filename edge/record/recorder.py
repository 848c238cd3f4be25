"""Records a site's cameras and sensors to files until it is stopped; needs no bundle.

The network thread takes messages in, as the daemon does; the calling thread writes.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from edge.broker.connection import Connection
from edge.broker.credentials import client_id
from edge.errors import EdgeError
from edge.frame import Drop
from edge.inference.preprocess import CALIBRATION, Preprocessor, crop_png
from edge.intake.inbox import Inbox
from edge.intake.inlet import Inlet
from edge.intake.slot import Slots
from edge.manifest import InputSpec
from edge.record.pictures import Choice, PictureFolder
from edge.record.readings import ReadingFiles
from edge.region import Region
from edge.site.inputs import CameraSettings
from edge.site.settings import Site
from edge.system.clock import Clock
from edge.units import NS_PER_S
from edge.wire.camera import CameraTrouble

SMALL = InputSpec(name="small", width=32, height=32, resize="stretch")  # what two pictures are compared by
ANY_BUDGET_MS = 60_000.0  # a recording has no deadline
FLUSH_NS = 10 * NS_PER_S
PROGRESS_NS = 60 * NS_PER_S
TURN_S = 0.2

_log = logging.getLogger(__name__)


class Counts:
    """What came in and was refused, by sender and reason; one lock, because two threads count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.refused: Counter[str] = Counter()
        self.reported: Counter[str] = Counter()

    def frame_received(self, camera: str, now_ns: int) -> None:
        """Counted when it is kept or not."""

    def frame_dropped(self, camera: str, drop: Drop, reason: str | None = None) -> None:
        """A newer frame came first: there are more than can be written."""

    def reading_received(self, sensor: str, now_ns: int, value: float) -> None:
        """Counted when it is written."""

    def rejected(self, reason: str, *, camera: str | None = None, sensor: str | None = None, count: int = 1) -> None:
        """A message was refused."""
        with self._lock:
            self.refused[f"{camera or sensor or 'other'}: {reason}"] += count

    def camera_reported(self, camera: str, trouble: CameraTrouble | None) -> None:
        """`edge-camera` says why it has no pictures: counted, because the recording lacks them."""
        if trouble is not None:
            with self._lock:
                self.reported[f"{camera} had no pictures for a while: {trouble.value}"] += 1

    def reconfigure(self, budgets_ns: Mapping[str, int], sensors: Sequence[str], now_ns: int) -> None:
        """A recording has one site only."""


class Recorder:
    """Writes what a site's cameras and sensors send.

    Args:
        site: whose.
        out: folder; a sub-folder for each camera, and `readings`.
        choice: which pictures are kept, of each camera.
        clock: the two clocks.
        regions: of a camera with regions, keep what each of them shows, in a sub-folder of its own, in place of the picture.
        finish: what becomes of a file of readings when its hour is over; see `ReadingFiles`.

    Raises:
        EdgeError: the folder cannot be written.
        ConfigError: a certificate, key or password file cannot be used.
    """

    def __init__(
        self,
        site: Site,
        out: Path,
        choice: Choice,
        clock: Clock | None = None,
        *,
        regions: bool = False,
        finish: Callable[[Path], Path] | None = None,
    ) -> None:
        self._clock = clock or Clock()
        self.counts = Counts()
        try:
            self._pictures = {
                camera.id: _folders_of(camera, out / camera.id, choice, regions=regions) for camera in site.cameras
            }
            self._readings = ReadingFiles(out / "readings", choice.max_bytes, finish) if site.sensors else None
        except OSError as error:
            raise EdgeError(f"cannot write {error.filename or out}: {error.strerror}") from error
        self._slots = Slots(self._pictures)
        self._inbox = Inbox()
        self._flushed_ns = self._clock.monotonic_ns()
        self._full: set[Path] = set()
        inlet = Inlet(
            site,
            dict.fromkeys(self._pictures, ANY_BUDGET_MS),
            slots=self._slots,
            inbox=self._inbox,
            counters=self.counts,
            arrival=lambda: None,
        )
        self._connection = Connection(
            site.broker,
            client_id=client_id(f"{site.node.id}-record", site.broker),
            subscriptions=inlet.subscriptions(),
            on_message=inlet.arrived,
        )

    def run(
        self,
        stop: threading.Event,
        duration_s: float | None = None,
        progress: Callable[[Sequence[str]], None] = lambda _lines: None,
    ) -> None:
        """Record until `stop`, for so long, or until everything is full; `progress` gets the summary once a minute.

        Raises:
            EdgeError: the disk refuses.
        """
        end_ns = None if duration_s is None else self._clock.monotonic_ns() + round(duration_s * NS_PER_S)
        self._connection.start()
        next_ns = self._clock.monotonic_ns() + PROGRESS_NS
        try:
            while not stop.is_set() and not self.full and (end_ns is None or self._clock.monotonic_ns() < end_ns):
                self.turn(TURN_S)
                if self._clock.monotonic_ns() >= next_ns:
                    next_ns += PROGRESS_NS
                    progress(self.summary())
        finally:
            self._connection.stop()
            self._flush()
            if self._readings is not None:
                self._readings.close()

    def turn(self, timeout_s: float) -> None:
        """Write the next picture, if one comes in time, and readings now and then."""
        frame = self._slots.take(timeout_s)
        try:
            if frame is not None:
                for pictures in self._pictures[frame.camera].values():
                    pictures.offer(frame)
            if self._clock.monotonic_ns() - self._flushed_ns >= FLUSH_NS:
                self._flush()
        except OSError as error:
            raise EdgeError(f"cannot write {error.filename or 'a picture'}: {error.strerror}") from error
        for folder in self._folders():
            if folder.full and folder.folder not in self._full:
                self._full.add(folder.folder)
                _log.warning("%s is full: nothing more of it is kept; give it more with --max-mb", folder.folder)

    def _folders(self) -> list[PictureFolder | ReadingFiles]:
        return [*self._picture_folders(), *([] if self._readings is None else [self._readings])]

    def _picture_folders(self) -> list[PictureFolder]:
        return [folder for folders in self._pictures.values() for folder in folders.values()]

    @property
    def full(self) -> bool:
        """Whether nothing more is kept of anything."""
        return len(self._full) == len(self._folders())

    @property
    def kept_something(self) -> bool:
        """Whether anything was written."""
        pictures = any(folder.counts["kept"] for folder in self._picture_folders())
        return pictures or (self._readings is not None and self._readings.kept > 0)

    def summary(self) -> list[str]:
        """Lines for people: what became of what came."""
        lines = [
            f"{name}: {_kept_line(folder.counts)}"
            for folders in self._pictures.values()
            for name, folder in folders.items()
        ]
        if self._readings is not None:
            left_out = f", left out {self._readings.left_out}" if self._readings.left_out else ""
            lines.append(f"readings: kept {self._readings.kept}{left_out}")
        lines += [f"{what}, {count} times" for what, count in sorted(self.counts.reported.items())]
        return lines + [f"refused, {name}: {count}" for name, count in sorted(self.counts.refused.items())]

    def _flush(self) -> None:
        self._flushed_ns = now_ns = self._clock.monotonic_ns()
        readings = self._inbox.take_readings()
        if self._readings is not None:
            self._readings.append(readings, now_ns, self._clock.wall_ns())


def _folders_of(camera: CameraSettings, out: Path, choice: Choice, *, regions: bool) -> dict[str, PictureFolder]:
    """The folders that a camera's pictures go to, by what people call them: one, or one for each region or tile, which share its size."""
    prepare = Preprocessor(SMALL, CALIBRATION).prepare
    if not regions or not camera.regions:
        return {camera.id: PictureFolder(out, choice, prepare)}
    parts = dict(_parts(camera))
    share = replace(choice, max_bytes=choice.max_bytes // len(parts))
    return {
        f"{camera.id}/{name}": PictureFolder(out / name, share, prepare, partial(crop_png, region=region))
        for name, region in parts.items()
    }


def _parts(camera: CameraSettings) -> Iterator[tuple[str, Region]]:
    """What the graph looks at in a camera's picture, by folder: a region, or each of its tiles by number."""
    for settings in camera.regions:
        region = settings.region()
        for number, tile in enumerate(region.tiles):
            yield settings.id if region.grid is None else f"{settings.id}/{number:03d}", tile


def _kept_line(counts: Mapping[str, int]) -> str:
    words = {"soon": "too soon after the last", "copy": "copies", "alike": "like the last", "full": "no room"}
    skipped = ", ".join(f"{words.get(name, name)} {count}" for name, count in sorted(counts.items()) if name != "kept")
    return f"kept {counts.get('kept', 0)} pictures" + (f"; not kept: {skipped}" if skipped else "")
