"""The path of a frame: preprocess, look at the picture itself, infer, decide, publish, in one short body; and what happens when a stage cannot.

Runs on the inference thread only. Stages know nothing of each other; this module hands each one what the one before gave.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from edge.channel import Channel
from edge.errors import InferenceFailed, RejectedInput
from edge.frame import Drop, Evidence, Frame, Quality, Stamps, Verdict
from edge.health import Health
from edge.infer import Engine
from edge.lens import Lens
from edge.preprocess import Preprocessor
from edge.publish import Publisher
from edge.slot import cannot_make_it

REMEMBERED_RUNS = 16  # the fastest of so many says what is possible; one slow run must not condemn the next frames

_log = logging.getLogger(__name__)
_URGENCY = {Verdict.FAULT: 0, Verdict.UNKNOWN: 1, Verdict.OK: 2}


class FramePath:
    """Takes encoded frames to published flags.

    Args:
        preprocessors: one for each camera, since limits differ.
        lenses: what knows of each camera whether its pictures can be trusted; a camera without one is trusted.
        engine: the bundle's graph.
        channels: the flag channels of each camera that look at its frames.
        publisher: where flags go.
        health: where each frame is counted.
        on_picture: told of each frame that was decoded.
        monotonic_ns, wall_ns: the clocks.
    """

    def __init__(
        self,
        *,
        preprocessors: Mapping[str, Preprocessor],
        lenses: Mapping[str, Lens] | None = None,
        engine: Engine,
        channels: Mapping[str, Sequence[Channel]],
        publisher: Publisher,
        health: Health,
        on_picture: Callable[[Frame], None] = lambda _frame: None,
        monotonic_ns: Callable[[], int],
        wall_ns: Callable[[], int],
    ) -> None:
        self._preprocessors = preprocessors
        self._lenses = lenses or {}
        self._engine = engine
        self._channels = channels
        self._publisher = publisher
        self._health = health
        self._on_picture = on_picture
        self._now = monotonic_ns
        self._wall = wall_ns
        self._runs_ns: deque[int] = deque(maxlen=REMEMBERED_RUNS)
        self._failing: set[str] = set()  # cameras whose last frame could not be judged: log edges, not levels

    def process(self, frame: Frame) -> Sequence[tuple[Channel, Evidence]]:
        """One frame, from the slot to its flags; returns the verdicts, or none when it was dropped or could not be judged."""
        taken_ns = self._now()
        if cannot_make_it(frame, taken_ns, min(self._runs_ns, default=0)):
            self._drop_late(frame)
            return ()
        try:
            tensor = self._preprocessors[frame.camera].prepare(frame.encoded)
            self._on_picture(frame)
            lens = self._lenses.get(frame.camera)
            picture = lens.look(tensor, frame.received_ns) if lens else Quality.GOOD
            decoded_ns = self._now()
            scores = self._engine.run(tensor)
        except (RejectedInput, InferenceFailed) as error:
            return self._unjudged(frame, error)
        inferred_ns = self._now()
        verdicts = self._decide(frame, scores.tolist(), inferred_ns, picture)
        decided_ns = self._now()
        stamps = Stamps(frame.received_ns, taken_ns, decoded_ns, inferred_ns, decided_ns)
        published_ns = self._publish(frame, stamps, verdicts)
        self._runs_ns.append(published_ns - taken_ns)
        self._health.frame_done(
            frame, Stamps(frame.received_ns, taken_ns, decoded_ns, inferred_ns, decided_ns, published_ns)
        )
        self._log_edge(frame.camera, None)
        return verdicts

    def _decide(
        self, frame: Frame, scores: Sequence[float], now_ns: int, picture: Quality
    ) -> list[tuple[Channel, Evidence]]:
        late = now_ns > frame.deadline_ns
        verdicts = []
        for channel in self._channels[frame.camera]:
            if channel.spec.vision is not None:
                channel.see(scores[channel.spec.vision], frame.received_ns, late=late, picture=picture)
            verdicts.append((channel, channel.evidence(now_ns)))
        return sorted(verdicts, key=lambda item: _URGENCY[item[1].verdict])

    def _publish(self, frame: Frame, stamps: Stamps, verdicts: Sequence[tuple[Channel, Evidence]]) -> int:
        for channel, evidence in verdicts:
            self._publisher.flag(channel.spec.id, evidence, self._now(), self._wall(), frame=frame, stamps=stamps)
        return self._now()

    def _drop_late(self, frame: Frame) -> None:
        self._health.frame_dropped(frame.camera, Drop.LATE)
        if self._runs_ns:
            # Forget the oldest run: an estimate that nothing renews must not keep the camera blind for ever.
            self._runs_ns.popleft()

    def _unjudged(self, frame: Frame, error: RejectedInput | InferenceFailed) -> Sequence[tuple[Channel, Evidence]]:
        reason = error.reason if isinstance(error, RejectedInput) else "inference_failed"
        self._health.frame_dropped(frame.camera, Drop.REJECTED, reason)
        self._log_edge(frame.camera, error)
        now_ns = self._now()
        verdicts = []
        for channel in self._channels[frame.camera]:
            channel.miss(frame.received_ns)
            evidence = channel.evidence(now_ns)
            self._publisher.flag(channel.spec.id, evidence, now_ns, self._wall(), frame=frame)
            verdicts.append((channel, evidence))
        return verdicts

    def _log_edge(self, camera: str, error: Exception | None) -> None:
        if error is not None and camera not in self._failing:
            self._failing.add(camera)
            _log.warning("camera %s: frames cannot be judged: %s; counted from now on", camera, error)
        elif error is None and camera in self._failing:
            self._failing.remove(camera)
            _log.info("camera %s: frames are judged again", camera)
