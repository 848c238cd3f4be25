"""After an alarm, makes one sentence for the operator in idle time, in steps that a frame preempts.

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
from edge.inference.onnx_session import Brake, Stopped
from edge.region import Region
from edge.site.sections import ExplainSettings
from edge.units import NS_PER_MS, NS_PER_S
from edge.wire.message import timestamp
from edge.wire.messages import AlarmSource, Explanation, Spot

MAX_PICTURES = 4  # jobs that hold a picture; an older one that waits is explained without its picture
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

    def prepare(self, encoded: bytes, region: Region) -> NDArray[np.uint8]:
        """Encoded picture to the tensor of a region."""
        ...

    def shown(self, encoded: bytes, region: Region) -> tuple[float, float, float, float]:
        """The part of the whole picture that this tensor shows."""
        ...


@dataclass(slots=True)
class Task:
    """One occurrence to be explained, and how far it is."""

    alarm_id: str
    occurrence_id: str
    fault: Fault
    facts: Facts
    frame: Frame | None
    region: Region  # of the picture: the part that showed it
    asked_ns: int
    outcome: str = "template"
    worked_ns: int = 0
    preempted: int = 0
    found: Found | None = None
    words: str = ""
    probability: float | None = None
    painted: Painted | None = None
    publish_by_ns: int | None = None  # set when only the picture is missing
    next_step: str = "begin"  # the kind of step that comes next; empty: only to be published
    steps: Steps | None = field(default=None, repr=False)


class Explainer:
    """Takes occurrences and publishes an explanation of each.

    Args:
        settings: how much, and how long.
        faults: every flag channel.
        rules: verdicts of a fault's sensor rules now, by its id.
        newest: the newest occurrence of an alarm.
        engine: the graph of the frames.
        speech: for a bundle that generates text.
        preprocessors: one for each camera.
        painter: makes the pictures beside the sentences; None: there are none.
        brake: what frames stop a run with.
        publish: where a finished explanation goes.
        publish_image: where its picture goes, right behind it.
        count: takes what became of each, for the heartbeat.
        model: name and SHA-256 of the bundle.
        monotonic_ns, wall_ns: the clocks.
        expected_ns: how long kinds of steps took when they were tried at the start.
        looked_at: the part of the picture that a fault's newest score is of; None: all of its region.
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
        publish: Callable[[Explanation], None],
        publish_image: Callable[[Explanation, bytes], None] = lambda _message, _jpeg: None,
        count: Callable[[str], None],
        model: tuple[str, str] | None,
        monotonic_ns: Callable[[], int],
        wall_ns: Callable[[], int],
        painter: Painter | None = None,
        expected_ns: Mapping[str, int] | None = None,
        looked_at: Callable[[str], Region] | None = None,
    ) -> None:
        self._settings = settings
        self._memory = Memory(faults, rules)
        self._looked_at = looked_at or (lambda fault_id: self._memory.faults[fault_id].region)
        self._occurrence = newest
        self._engine = engine
        self._speech = speech
        self._preprocessors = preprocessors
        self._brake = brake
        self._painter = painter
        self._publish = publish
        self._publish_image = publish_image
        self._count = count
        self._model = model
        self._now = monotonic_ns
        self._wall = wall_ns
        self._pace = Pace()
        self._took_ns = {kind: deque([value], maxlen=REMEMBERED) for kind, value in (expected_ns or {}).items()}
        self._waiting: OrderedDict[str, Task] = OrderedDict()
        self._task: Task | None = None

    # --- what happens -----------------------------------------------------------------------------------------------------------------

    def observe(self, frame: Frame, seen: Sequence[tuple[str, Evidence | None]]) -> None:
        """A frame was judged: remember it, and what was seen on it."""
        self._pace.seen(frame.camera, frame.received_ns)
        self._memory.observe(frame, seen)
        if self._task is not None:
            self._task.preempted += 1

    def raised(self, alarm_id: str, occurrence_id: str, now_ns: int) -> bool:
        """An alarm was raised, or a user asks about it; returns whether it will be explained."""
        fault = self._memory.faults.get(alarm_id)
        if fault is None:
            return False
        facts, frame = self._memory.facts(fault, now_ns), self._memory.newest(fault.camera)
        task = Task(alarm_id, occurrence_id, fault, facts, frame, self._looked_at(alarm_id), now_ns)
        self._waiting.pop(alarm_id, None)
        self._waiting[alarm_id] = task
        if self._task is not None and self._task.alarm_id == alarm_id:
            self._end("stale")
        for older in list(self._waiting.values())[:-MAX_PICTURES]:
            older.frame = None
        return True

    # --- time left over ---------------------------------------------------------------------------------------------------------------

    def ready(self, now_ns: int) -> bool:
        """Whether there is a step to do, and time for it."""
        if (self._task is None and not self._waiting) or self._brake.frame_waits():
            return False
        task = self._task or next(iter(self._waiting.values()))
        if self._too_late(task, now_ns):
            return True
        return (
            self._pace.spare_ns(now_ns) >= self._expected_ns(task.next_step) + self._settings.min_spare_ms * NS_PER_MS
        )

    def step(self) -> None:
        """Do one step, if there is one and time for it; returns early when a frame comes."""
        now_ns = self._now()
        if not self.ready(now_ns):
            return
        if self._task is None:
            _, self._task = self._waiting.popitem(last=False)
            self._task.steps = self._work(self._task)
        try:
            self._go_on(self._task, now_ns)
        except Exception as error:  # noqa: BLE001 - nothing about an explanation may end the thread that flags
            _log.warning("alarm %s is not explained: %s: %s", self._task.alarm_id, type(error).__name__, error)
            self._end("unavailable")

    def _go_on(self, task: Task, now_ns: int) -> None:
        if self._occurrence(task.alarm_id) != task.occurrence_id:
            self._end("stale")
            return
        if self._too_late(task, now_ns):
            if task.publish_by_ns is None:
                task.outcome = "no_time"
            else:
                self._count("image_no_time")
            self._finish(task)
            return
        self._advance(task)

    def _advance(self, task: Task) -> None:
        assert task.steps is not None  # noqa: S101 - narrows the type; step() has set it
        kind, begun_ns, before = task.next_step, self._now(), task.preempted
        task.next_step = next(task.steps, "")
        took_ns = self._now() - begun_ns
        task.worked_ns += took_ns
        if task.preempted == before:  # the duration of a run that was stopped is no measurement
            self._took_ns.setdefault(kind, deque(maxlen=REMEMBERED)).append(took_ns)
        if not task.next_step:
            self._finish(task)

    def _expected_ns(self, kind: str) -> int:
        return max(self._took_ns.get(kind, ()), default=FIRST_GUESS_NS)

    def _too_late(self, task: Task, now_ns: int) -> bool:
        paints_long = task.publish_by_ns is not None and now_ns > task.publish_by_ns
        return paints_long or now_ns - task.asked_ns > self._settings.patience_s * NS_PER_S

    # --- one occurrence, step by step: each yield names the step behind it, and may last -------------------------------------------------

    def _work(self, task: Task) -> Steps:
        if task.frame is None or task.fault.vision is None:
            return
        try:
            yield "decode"
            prepares, encoded, region = (
                self._preprocessors[task.frame.camera], task.frame.encoded, task.region,
            )  # fmt: skip
            tensor, window = prepares.prepare(encoded, region), Window(*prepares.shown(encoded, region))
            yield from self._find(task, tensor, window, task.fault.vision)
            if self._speech is not None:
                yield from self._speak(task, self._speech, tensor, task.fault.vision)
        except (RejectedInput, InferenceFailed) as error:
            task.outcome = "unavailable"
            _log.warning("alarm %s is explained without its picture: %s", task.alarm_id, error)
        yield from self._paint(task, task.frame)

    def _find(self, task: Task, tensor: NDArray[np.uint8], window: Window, fault: int) -> Steps:
        grid = self._settings.grid
        if grid == 0:
            return
        whole = yield from self._preemptible(task, "cover", partial(self._engine.run, tensor, self._brake))
        scores = np.zeros((grid, grid))
        for row, column in np.ndindex(grid, grid):
            hidden = where.cover(tensor, grid, row, column)
            found = yield from self._preemptible(task, "cover", partial(self._engine.run, hidden, self._brake))
            scores[row, column] = found[fault]
        warmth = where.heat(float(whole[fault]), scores)
        task.found = None if warmth is None else Found(warmth, window, where.middle(warmth, window))

    def _speak(self, task: Task, speech: Speech, tensor: NDArray[np.uint8], fault: int) -> Steps:
        thought = yield from self._preemptible(task, "picture", partial(speech.read_picture, tensor))
        token, sure = -1, 0.0
        for word in speech.question(fault):
            token, sure = yield from self._preemptible(task, "token", partial(speech.follow, thought, word))
        while speech.goes_on(thought, token, self._settings.max_tokens):
            speech.append(thought, token, sure)
            token, sure = yield from self._preemptible(task, "token", partial(speech.follow, thought, token))
        task.words, task.probability = sentence.clean(speech.text(thought)), thought.probability
        task.outcome = "generated" if task.words else "unavailable"

    def _paint(self, task: Task, frame: Frame) -> Steps:
        """The picture, where there is something to show: the last thing to be made, and nothing that the sentence needs."""
        if task.found is None or self._painter is None or not self._painter.may(frame.camera):
            return
        task.publish_by_ns = self._now() + PICTURE_PATIENCE_NS
        try:
            task.painted = yield from self._painter.paint(frame, task.found)
        except Exception as error:  # noqa: BLE001 - the sentence is worth more than its picture
            _log.warning("alarm %s is explained without a heat map: %s: %s", task.alarm_id, type(error).__name__, error)
            self._count("image_unavailable")
            return
        if task.painted is None:
            self._count("image_too_large")

    def _preemptible(self, task: Task, kind: str, run: Callable[[], Result]) -> Generator[str, None, Result]:
        """A run that is begun again when a frame stopped it."""
        while True:
            yield kind
            try:
                return run()
            except Stopped:
                task.preempted += 1

    # --- publishing ----------------------------------------------------------------------------------------------------------------------

    def _finish(self, task: Task) -> None:
        message = self._message(task)
        self._publish(message)
        if task.painted is not None:
            self._publish_image(message, task.painted.jpeg)
            self._count("image")
        self._end(task.outcome)

    def _message(self, task: Task) -> Explanation:
        now_ns, wall_ns = self._now(), self._wall()
        place = None if task.found is None else task.found.place
        words = None if place is None else place.words
        frame = task.frame
        name, sha256 = self._model or (None, None)
        generated = bool(task.words)
        return Explanation(
            id=task.alarm_id,
            occurrence_id=task.occurrence_id,
            ts=timestamp(wall_ns),
            text=sentence.generated(task.words, task.facts, words)
            if generated
            else sentence.template(task.facts, words),
            how="generated" if generated else "template",
            where=words,
            spot=None if place is None else Spot(x=place.x, y=place.y),
            image=None if task.painted is None else task.painted.about,
            explained_by=task.facts.explained_by,
            score=task.facts.score,
            threshold=task.facts.limit,
            confidence=sentence.confidence(task.facts.score, task.facts.limit),
            word_probability=task.probability if generated else None,
            source=AlarmSource(
                camera=task.facts.camera,
                frame_seq=frame.seq if frame else None,
                frame_ts=timestamp(frame.captured_wall_ns) if frame and frame.captured_wall_ns is not None else None,
                model=name,
                model_sha256=sha256,
            ),
            made_ms=round(task.worked_ns / NS_PER_MS, 3),
            waited_ms=round((now_ns - task.asked_ns) / NS_PER_MS, 3),
            preempted=task.preempted,
        )

    def _end(self, outcome: str) -> None:
        self._count(outcome)
        if self._task is not None and self._task.steps is not None:
            self._task.steps.close()
        self._task = None
