"""The deadline ledger: counts what became of every frame and message.

Time is an argument. One lock guards the counters, because the network thread counts what arrives and the worker what leaves.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge.frame import Drop, Frame, Stamps
from edge.inference.coverage import Turn
from edge.inference.picture_contract import Kind
from edge.region import WHOLE, WHOLE_NAME
from edge.units import NS_PER_MS, NS_PER_S, percentile
from edge.wire.camera import CameraTrouble
from edge.wire.heartbeat import CameraHealth, LatencySummary, PictureInfo, RegionHealth, SensorHealth

STAGES = ("queue", "decode", "infer", "decide", "publish")
MAX_SAMPLES = 4096  # per heartbeat; at 25 fps a heartbeat of 10 s has 250
INTERNAL_ERROR = "internal_error"  # reason of a frame without a verdict, by a fault of this program
INTERVAL_GAIN = 0.1  # how fast the estimate of a camera's frame interval follows a change


class Samples:
    """Durations since the last summary, in ns; bounded: past the limit the oldest are discarded."""

    def __init__(self) -> None:
        self._values: list[int] = []
        self._next = 0

    def add(self, duration_ns: int) -> None:
        """Count one duration."""
        if len(self._values) < MAX_SAMPLES:
            self._values.append(duration_ns)
        else:
            self._values[self._next] = duration_ns
            self._next = (self._next + 1) % MAX_SAMPLES

    def summary(self) -> LatencySummary:
        """Percentiles in ms (nearest rank), and a fresh start."""
        values = sorted(self._values)
        self._values, self._next = [], 0
        if not values:
            return LatencySummary(count=0, p50_ms=None, p95_ms=None, p99_ms=None, max_ms=None)
        p50, p95, p99 = (round(percentile(values, share) / NS_PER_MS, 3) for share in (0.50, 0.95, 0.99))
        return LatencySummary(
            count=len(values), p50_ms=p50, p95_ms=p95, p99_ms=p99, max_ms=round(values[-1] / NS_PER_MS, 3)
        )


@dataclass(frozen=True, slots=True)
class Ages:
    """Since receipt of a camera's newest frame, ns; None: never yet."""

    arrived: int | None
    judged: int | None
    in_budget: int | None


@dataclass(frozen=True, slots=True)
class Tally:
    """Frames of all cameras: judged in time, late (judged or dropped), and without scores because the graph failed."""

    in_time: int
    late: int
    failed: int

    def since(self, before: Tally) -> Tally:
        """What came after an earlier one."""
        return Tally(self.in_time - before.in_time, self.late - before.late, self.failed - before.failed)


@dataclass(slots=True)
class _Region:
    cover_ns: int
    computed: int = 0
    unchanged: int = 0
    skipped: int = 0
    seen_ns: tuple[int | None, ...] = (None,)  # receipt of the newest frame on which each of its tiles was seen

    def report(self, now_ns: int) -> RegionHealth:
        known = [seen_ns for seen_ns in self.seen_ns if seen_ns is not None]
        young = sum(now_ns - seen_ns <= self.cover_ns for seen_ns in known)
        return RegionHealth(
            computed=self.computed,
            unchanged=self.unchanged,
            skipped=self.skipped,
            tiles=len(self.seen_ns),
            coverage=round(young / len(self.seen_ns), 4),
            age_ms=_ms(min(known), now_ns) if len(known) == len(self.seen_ns) else None,
        )


@dataclass(slots=True)
class _Camera:
    budget_ns: int
    received: int = 0
    verdicts: int = 0
    misses: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    inspections: Counter[str] = field(default_factory=Counter)  # triggers, by outcome
    parts: Counter[str] = field(default_factory=Counter)  # that they were about, by verdict
    latency: Samples = field(default_factory=Samples)
    acknowledged: Samples = field(default_factory=Samples)
    stages: dict[str, Samples] = field(default_factory=lambda: {stage: Samples() for stage in STAGES})
    last_received_ns: int | None = None
    interval_ns: float = 0.0  # estimate; 0 until two frames came
    judged_ns: int | None = None  # receipt of the newest frame that got a verdict
    in_budget_ns: int | None = None  # receipt of the newest frame whose verdict was in budget
    blind_ns: int = 0
    counted_ns: int = 0  # up to here blind_ns is complete
    reported_received: int = 0
    reported_verdicts: int = 0
    reported_ns: int = 0
    picture: PictureInfo | None = None
    regions: dict[str, _Region] = field(default_factory=dict)  # empty where only the whole picture is looked at
    trouble: CameraTrouble | None = None  # what `edge-camera` says; None: nothing, or that pictures come


@dataclass(slots=True)
class _Sensor:
    received: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    last_received_ns: int | None = None
    value: float | None = None
    changed_ns: int = 0  # when the newest value came to be what it is


class Health:
    """The ledger of all cameras and sensors.

    A camera is *blind* at a moment when its newest in-budget verdict is of a frame older than its budget plus two frame intervals (the
    interval is estimated from arrivals, and stays as it was when frames stop). `blind_ms` is the total of such time.

    Args:
        budgets_ns: budget of each camera, ns.
        sensors: sensor ids.
        start_ns: monotonic ns when the daemon began to watch.
    """

    def __init__(self, budgets_ns: dict[str, int], sensors: list[str], start_ns: int) -> None:
        self._lock = threading.Lock()
        self._cameras = {
            camera: _Camera(budget, counted_ns=start_ns, reported_ns=start_ns) for camera, budget in budgets_ns.items()
        }
        self._sensors = {sensor: _Sensor() for sensor in sensors}
        self._rejected: Counter[str] = Counter()
        self._explained: Counter[str] = Counter()

    def reconfigure(self, budgets_ns: Mapping[str, int], sensors: Sequence[str], now_ns: int) -> None:
        """Other cameras, budgets and sensors from now on; what stays keeps its counters."""
        with self._lock:
            fresh = {camera: _Camera(ns, counted_ns=now_ns, reported_ns=now_ns) for camera, ns in budgets_ns.items()}
            self._cameras = {camera: self._cameras.get(camera, entry) for camera, entry in fresh.items()}
            for camera, budget_ns in budgets_ns.items():
                self._cameras[camera].budget_ns = budget_ns
            self._sensors = {sensor: self._sensors.get(sensor) or _Sensor() for sensor in sensors}

    def watch_regions(self, regions: Mapping[str, Mapping[str, int]]) -> None:
        """Count these regions of these cameras from now on, by name, a verdict being too old after so many ns; what stays keeps its counters."""
        with self._lock:
            for camera, entry in self._cameras.items():
                watched = regions.get(camera, {})
                entry.regions = {
                    name: entry.regions.get(name) or _Region(cover_ns)
                    for name, cover_ns in watched.items()
                    if list(watched) != [WHOLE.id]
                }
                for name, region in entry.regions.items():
                    region.cover_ns = watched[name]

    def tiles_seen(self, camera: str, turns: Mapping[str, Turn]) -> None:
        """What became of the tiles of a camera's regions on one frame."""
        with self._lock:
            for name, region in self._cameras[camera].regions.items():
                if name in turns:
                    turn = turns[name]
                    region.computed += turn.computed
                    region.unchanged += turn.unchanged
                    region.skipped += turn.skipped
                    region.seen_ns = turn.seen_ns

    def tally(self) -> Tally:
        """Frames so far that were judged in time, and that could not be for want of time or of scores."""
        with self._lock:
            cameras = self._cameras.values()
            late = sum(entry.misses + entry.dropped[Drop.LATE.value] for entry in cameras)
            failed = sum(entry.rejected["inference_failed"] + entry.rejected[INTERNAL_ERROR] for entry in cameras)
            return Tally(sum(entry.verdicts - entry.misses for entry in cameras), late, failed)

    def frame_received(self, camera: str, now_ns: int) -> None:
        """A frame arrived whole, whatever becomes of it."""
        with self._lock:
            entry = self._cameras[camera]
            entry.received += 1
            if entry.last_received_ns is not None:
                gap = now_ns - entry.last_received_ns
                entry.interval_ns += INTERVAL_GAIN * (gap - entry.interval_ns) if entry.interval_ns else gap
            entry.last_received_ns = now_ns

    def frame_dropped(self, camera: str, drop: Drop, reason: str | None = None) -> None:
        """A frame gets no verdict; `reason` is what was wrong with a rejected one."""
        with self._lock:
            entry = self._cameras[camera]
            entry.dropped[drop.value] += 1
            if reason is not None:
                entry.rejected[reason] += 1

    def frame_done(self, frame: Frame, stamps: Stamps, published_ns: int) -> None:
        """A frame's flags were handed over: count its stages, its latency, and whether it was in time."""
        marks = (
            stamps.received_ns,
            stamps.taken_ns,
            stamps.decoded_ns,
            stamps.inferred_ns,
            stamps.decided_ns,
            published_ns,
        )
        with self._lock:
            entry = self._cameras[frame.camera]
            entry.verdicts += 1
            entry.judged_ns = max(frame.received_ns, entry.judged_ns or 0)
            entry.latency.add(published_ns - frame.received_ns)
            for stage, (begin, end) in zip(STAGES, itertools.pairwise(marks), strict=True):
                entry.stages[stage].add(end - begin)
            if published_ns > frame.deadline_ns:
                entry.misses += 1
                return
            self._advance_blind(entry, published_ns)
            entry.in_budget_ns = max(frame.received_ns, entry.in_budget_ns or 0)

    def flag_acknowledged(self, camera: str, duration_ns: int) -> None:
        """The broker confirmed a flag so long after its frame was received."""
        with self._lock:
            if camera in self._cameras:  # else a reload took it away meanwhile
                self._cameras[camera].acknowledged.add(duration_ns)

    def reading_received(self, sensor: str, now_ns: int, value: float = math.nan) -> None:
        """A sensor value was accepted; NaN counts as another value each time."""
        with self._lock:
            entry = self._sensors[sensor]
            entry.received += 1
            if entry.value != value:
                entry.value, entry.changed_ns = value, now_ns
            entry.last_received_ns = now_ns

    def rejected(self, reason: str, *, camera: str | None = None, sensor: str | None = None, count: int = 1) -> None:
        """A message was refused before it became a frame or a reading; `count` of them where they belong to no camera or sensor."""
        if camera is not None:
            by_itself = reason in {Drop.RETAINED.value, Drop.REPLACED.value}
            self.frame_dropped(camera, Drop(reason) if by_itself else Drop.REJECTED, reason)
            return
        with self._lock:
            counts = self._sensors[sensor].rejected if sensor is not None else self._rejected
            counts[reason] += count

    def picture_seen(self, camera: str, seen: Kind | None, accepted: Sequence[Kind]) -> None:
        """What kind of picture a camera's newest frame is, and which kinds are accepted."""
        if seen is not None:
            info = PictureInfo(
                width=seen.width,
                height=seen.height,
                colour=seen.colour,
                accepted=tuple(map(str, accepted)),
                changed=bool(accepted) and seen not in accepted,
            )
            with self._lock:
                if camera in self._cameras:  # else a reload took it away meanwhile
                    self._cameras[camera].picture = info

    def inspected(self, camera: str, outcome: str, verdict: str | None) -> None:
        """A trigger was answered; `verdict` of a part that is answered for the first time."""
        with self._lock:
            if camera in self._cameras:  # else a reload took it away meanwhile
                self._cameras[camera].inspections[outcome] += 1
                if verdict is not None:
                    self._cameras[camera].parts[verdict] += 1

    def camera_reported(self, camera: str, trouble: CameraTrouble | None) -> None:
        """`edge-camera` says why it has no pictures of a camera; None: it has."""
        with self._lock:
            if camera in self._cameras:  # else a reload took it away meanwhile
                self._cameras[camera].trouble = trouble

    def trouble(self, camera: str) -> CameraTrouble | None:
        """Why a camera gives no pictures, as far as `edge-camera` says it."""
        with self._lock:
            return self._cameras[camera].trouble

    def explained(self, outcome: str) -> None:
        """An alarm was explained, or not: in one word."""
        with self._lock:
            self._explained[outcome] += 1

    def explanations(self) -> dict[str, int]:
        """What became of the explanations, by outcome."""
        with self._lock:
            return dict(self._explained)

    def ages_ns(self, camera: str, now_ns: int) -> Ages:
        """How old a camera's newest frame is, its newest that was judged, and its newest that was judged in budget."""
        with self._lock:
            entry = self._cameras[camera]
            return Ages(
                *(
                    None if since is None else max(0, now_ns - since)
                    for since in (entry.last_received_ns, entry.judged_ns, entry.in_budget_ns)
                )
            )

    def sensors_last_ns(self) -> dict[str, int | None]:
        """When each sensor's newest accepted value came, monotonic ns; None before the first."""
        with self._lock:
            return {sensor: entry.last_received_ns for sensor, entry in self._sensors.items()}

    def sensors_steady_since_ns(self) -> dict[str, int | None]:
        """Since when each sensor's accepted values have been exactly the same, monotonic ns; None before the first."""
        with self._lock:
            return {
                sensor: None if entry.last_received_ns is None else entry.changed_ns
                for sensor, entry in self._sensors.items()
            }

    def values(self, sensors: Sequence[str]) -> dict[str, float | None]:
        """The newest value of each of these sensors that has one; None: it never came."""
        with self._lock:
            found = {sensor: self._sensors[sensor].value for sensor in sensors if sensor in self._sensors}
        return {sensor: value for sensor in sensors if (value := found.get(sensor)) is None or math.isfinite(value)}

    def cameras(self, now_ns: int) -> dict[str, CameraHealth]:
        """The ledger of each camera; distributions start afresh."""
        with self._lock:
            return {camera: self._camera(entry, now_ns) for camera, entry in self._cameras.items()}

    def sensors(self, now_ns: int) -> dict[str, SensorHealth]:
        """The counters of each sensor."""
        with self._lock:
            return {
                sensor: SensorHealth(
                    received=entry.received, rejected=dict(entry.rejected), age_ms=_ms(entry.last_received_ns, now_ns)
                )
                for sensor, entry in self._sensors.items()
            }

    def strays(self) -> dict[str, int]:
        """Refused messages that belong to no camera or sensor, by reason."""
        with self._lock:
            return dict(self._rejected)

    def _camera(self, entry: _Camera, now_ns: int) -> CameraHealth:
        self._advance_blind(entry, now_ns)
        span_s = max(1e-9, (now_ns - entry.reported_ns) / NS_PER_S)
        report = CameraHealth(
            budget_ms=entry.budget_ns / NS_PER_MS,
            received=entry.received,
            verdicts=entry.verdicts,
            misses=entry.misses,
            dropped=dict(entry.dropped),
            rejected=dict(entry.rejected),
            latency=entry.latency.summary(),
            acknowledged=entry.acknowledged.summary(),
            stages={stage: samples.summary() for stage, samples in entry.stages.items()},
            fps_in=round((entry.received - entry.reported_received) / span_s, 2),
            fps_out=round((entry.verdicts - entry.reported_verdicts) / span_s, 2),
            frame_age_ms=_ms(entry.last_received_ns, now_ns),
            blind_ms=round(entry.blind_ns / NS_PER_MS, 3),
            blind_now=now_ns > self._sees_until(entry),
            picture=entry.picture,
            inspections=dict(entry.inspections),
            parts=dict(entry.parts),
            regions={name or WHOLE_NAME: region.report(now_ns) for name, region in entry.regions.items()},
        )
        entry.reported_received, entry.reported_verdicts, entry.reported_ns = entry.received, entry.verdicts, now_ns
        return report

    @staticmethod
    def _sees_until(entry: _Camera) -> int:
        """The moment from which the camera counts as blind if no further verdict comes."""
        if entry.in_budget_ns is None:
            return 0  # it has never seen
        return entry.in_budget_ns + entry.budget_ns + round(2 * entry.interval_ns)

    def _advance_blind(self, entry: _Camera, now_ns: int) -> None:
        blind_from = max(entry.counted_ns, self._sees_until(entry))
        entry.blind_ns += max(0, now_ns - blind_from)
        entry.counted_ns = max(entry.counted_ns, now_ns)


def _ms(since_ns: int | None, now_ns: int) -> float | None:
    return None if since_ns is None else round(max(0, now_ns - since_ns) / NS_PER_MS, 3)
