"""After an alarm, and only in time left over, one sentence for the operator: which occurrence is next, one step at a time, and away when a frame comes.

Runs on the inference thread between frames (docs/decisions/006-explanations.md). A step is begun only if it will be done before the next frame is to
be expected; should one come all the same, the step stops between two operators of its graph and is run again later.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge.errors import InferenceFailed, RejectedInput
from edge.explain import sentence, where
from edge.explain.memory import Fault, Memory
from edge.explain.pace import Pace
from edge.explain.painting import Found, Painted, Painter
from edge.explain.sentence import Facts
from edge.explain.speech import Speech
from edge.explain.where import Window
from edge.frame import Evidence, Frame, Verdict
from edge.messages import AlarmSource, Explanation, Spot, timestamp
from edge.sections import ExplainSettings
from edge.session import Brake, Stopped

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
MAX_PICTURES = 4  # jobs that hold a picture; an older one that waits is told without
PICTURE_PATIENCE_NS = NS_PER_S  # so long at most a finished sentence waits for its picture
FIRST_GUESS_NS = 5 * NS_PER_MS  # of a step that was never run
REMEMBERED = 8  # runs of a kind of step; the slowest is what is expected

_log = logging.getLogger(__name__)
Result = TypeVar("Result")
Steps = Generator[str, None, None]


class Scores(Protocol):
    """The graph of the frames."""

    def run(self, tensor: NDArray[np.uint8], brake: Brake | None = None) -> NDArray[np.float32]:
        """Scores of a picture."""
        ...


class Prepares(Protocol):
    """The preprocess stage."""

    def prepare(self, encoded: bytes) -> NDArray[np.uint8]:
        """Encoded picture to tensor."""
        ...

    def shown(self, encoded: bytes) -> tuple[float, float, float, float]:
        """The part of the picture that the tensor shows."""
        ...


@dataclass(slots=True)
class Job:
    """One occurrence to be explained, and how far it is."""

    alarm_id: str
    occurrence_id: str
    fault: Fault
    facts: Facts
    frame: Frame | None
    asked_ns: int
    outcome: str = "template"
    worked_ns: int = 0
    preempted: int = 0
    found: Found | None = None
    said: str = ""
    probability: float | None = None
    painted: Painted | None = None
    tell_by_ns: int | None = None  # set when only the picture is missing
    next_step: str = "begin"  # the kind of step that comes next; empty: only to be told
    steps: Steps | None = field(default=None, repr=False)


class Explainer:
    """Takes occurrences and tells about them.

    Args:
        settings: how much, and how long.
        faults: every flag channel.
        rules: verdicts of a fault's sensor rules now, by its id.
        newest: the newest occurrence of an alarm.
        engine: the graph of the frames.
        speech: for a bundle that speaks.
        preprocessors: one for each camera.
        painter: makes the pictures beside the sentences; None: there are none.
        brake: what frames stop a run with.
        tell: where a finished explanation goes.
        show: where its picture goes, right behind it.
        count: takes what became of each, for the heartbeat.
        model: name and SHA-256 of the bundle.
        monotonic_ns, wall_ns: the clocks.
        expected_ns: how long kinds of steps took when they were tried at the start.
    """

    def __init__(
        self,
        *,
        settings: ExplainSettings,
        faults: Sequence[Fault],
        rules: Callable[[str, int], tuple[tuple[str, Verdict], ...]],
        newest: Callable[[str], str | None],
        engine: Scores,
        speech: Speech | None,
        preprocessors: Mapping[str, Prepares],
        brake: Brake,
        tell: Callable[[Explanation], None],
        show: Callable[[Explanation, bytes], None] = lambda _message, _jpeg: None,
        count: Callable[[str], None],
        model: tuple[str, str],
        monotonic_ns: Callable[[], int],
        wall_ns: Callable[[], int],
        painter: Painter | None = None,
        expected_ns: Mapping[str, int] | None = None,
    ) -> None:
        self._settings = settings
        self._memory = Memory(faults, rules)
        self._occurrence = newest
        self._engine = engine
        self._speech = speech
        self._preprocessors = preprocessors
        self._brake = brake
        self._painter = painter
        self._tell = tell
        self._show = show
        self._count = count
        self._model = model
        self._now = monotonic_ns
        self._wall = wall_ns
        self._pace = Pace()
        self._took_ns = {kind: deque([value], maxlen=REMEMBERED) for kind, value in (expected_ns or {}).items()}
        self._waiting: OrderedDict[str, Job] = OrderedDict()
        self._job: Job | None = None

    # --- what happens -----------------------------------------------------------------------------------------------------------------

    def look(self, frame: Frame, seen: Sequence[tuple[str, Evidence | None]]) -> None:
        """A frame was judged: remember it, and what was seen on it."""
        self._pace.seen(frame.camera, frame.received_ns)
        self._memory.look(frame, seen)
        if self._job is not None:
            self._job.preempted += 1

    def raised(self, alarm_id: str, occurrence_id: str, now_ns: int) -> bool:
        """An alarm was raised, or somebody asks about it; returns whether it will be explained."""
        fault = self._memory.faults.get(alarm_id)
        if fault is None:
            return False
        facts, frame = self._memory.facts(fault, now_ns), self._memory.newest(fault.camera)
        job = Job(alarm_id, occurrence_id, fault, facts, frame, now_ns)
        self._waiting.pop(alarm_id, None)
        self._waiting[alarm_id] = job
        if self._job is not None and self._job.alarm_id == alarm_id:
            self._end("stale")
        for older in list(self._waiting.values())[:-MAX_PICTURES]:
            older.frame = None
        return True

    # --- time left over ---------------------------------------------------------------------------------------------------------------

    def ready(self, now_ns: int) -> bool:
        """Whether there is a step to do, and time for it."""
        if (self._job is None and not self._waiting) or self._brake.frame_waits():
            return False
        job = self._job or next(iter(self._waiting.values()))
        if self._too_late(job, now_ns):
            return True
        return self._pace.spare_ns(now_ns) >= self._expected_ns(job.next_step) + self._settings.min_spare_ms * NS_PER_MS

    def step(self) -> None:
        """Do one step, if there is one and time for it; returns early when a frame comes."""
        now_ns = self._now()
        if not self.ready(now_ns):
            return
        if self._job is None:
            _, self._job = self._waiting.popitem(last=False)
            self._job.steps = self._work(self._job)
        try:
            self._go_on(self._job, now_ns)
        except Exception as error:  # noqa: BLE001 - nothing about an explanation may end the thread that flags
            _log.warning("alarm %s is not explained: %s: %s", self._job.alarm_id, type(error).__name__, error)
            self._end("unavailable")

    def _go_on(self, job: Job, now_ns: int) -> None:
        if self._occurrence(job.alarm_id) != job.occurrence_id:
            self._end("stale")
            return
        if self._too_late(job, now_ns):
            if job.tell_by_ns is None:
                job.outcome = "no_time"
            else:
                self._count("image_no_time")
            self._finish(job)
            return
        self._advance(job)

    def _advance(self, job: Job) -> None:
        assert job.steps is not None  # noqa: S101 - narrows the type; step() has set it
        kind, begun_ns, before = job.next_step, self._now(), job.preempted
        job.next_step = next(job.steps, "")
        took_ns = self._now() - begun_ns
        job.worked_ns += took_ns
        if job.preempted == before:  # a run that was stopped says nothing of how long it takes
            self._took_ns.setdefault(kind, deque(maxlen=REMEMBERED)).append(took_ns)
        if not job.next_step:
            self._finish(job)

    def _expected_ns(self, kind: str) -> int:
        return max(self._took_ns.get(kind, ()), default=FIRST_GUESS_NS)

    def _too_late(self, job: Job, now_ns: int) -> bool:
        paints_long = job.tell_by_ns is not None and now_ns > job.tell_by_ns
        return paints_long or now_ns - job.asked_ns > self._settings.patience_s * NS_PER_S

    # --- one occurrence, step by step: each yield names the step behind it, and may last -------------------------------------------------

    def _work(self, job: Job) -> Steps:
        if job.frame is None or job.fault.vision is None:
            return
        try:
            yield "decode"
            prepares = self._preprocessors[job.frame.camera]
            tensor, window = prepares.prepare(job.frame.encoded), Window(*prepares.shown(job.frame.encoded))
            yield from self._find(job, tensor, window, job.fault.vision)
            if self._speech is not None:
                yield from self._speak(job, self._speech, tensor, job.fault.vision)
        except (RejectedInput, InferenceFailed) as error:
            job.outcome = "unavailable"
            _log.warning("alarm %s is explained without its picture: %s", job.alarm_id, error)
        yield from self._paint(job, job.frame)

    def _find(self, job: Job, tensor: NDArray[np.uint8], window: Window, fault: int) -> Steps:
        grid = self._settings.grid
        if grid == 0:
            return
        whole = yield from self._gives_way(job, "cover", partial(self._engine.run, tensor, self._brake))
        scores = np.zeros((grid, grid))
        for row, column in np.ndindex(grid, grid):
            hidden = where.cover(tensor, grid, row, column)
            found = yield from self._gives_way(job, "cover", partial(self._engine.run, hidden, self._brake))
            scores[row, column] = found[fault]
        warmth = where.heat(float(whole[fault]), scores)
        job.found = None if warmth is None else Found(warmth, window, where.middle(warmth, window))

    def _speak(self, job: Job, speech: Speech, tensor: NDArray[np.uint8], fault: int) -> Steps:
        thought = yield from self._gives_way(job, "picture", partial(speech.look, tensor))
        token, sure = -1, 0.0
        for word in speech.question(fault):
            token, sure = yield from self._gives_way(job, "token", partial(speech.follow, thought, word))
        while speech.goes_on(thought, token, self._settings.max_tokens):
            speech.say(thought, token, sure)
            token, sure = yield from self._gives_way(job, "token", partial(speech.follow, thought, token))
        job.said, job.probability = sentence.clean(speech.text(thought)), thought.probability
        job.outcome = "generated" if job.said else "unavailable"

    def _paint(self, job: Job, frame: Frame) -> Steps:
        """The picture, where there is something to show: the last thing to be made, and nothing that the sentence needs."""
        if job.found is None or self._painter is None or not self._painter.may(frame.camera):
            return
        job.tell_by_ns = self._now() + PICTURE_PATIENCE_NS
        try:
            job.painted = yield from self._painter.paint(frame, job.found)
        except Exception as error:  # noqa: BLE001 - the sentence is worth more than its picture
            _log.warning("alarm %s is explained without a heat map: %s: %s", job.alarm_id, type(error).__name__, error)
            self._count("image_unavailable")
            return
        if job.painted is None:
            self._count("image_too_large")

    def _gives_way(self, job: Job, kind: str, run: Callable[[], Result]) -> Generator[str, None, Result]:
        """A run that is begun again when a frame stopped it."""
        while True:
            yield kind
            try:
                return run()
            except Stopped:
                job.preempted += 1

    # --- telling ----------------------------------------------------------------------------------------------------------------------

    def _finish(self, job: Job) -> None:
        message = self._message(job)
        self._tell(message)
        if job.painted is not None:
            self._show(message, job.painted.jpeg)
            self._count("image")
        self._end(job.outcome)

    def _message(self, job: Job) -> Explanation:
        now_ns, wall_ns = self._now(), self._wall()
        place = None if job.found is None else job.found.place
        words = None if place is None else place.words
        frame = job.frame
        name, sha256 = self._model
        speaks = bool(job.said)
        return Explanation(
            id=job.alarm_id,
            occurrence_id=job.occurrence_id,
            ts=timestamp(wall_ns),
            text=sentence.generated(job.said, job.facts, words) if speaks else sentence.template(job.facts, words),
            how="generated" if speaks else "template",
            where=words,
            spot=None if place is None else Spot(x=place.x, y=place.y),
            image=None if job.painted is None else job.painted.about,
            score=job.facts.score,
            threshold=job.facts.limit,
            confidence=sentence.confidence(job.facts.score, job.facts.limit),
            word_probability=job.probability if speaks else None,
            source=AlarmSource(
                camera=job.facts.camera,
                frame_seq=frame.seq if frame else None,
                frame_ts=timestamp(frame.captured_wall_ns) if frame and frame.captured_wall_ns is not None else None,
                model=name,
                model_sha256=sha256,
            ),
            made_ms=round(job.worked_ns / NS_PER_MS, 3),
            waited_ms=round((now_ns - job.asked_ns) / NS_PER_MS, 3),
            preempted=job.preempted,
        )

    def _end(self, outcome: str) -> None:
        self._count(outcome)
        if self._job is not None and self._job.steps is not None:
            self._job.steps.close()
        self._job = None
