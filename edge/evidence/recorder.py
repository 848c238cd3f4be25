"""Keeps what was seen around an alarm: the seconds before it from memory, those after it as they come, with verdicts, scores and readings.

One recording is about one camera. An alarm of it that is raised while one is open joins it, so that a storm of alarms does not write the same
pictures many times. Nothing is sent unasked: a message announces the recording, and it is fetched on the device.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.beside import Beside, Verdicts
from edge.errors import RejectedInput
from edge.evidence.archive import FOLDER, Limits
from edge.evidence.ring import Moment, Ring
from edge.evidence.writer import EvidenceWriter, Finished
from edge.frame import Frame
from edge.site.settings import Site
from edge.system.clock import Clock
from edge.units import NS_PER_MS, NS_PER_S
from edge.verdict.channel import Channel
from edge.wire.command import without_paths
from edge.wire.envelope import Outgoing
from edge.wire.message import timestamp
from edge.wire.messages import EvidenceKept, ModelInfo
from edge.wire.topics import EVIDENCE

LONGEST_NS = 120 * NS_PER_S  # of one recording, however many alarms join it; then the next one begins
BYTES_PER_MB = 1_000_000

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Open:
    name: str
    began_ns: int
    until_ns: int
    marks: list[tuple[str, str]] = field(default_factory=list)  # alarm, occurrence
    left_out: int = 0


class Evidence(Beside):
    """The recorder of a node; it lives as long as the daemon, and a reload only gives it another site.

    Args:
        state_dir: the node's; None: nothing is kept.
        prefix: ``{root}/{node}``.
        session: id of this run.
        clock: the two clocks.
        send: hands a message to the broker connection.
        subject: the camera that an alarm is about and its newest occurrence; None: there is no such alarm.
        readings: the newest values of these sensors; None for one that never came.
    """

    name = "evidence"

    def __init__(
        self,
        state_dir: Path | None,
        *,
        prefix: str,
        session: str,
        clock: Clock,
        send: Callable[[Outgoing], int | None],
        subject: Callable[[str], tuple[str | None, str | None] | None],
        readings: Callable[[Sequence[str]], Mapping[str, float | None]],
        max_waiting_bytes: int = 64 * BYTES_PER_MB,
    ) -> None:
        self._prefix = prefix
        self._about: dict[str, Any] = {"topics": prefix, "session": session}
        self._clock = clock
        self._send = send
        self._subject = subject
        self._readings = readings
        self._writer = (
            None if state_dir is None else EvidenceWriter(state_dir / FOLDER, self._trusted_wall_ns, max_waiting_bytes)
        )
        self._rings: dict[str, Ring] = {}
        self._sensors: dict[str, tuple[str, ...]] = {}
        self._open: dict[str, _Open] = {}  # by camera
        self._ending: dict[str, _Open] = {}  # by name: given to the disk, not yet announced
        self._before_ns = self._after_ns = 0

    def reconfigure(
        self, site: Site, channels: Sequence[Channel], model: ModelInfo | None, profile: str | None = None
    ) -> Evidence:
        """Record what this site allows from now on; returns itself."""
        settings = site.evidence
        kept = [camera.id for camera in site.cameras if camera.evidence] if self._writer is not None else []
        self._before_ns, self._after_ns = round(settings.before_s * NS_PER_S), round(settings.after_s * NS_PER_S)
        share = settings.memory_mb * BYTES_PER_MB // max(1, len(kept))
        limits, before = (self._before_ns, share), self._rings
        self._rings = {
            camera: before[camera] if camera in before and before[camera].limits == limits else Ring(*limits)
            for camera in kept
        }
        self._sensors = {
            camera: tuple(
                sorted({name for channel in channels if channel.spec.camera == camera for name in channel.sensors})
            )
            for camera in kept
        }
        self._about |= {
            "model": None if model is None else model.model_dump(),
            "profile": profile,
            "thresholds": {
                channel.spec.id: None if channel.spec.fault is None else channel.spec.fault.threshold
                for channel in channels
            },
        }
        for camera in [camera for camera in self._open if camera not in self._rings]:
            self._end(camera, "the site no longer allows it")
        if kept and self._writer is not None:
            self._writer.start(Limits(settings.keep_days, settings.max_mb * BYTES_PER_MB))
        return self

    def seen(self, frame: Frame, verdicts: Verdicts, problem: Exception | None = None) -> None:
        """Hold the frame, and add it to the recording that is open."""
        ring = self._rings.get(frame.camera)
        if ring is None:
            return
        moment = Moment(frame, self._facts(frame, verdicts, problem))
        ring.add(moment)
        recording = self._open.get(frame.camera)
        if recording is not None and self._writer is not None and not self._writer.frame(recording.name, moment):
            recording.left_out += 1

    def raised(self, alarm_id: str, occurrence_id: str, now_ns: int) -> None:
        """Begin a recording with what led to the alarm, or join the one that is open."""
        camera = (self._subject(alarm_id) or (None, None))[0]
        if camera not in self._rings or camera is None or self._writer is None:
            return
        recording = self._open.get(camera) or self._begin(camera, alarm_id, now_ns, self._writer)
        recording.marks.append((alarm_id, occurrence_id))
        recording.until_ns = min(now_ns + self._after_ns, recording.began_ns + LONGEST_NS)
        mark = {"alarm": alarm_id, "occurrence": occurrence_id, "at": timestamp(self._clock.wall_ns())}
        self._writer.raised(recording.name, mark)

    def tick(self, now_ns: int) -> None:
        """End what has its time, discard old pictures, and announce finished recordings."""
        for camera in [camera for camera, recording in self._open.items() if now_ns >= recording.until_ns]:
            self._end(camera, "")
        for ring in self._rings.values():
            ring.let_go(now_ns)
        for finished in () if self._writer is None else self._writer.take_finished():
            self._announce(finished)

    def stop(self, timeout_s: float) -> None:
        """End what is open, and have it on disk: the daemon ends."""
        for camera in list(self._open):
            self._end(camera, "the daemon stopped")
        if self._writer is not None:
            self._writer.stop(timeout_s)

    @property
    def held_bytes(self) -> int:
        """Pictures in memory, of all cameras."""
        return sum(ring.held_bytes for ring in self._rings.values())

    def _begin(self, camera: str, alarm_id: str, now_ns: int, writer: EvidenceWriter) -> _Open:
        wall = timestamp(self._clock.wall_ns())
        name = f"{re.sub('[-:.]', '', wall)}-{camera}"
        recording = self._open[camera] = _Open(name, now_ns, now_ns)
        writer.begin(name, self._about | {"camera": camera, "began": wall, "first": alarm_id})
        recording.left_out += sum(not writer.frame(name, moment) for moment in self._rings[camera])
        return recording

    def _end(self, camera: str, why: str) -> None:
        recording = self._open.pop(camera)
        self._ending[recording.name] = recording
        if self._writer is not None:
            outcome = {"complete": not why and not recording.left_out, "why": why, "left_out": recording.left_out}
            self._writer.end(recording.name, outcome)

    def _announce(self, finished: Finished) -> None:
        """Announce a recording, once for each occurrence in it."""
        recording = self._ending.pop(finished.name, None)
        if recording is None:  # the disk refused while it was open
            recording = next((item for item in self._open.values() if item.name == finished.name), None)
            self._open = {camera: item for camera, item in self._open.items() if item is not recording}
        for alarm_id, occurrence_id in () if recording is None else recording.marks:
            message = EvidenceKept(
                ts=timestamp(self._clock.wall_ns()),
                alarm_id=alarm_id,
                occurrence_id=occurrence_id,
                recording=finished.name,
                frames=finished.frames,
                left_out=0 if recording is None else recording.left_out,
                size_bytes=finished.written_bytes,
                problem=without_paths(finished.problem),
            )
            self._send(EVIDENCE.outgoing(self._prefix, message, alarm_id))

    def _trusted_wall_ns(self) -> int | None:
        return self._clock.wall_ns() if self._clock.synchronised() else None

    def _facts(self, frame: Frame, verdicts: Verdicts, problem: Exception | None) -> dict[str, Any]:
        now_ns = self._clock.monotonic_ns()
        unjudged = None
        if problem is not None:
            unjudged = problem.reason if isinstance(problem, RejectedInput) else type(problem).__name__
        return {
            "seq": frame.seq,
            "received": timestamp(frame.received_wall_ns),
            **({} if frame.part is None else {"part": frame.part}),
            "captured": None if frame.captured_wall_ns is None else timestamp(frame.captured_wall_ns),
            "flag_ms": round((now_ns - frame.received_ns) / NS_PER_MS, 2),
            "late": now_ns > frame.deadline_ns,
            "unjudged": unjudged,
            "flags": {
                channel.spec.id: [evidence.verdict.value, evidence.score, evidence.quality.value]
                for channel, evidence in verdicts
            },
            "readings": dict(self._readings(self._sensors[frame.camera])),
        }
