"""The path of a frame in one short body: preprocess, check the picture, infer, decide, publish, alarm; and what happens on a failure.

Runs on the inference thread only. Stages know nothing of each other; this module hands each one what the one before gave. Between frames the
last two stages go on with sensor readings and with what time does to evidence.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edge.alarm.annunciator import Annunciator
from edge.beside import Beside, Verdicts
from edge.errors import InferenceFailed, RejectedInput
from edge.frame import Drop, Evidence, Frame, Quality, Stamps, Verdict, worst
from edge.health.ledger import INTERNAL_ERROR, Health
from edge.inference.coverage import Coverage
from edge.inference.engine import Engine, NoEngine
from edge.inference.picture_header import Header
from edge.inference.picture_quality import PictureMonitor
from edge.inference.preprocess import Preprocessor
from edge.intake.share import REFUSED_WEIGHT, Shares
from edge.intake.slot import cannot_make_it
from edge.publish.publisher import Publisher
from edge.system.clock import Clock
from edge.system.internal_errors import InternalErrors
from edge.units import NS_PER_S
from edge.verdict.channel import Channel
from edge.verdict.tiles import join

TOO_MUCH = (
    "its frames took this camera's share of the second while others waited: lower its rate or the size of its pictures"
)
REMEMBERED_RUNS = 16  # the fastest of so many shows what is possible; one slow run must not condemn the next frames
UNKNOWN = Evidence(Verdict.UNKNOWN, None, Quality.BAD)  # of a channel that cannot be judged

_log = logging.getLogger(__name__)
_URGENCY = {Verdict.FAULT: 0, Verdict.UNKNOWN: 1, Verdict.OK: 2}


class FramePath:
    """Takes encoded frames to published flags and alarms.

    Args:
        preprocessors: one for each camera, since limits and regions differ.
        picture_monitors: what knows of each camera whether its pictures can be trusted; a camera without one is trusted.
        engine: the bundle's graph.
        channels: every flag channel.
        publisher: where flags go.
        annunciator: where alarms are sampled.
        health: where each frame is counted.
        beside: is shown each frame once its flags are published.
        others_wait: whether a frame of another camera waits: only then does what this one costs count against its share.
        errors: where exceptions go that are faults of this program; a frame that meets one gets no verdict.
        clock: the two clocks.
    """

    def __init__(
        self,
        *,
        preprocessors: Mapping[str, Preprocessor],
        picture_monitors: Mapping[str, PictureMonitor],
        engine: Engine | NoEngine,
        channels: Sequence[Channel],
        publisher: Publisher,
        annunciator: Annunciator,
        health: Health,
        beside: Beside,
        errors: InternalErrors,
        clock: Clock,
        others_wait: Callable[[str], bool] = lambda _camera: False,
    ) -> None:
        self._preprocessors = preprocessors
        self._picture_monitors = picture_monitors
        self._engine = engine
        self._channels = tuple(channels)
        self._channels_of = {
            camera: [channel for channel in channels if channel.spec.camera == camera and channel.spec.held]
            for camera in preprocessors
        }
        self._coverages = {camera: Coverage(stage.regions) for camera, stage in preprocessors.items()}
        self._publisher = publisher
        self._annunciator = annunciator
        self._health = health
        self._beside = beside
        self._errors = errors
        self._now = clock.monotonic_ns
        self._wall = clock.wall_ns
        self._others_wait = others_wait
        # Every frame is long here, and one that a busy machine made late is no attack.
        self._shares = Shares(NS_PER_S // max(1, len(preprocessors)), REFUSED_WEIGHT)
        self._runs_ns: deque[int] = deque(maxlen=REMEMBERED_RUNS)  # with one tile each
        self._after_ns: deque[int] = deque(maxlen=REMEMBERED_RUNS)  # from the last score to the flags handed over
        self._failing: set[str] = set()  # cameras whose last frame could not be judged: log edges, not levels
        self._sampled: dict[str, Evidence] = {}
        self._by_frame: set[str] = set()  # channels that a frame or a window gave a sample since `between` last ran
        self._rests: dict[str, tuple[int, int]] = {}  # channels to leave out: until when, and while in which version
        self._rounds = (0, 0)  # of publisher and annunciator, in which that holds

    def process(self, frame: Frame) -> None:
        """One frame, from the slot to its flags and alarms; unknown ones when it cannot be judged, none when it is too late."""
        taken_ns = self._now()
        if cannot_make_it(frame, taken_ns, min(self._runs_ns, default=0)):
            self._drop_late(frame)
            return
        part = self._beside.part(frame)
        if part is not None:
            frame = replace(frame, part=part)
        try:
            self._refuse_flood(frame, taken_ns)
            rgb, header = self._preprocessors[frame.camera].decode(frame.encoded)
            whole = self._preprocessors[frame.camera].fit(rgb)
            picture = self._picture_quality(frame, whole, header)
            decoded_ns = self._now()
            inferred_ns, others_ns = self._infer(frame, rgb, whole, picture, decoded_ns)
            verdicts = self._decide(frame, inferred_ns, picture)
            stamps = Stamps(frame.received_ns, taken_ns, decoded_ns, inferred_ns, self._now())
            published_ns = self._publish(verdicts, frame, stamps)
            if others_ns is not None:
                self._runs_ns.append(published_ns - taken_ns - others_ns)
            self._after_ns.append(published_ns - inferred_ns)
            self._health.frame_done(frame, stamps, published_ns)
            problem = None
        except Exception as error:  # noqa: BLE001 - whatever it is, the inference thread continues, and no flag stays as it was
            verdicts, problem = self._unjudged(frame, error), error
        self._log_edge(frame.camera, problem)
        self._beside.seen(frame, verdicts, problem)
        self._annunciate(verdicts, frame)
        self._spend(frame, taken_ns, useless=problem is not None)

    def _refuse_flood(self, frame: Frame, now_ns: int) -> None:
        if self._shares.used_up(frame.camera, now_ns) and self._others_wait(frame.camera):
            raise RejectedInput("flooded", TOO_MUCH)

    def _spend(self, frame: Frame, taken_ns: int, *, useless: bool) -> None:
        """Count the time of a frame while others waited; a frame without a result, or a late one, counts more."""
        if self._others_wait(frame.camera):
            now_ns = self._now()
            self._shares.spend(frame.camera, taken_ns, now_ns - taken_ns, refused=useless or now_ns > frame.deadline_ns)

    def between(self, updated: Collection[str]) -> None:
        """Between frames: new readings of the `updated` sensors, delays that ran on, and frames that became stale.

        A channel with rules that no frame gave a sample is sampled each time, so that a dead camera holds back no alarm of its sensors. One that
        cannot be judged is unknown: its flag must not stay as it was. A channel for which nothing of this can have an effect is left out.
        """
        now_ns = self._now()
        rounds = self._publisher.round, self._annunciator.round
        if rounds != self._rounds:
            self._rounds = rounds
            self._rests.clear()
        for channel in self._channels:
            until_ns, version = self._rests.get(channel.spec.id, (0, 0))
            if now_ns < until_ns and version == channel.version and channel.listens.isdisjoint(updated):
                continue
            evidence = self._evidence(channel, now_ns)
            last = self._sampled.get(channel.spec.id)
            moved = last is None or (last.verdict, last.quality) != (evidence.verdict, evidence.quality)
            alone = bool(channel.sensors) and channel.spec.id not in self._by_frame
            done = not channel.sensors
            if moved or alone or any(sensor in updated for sensor in channel.sensors):
                verdicts = [(channel, evidence)]
                done = self._errors.guarded("flags", partial(self._publish, verdicts))
                done &= self._annunciate(verdicts, updated=updated)
            if done and evidence is not UNKNOWN:
                self._errors.guarded("flags", partial(self._rest, channel, evidence, now_ns))
        self._by_frame.clear()

    def _rest(self, channel: Channel, evidence: Evidence, now_ns: int) -> None:
        """Note until when a channel is left out; one with rules only where its flag and value are published and its alarm has settled."""
        name, until_ns = channel.spec.id, channel.steady_until_ns(now_ns)
        if channel.sensors:
            settled = self._annunciator.is_settled(name, evidence, fresh=False)
            until_ns = min(until_ns, self._publisher.rests_until_ns(name, evidence)) if settled else now_ns
        self._rests[name] = until_ns, channel.version

    def judged(self, channels: Sequence[Channel]) -> None:
        """A window of readings of these channels was judged: their flags and alarms follow, as after a frame."""
        for channel in channels:
            verdicts = [(channel, self._evidence(channel, self._now()))]
            self._errors.guarded("flags", partial(self._publish, verdicts, judged=True))
            self._annunciate(verdicts, judged=True)

    def lose(self, camera: str, at_ns: int) -> None:
        """The camera's gateway is offline: nothing is known of what it saw before, until its next frame."""
        if camera in self._coverages:
            self._coverages[camera].lose(at_ns)
        for channel in self._channels_of.get(camera, ()):
            channel.lose(at_ns)

    def _picture_quality(self, frame: Frame, tensor: NDArray[np.uint8], header: Header) -> Quality:
        monitor = self._picture_monitors.get(frame.camera)
        if monitor is None:
            return Quality.GOOD
        return monitor.assess(tensor, frame.received_ns, (header.width, header.height), header.head)

    def _infer(
        self, frame: Frame, rgb: NDArray[np.uint8], whole: NDArray[np.uint8], picture: Quality, now_ns: int
    ) -> tuple[int, int | None]:
        """Compute the tiles that this frame needs, as many as fit into the budget; when that was done, and how long all but the first took.

        The first is computed in any case; None: nothing was. Those that do not fit are counted: their verdicts stay until they are too old,
        then they are unknown.
        """
        stage, coverage = self._preprocessors[frame.camera], self._coverages[frame.camera]
        until_ns = self._infer_until_ns(frame, now_ns)
        first_ns = None
        for key in coverage.frame(frame.received_ns, picture, stage.blocks(rgb) if coverage.compares else None):
            if first_ns is not None and not coverage.fits(until_ns - now_ns):
                break
            tile = coverage.begin(key)
            scores = self._engine.run(whole if tile.is_whole else stage.fit(rgb, tile)).tolist()
            begun_ns, now_ns = now_ns, self._now()
            coverage.done(key, scores, now_ns - begun_ns)
            first_ns = first_ns or now_ns
        self._health.tiles_seen(frame.camera, coverage.turns())
        return now_ns, None if first_ns is None else now_ns - first_ns

    def _infer_until_ns(self, frame: Frame, now_ns: int) -> int:
        """Until when tiles may be computed: the later stages need time too, and so do waiting frames of other cameras."""
        until_ns = frame.deadline_ns - max(self._after_ns, default=0)
        if not self._others_wait(frame.camera):
            return until_ns
        return min(until_ns, now_ns + (frame.deadline_ns - frame.received_ns) // len(self._preprocessors))

    def _decide(self, frame: Frame, now_ns: int, picture: Quality) -> Verdicts:
        """The verdict of each channel that looks at what was seen of this camera, the most urgent first."""
        coverage, late = self._coverages[frame.camera], now_ns > frame.deadline_ns
        verdicts = []
        for channel in self._channels_of[frame.camera]:
            spec = channel.spec
            looks = coverage.looks(spec.region.id)
            if not looks and picture.rank < Quality.STALE.rank:
                continue  # nothing of its region was seen, and nothing is wrong with the picture: its verdict grows older
            if spec.vision is not None and spec.fault is not None:
                seen = join(looks, spec.vision, spec.fault.threshold, frame.received_ns, spec.stale_after_ns)
                at = None if seen.tile is None else coverage.tile(spec.region.id, seen.tile)
                quality = picture if seen.tile is None else worst(picture, seen.quality)
                channel.see(seen.score, seen.seen_ns, late=late, picture=quality, covered=seen.covered, at=at)
            verdicts.append((channel, channel.evidence(now_ns)))
        return sorted(verdicts, key=lambda item: _URGENCY[item[1].verdict])

    def _publish(
        self, verdicts: Verdicts, frame: Frame | None = None, stamps: Stamps | None = None, *, judged: bool = False
    ) -> int:
        """Publish flags, where they are news; returns when the last was handed over."""
        for channel, evidence in verdicts:
            self._publisher.flag(
                channel.spec.id, evidence, self._now(), self._wall(), frame=frame, stamps=stamps, judged=judged
            )
        return self._now()

    def _annunciate(
        self,
        verdicts: Verdicts,
        frame: Frame | None = None,
        updated: Collection[str] = (),
        *,
        judged: bool = False,
    ) -> bool:
        """Sample the alarm of each channel and publish its value for trends; an alarm that cannot be sampled becomes unknown. Returns whether all could."""
        done = True
        now_ns, now_wall_ns = self._now(), self._wall()
        for channel, evidence in verdicts:
            name = channel.spec.id
            self._sampled[name] = evidence
            scored = judged or frame is not None
            if scored:
                self._by_frame.add(name)
            try:
                fresh = channel.is_confirmed(evidence.verdict, now_ns, seen=scored, updated=updated)
                self._sample(name, evidence, now_ns, now_wall_ns, frame, fresh=fresh)
                self._publisher.value(name, evidence, now_ns, now_wall_ns)
            except Exception as error:  # noqa: BLE001 - one channel must not end the others, nor this thread
                done = False
                self._errors.caught("alarms", error)
                unknown = partial(self._sample, name, UNKNOWN, now_ns, now_wall_ns, None, fresh=False)
                self._errors.guarded("alarms", unknown)
        return done

    def _sample(
        self, name: str, evidence: Evidence, now_ns: int, now_wall_ns: int, frame: Frame | None, *, fresh: bool
    ) -> None:
        if name in self._annunciator:
            self._annunciator.sample(name, evidence, now_ns, now_wall_ns, frame, fresh=fresh)

    def _drop_late(self, frame: Frame) -> None:
        self._health.frame_dropped(frame.camera, Drop.LATE)
        if self._runs_ns:
            # Forget the oldest run: an estimate that nothing renews must not keep the camera blind forever.
            self._runs_ns.popleft()

    def _unjudged(self, frame: Frame, error: Exception) -> Verdicts:
        """Publish the verdict of each channel of this camera as unknown."""
        if isinstance(error, RejectedInput | InferenceFailed):
            reason = error.reason if isinstance(error, RejectedInput) else "inference_failed"
        else:
            self._errors.caught("path", error)
            reason = INTERNAL_ERROR
        self._health.frame_dropped(frame.camera, Drop.REJECTED, reason)
        verdicts = []
        for channel in self._channels_of[frame.camera]:
            self._errors.guarded("path", partial(channel.miss, frame.received_ns))
            verdicts.append((channel, self._evidence(channel, self._now())))
            self._errors.guarded("flags", partial(self._publish, verdicts[-1:], frame))
        return verdicts

    def _evidence(self, channel: Channel, now_ns: int) -> Evidence:
        try:
            return channel.evidence(now_ns)
        except Exception as error:  # noqa: BLE001 - as above
            self._errors.caught("flags", error)
            return UNKNOWN

    def _log_edge(self, camera: str, error: Exception | None) -> None:
        if error is not None and camera not in self._failing:
            self._failing.add(camera)
            _log.warning("camera %s: frames cannot be judged: %s; counted from now on", camera, error)
        elif error is None and camera in self._failing:
            self._failing.remove(camera)
            _log.info("camera %s: frames are judged again", camera)
