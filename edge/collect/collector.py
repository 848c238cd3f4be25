"""Collects pictures by score for the next build, of cameras whose site allows it, while the daemon runs.

The path of a frame only compares a few numbers and keeps a reference. A thread behind all others writes, and what the disk is too slow for is counted
and forgotten.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from edge.beside import Beside, Verdicts
from edge.collect.pick import Chooser, Kind, Pick, Quota, margins
from edge.collect.picture_store import FOLDER, Limits, PictureStore, name_of
from edge.frame import Frame, Verdict
from edge.site.settings import Site
from edge.system.clock import Clock
from edge.system.spool import Spool
from edge.verdict.channel import Channel

BYTES_PER_MB = 1_000_000
MAX_WAITING_BYTES = 32 * BYTES_PER_MB
MAX_MOMENTS = 64  # alarms whose picture can still get a label
NORMAL = "normal"


@dataclass(frozen=True, slots=True)
class _Moment:
    camera: str
    name: str
    fault: str | None  # as the bundle names it; None: it has no name, or the picture shows several
    alone: bool


class Collector(Beside):
    """The collector of a node; it lives as long as the daemon, and a reload only gives it another site.

    Args:
        state_dir: the node's; None: nothing is kept.
        clock: the two clocks.
        subject: the camera that an alarm is about and its newest occurrence; None: there is no such alarm.
        random: for the share that is taken at random.
        max_waiting_bytes: of pictures that wait for the disk.
    """

    name = "collect"

    def __init__(
        self,
        state_dir: Path | None,
        *,
        clock: Clock,
        subject: Callable[[str], tuple[str | None, str | None] | None],
        random: Random | None = None,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._clock = clock
        self._subject = subject
        self._random = Random() if random is None else random
        self._store = None if state_dir is None else PictureStore(state_dir / FOLDER)
        self._spool = Spool("collect", max_waiting_bytes)
        self._limits = Limits(1.0, {})
        self._choosers: dict[str, Chooser] = {}  # by camera
        self._newest: dict[str, tuple[Frame, frozenset[str]]] = {}  # by camera: a judged frame and the faults on it
        self._faults: dict[str, str | None] = {}  # by channel: as the bundle names it
        self._moments: OrderedDict[str, _Moment] = OrderedDict()  # by occurrence
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def reconfigure(self, site: Site, channels: Sequence[Channel]) -> Collector:
        """Collect what this site allows from now on; returns itself."""
        wanted = site.collect
        per_hour = {
            Kind.NEAR: wanted.near_per_hour,
            Kind.HIGHEST: wanted.highest_per_hour,
            Kind.RANDOM: wanted.random_per_hour,
            Kind.ALARM: wanted.alarms_per_hour,
        }
        quota, before = Quota(per_hour, wanted.near), self._choosers
        cameras = [camera.id for camera in site.cameras if camera.collect] if self._store is not None else []
        self._choosers = {
            camera: before[camera]
            if camera in before and before[camera].quota == quota
            else Chooser(quota, self._random)
            for camera in cameras
        }
        self._newest = {camera: held for camera, held in self._newest.items() if camera in self._choosers}
        self._faults = {
            channel.spec.id: None if channel.spec.fault is None or channel.spec.fault.unnamed else channel.spec.fault.id
            for channel in channels
        }
        kinds = [kind for kind, count in per_hour.items() if count]
        share = wanted.max_mb * BYTES_PER_MB // max(1, len(kinds))
        self._limits = Limits(wanted.keep_days, {kind: share if kind in kinds else 0 for kind in Kind})
        if cameras:
            self._spool.start()
        return self

    def seen(self, frame: Frame, verdicts: Verdicts, problem: Exception | None = None) -> None:
        """Consider a frame that was judged."""
        chooser = self._choosers.get(frame.camera)
        if chooser is None or problem is not None:
            return
        chooser.offer(frame, margins(verdicts))
        shown = frozenset(channel.spec.id for channel, evidence in verdicts if evidence.verdict is Verdict.FAULT)
        self._newest[frame.camera] = frame, shown

    def raised(self, alarm_id: str, occurrence_id: str, now_ns: int) -> None:
        """Keep the picture of that moment: an operator will say what it showed."""
        camera = (self._subject(alarm_id) or (None, None))[0]
        if camera not in self._newest or camera is None or alarm_id not in self._faults:
            return
        frame, shown = self._newest[camera]
        pick = self._choosers[camera].alarm(frame, alarm_id, now_ns)
        if pick is None:
            return
        self._moments[occurrence_id] = _Moment(camera, name_of(pick), self._faults[alarm_id], not shown - {alarm_id})
        if len(self._moments) > MAX_MOMENTS:
            self._moments.popitem(last=False)
        self._put(pick)

    def labelled(self, alarm_id: str, occurrence_id: str, now_ns: int, *, valid: bool) -> None:
        """Put the picture of that moment into the folder of what the operator said; one that shows several faults stays unsorted."""
        del alarm_id, now_ns
        moment = self._moments.get(occurrence_id)
        if moment is None or self._store is None or not moment.alone:
            return
        label = moment.fault if valid else NORMAL
        if label is not None:
            self._spool.put(partial(self._do, partial(self._store.label, moment.camera, moment.name, label)))

    def tick(self, now_ns: int) -> None:
        """Hand over what is due."""
        for chooser in self._choosers.values():
            for pick in chooser.due(now_ns):
                self._put(pick)

    def stop(self, timeout_s: float) -> None:
        """Have on disk what is held: the daemon ends."""
        for chooser in self._choosers.values():
            for pick in chooser.rest():
                self._put(pick)
        self._spool.stop(timeout_s)

    def figures(self) -> dict[str, int]:
        """What became of the pictures, by outcome."""
        with self._lock:
            return dict(self._counts)

    def _put(self, pick: Pick) -> None:
        if self._store is None:
            return
        job = partial(self._store.keep, pick, self._limits, self._trusted_wall_ns())
        if not self._spool.put(partial(self._do, job), len(pick.frame.encoded)):
            self._count(["disk_behind"])

    def _do(self, job: Callable[[], list[str]]) -> None:
        self._count(job())

    def _count(self, outcomes: list[str]) -> None:
        with self._lock:
            self._counts.update(outcomes)

    def _trusted_wall_ns(self) -> int | None:
        return self._clock.wall_ns() if self._clock.synchronised() else None
