"""Explaining gives way to frames: nothing is begun that would not be done by the next one, and what runs all the same stops.

The world below is a camera, a graph of fixed durations and a clock of our own; a run looks after every millisecond whether a frame came, as ONNX
Runtime does between two operators.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import InferenceFailed
from edge.explain.explainer import MAX_PICTURES, PICTURE_PATIENCE_NS, Explainer
from edge.explain.painting import Painter
from edge.explain.speech import Speech
from edge.frame import Evidence, Frame, Quality, Verdict
from edge.inference.onnx_session import Brake, Stopped
from edge.manifest import FaultSpec
from edge.manifest import Speech as SpeechSpec
from edge.plan import _vision_fault
from edge.region import WHOLE, Region
from edge.site.sections import ExplainSettings
from edge.verdict.channel import VisionFault
from edge.wire.messages import Explanation, Spot
from tests.stand.bundles import SPEECH_WORDS, fault, speech_section

MS = 1_000_000
INFER_MS = 15
TOKEN_MS, PICTURE_MS, COVER_MS = 7, 30, 16
OPERATOR_MS = 1
PREVIEW_MS, ENCODE_MS = 4, 3
FAULT = _vision_fault(FaultSpec.model_validate(fault("crack")))


@dataclass(frozen=True)
class Channel:
    """A fault's channel."""

    id: str = "crack"
    title: str = "Crack"
    camera: str | None = "cam"
    region: Region = WHOLE
    vision: int | None = 0
    fault: VisionFault | None = FAULT


class World:
    """A camera whose frames come at given times, the inference thread's loop, and graphs that take their time."""

    def __init__(
        self,
        arrivals_ms: Sequence[float] = (),
        *,
        speaks: bool = True,
        broken: bool = False,
        jpeg: bytes | None = None,
        **settings: Any,
    ) -> None:
        self.now_ns = 0
        self.arrivals = [round(at * MS) for at in arrivals_ms]
        self.waits_ns: list[int] = []
        self.told: list[Explanation] = []
        self.shown: list[tuple[Explanation, bytes]] = []
        self.jpeg = jpeg  # what every picture is encoded to; None: there are no pictures
        self.outcomes: Counter[str] = Counter()
        self.occurrence = {"crack": "o1", "dent": "d1"}
        self.broken = broken
        self.judged = 0
        self.brake = Brake(self._frame_waits)
        begin, follow = _Begin(self), _Follow(self)
        spec = SpeechSpec.model_validate(speech_section(1))
        self.explainer = Explainer(
            settings=ExplainSettings.model_validate({"grid": 3} | settings),
            faults=[Channel(), Channel("dent", "Dent", None, WHOLE, None, None)],
            rules=lambda _fault, _now: (),
            newest=self.occurrence.get,
            engine=_Engine(self),
            speech=Speech(begin, follow, spec, [word.encode() for word in SPEECH_WORDS]) if speaks else None,
            preprocessors={"cam": _Preprocessor()},
            painter=None if jpeg is None else Painter({"cam": _Previews(self)}, self._encode, 640, 1000),
            brake=self.brake,
            publish=self.told.append,
            publish_image=self._publish_image,
            count=lambda outcome: self.outcomes.update([outcome]),
            model=("toy", "0" * 64),
            monotonic_ns=lambda: self.now_ns,
            wall_ns=lambda: 1_800_000_000_000_000_000 + self.now_ns,
            expected_ns={
                "cover": COVER_MS * MS,
                "picture": PICTURE_MS * MS,
                "token": TOKEN_MS * MS,
                "preview": PREVIEW_MS * MS,
                "encode": ENCODE_MS * MS,
            },
        )

    def _encode(self, picture: NDArray[np.uint8], quality: int) -> bytes:
        assert (picture.shape, self.jpeg is not None) == ((48, 64, 3), True)
        self.now_ns += ENCODE_MS * MS
        return b"" if self.jpeg is None else self.jpeg * quality

    def _publish_image(self, message: Explanation, jpeg: bytes) -> None:
        assert self.told[-1] is message, "a picture comes right behind its own sentence"
        self.shown.append((message, jpeg))

    def _frame_waits(self) -> bool:
        return bool(self.arrivals) and self.arrivals[0] <= self.now_ns

    def work(self, duration_ms: float) -> None:
        """A run takes its time, and stops after the operator during which a frame came."""
        for _ in range(round(duration_ms / OPERATOR_MS)):
            if self._frame_waits():
                raise Stopped
            self.now_ns += OPERATOR_MS * MS

    def run(self, until_ms: float) -> None:
        """The inference thread: a frame if there is one, else one step, else wait."""
        while self.now_ns < until_ms * MS:
            if self._frame_waits():
                self._judge(self.arrivals.pop(0))
            elif self.explainer.ready(self.now_ns):
                self.explainer.step()
            else:
                self.now_ns += MS // 2

    def _judge(self, arrived_ns: int) -> None:
        self.waits_ns.append(self.now_ns - arrived_ns)
        self.now_ns += INFER_MS * MS
        self.judged += 1
        frame = Frame("cam", self.judged, b"jpeg", arrived_ns, arrived_ns, arrived_ns + 40 * MS)
        self.explainer.observe(frame, [("crack", Evidence(Verdict.FAULT, 0.9, Quality.GOOD)), ("dent", None)])
        if self.judged == 3:
            self.explainer.raised("crack", self.occurrence["crack"], self.now_ns)

    @property
    def longest_wait_ms(self) -> float:
        """Of a frame, until its turn."""
        return max(self.waits_ns) / MS


class _Preprocessor:
    def prepare(self, encoded: bytes, region: Region) -> NDArray[np.uint8]:
        assert (encoded, region) == (b"jpeg", WHOLE)
        picture = np.zeros((1, 12, 12, 3), np.uint8)
        picture[0, 5:7, 9:11] = 255
        return picture

    def shown(self, encoded: bytes, region: Region) -> tuple[float, float, float, float]:
        assert (encoded, region) == (b"jpeg", WHOLE)
        return 0.0, 0.0, 1.0, 1.0


class _Previews:
    """Decodes in one go: nothing stops it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def preview(self, encoded: bytes, longest_px: int) -> NDArray[np.uint8]:
        assert (encoded, longest_px) == (b"jpeg", 640)
        self._world.now_ns += PREVIEW_MS * MS
        return np.zeros((48, 64, 3), np.uint8)


class _Engine:
    """Sees the fault in the right part: covering it takes the score away."""

    def __init__(self, world: World) -> None:
        self._world = world

    def run(self, tensor: NDArray[np.uint8], brake: Brake | None = None) -> NDArray[np.float32]:
        assert brake is not None, "an explanation's run must be one that frames can stop"
        self._world.work(COVER_MS)
        return np.array([0.9 if tensor.max() > 200 else 0.3], np.float32)


class _Begin:
    def __init__(self, world: World) -> None:
        self._world = world

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]:
        assert set(feeds) == {"frame"}
        self._world.work(PICTURE_MS)
        return [np.zeros((1, 1, 2, 2), np.float32) for _ in outputs]


class _Follow:
    def __init__(self, world: World) -> None:
        self._world = world

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]:
        if self._world.broken:
            raise InferenceFailed("the graph did not run: Gather index out of range")
        self._world.work(TOKEN_MS)
        new = np.zeros((1, 1, 1, 2), np.float32)
        best = (feeds["token"] + 1) % len(SPEECH_WORDS)
        assert tuple(outputs) == ("key", "value", "best", "sure")
        return [new, new, best, np.array([0.5], np.float32)]


def every(interval_ms: float, count: int = 400) -> list[float]:
    """A steady camera."""
    return [index * interval_ms for index in range(count)]


# --- deadlines --------------------------------------------------------------------------------------------------------------------------


def test_a_steady_camera_never_waits_for_an_explanation() -> None:
    """At 10 fps there is time between frames: the sentence is made there, and no frame waits at all."""
    world = World(every(100))
    world.run(5000)
    assert world.outcomes == {"generated": 1}
    assert world.longest_wait_ms <= 0.5  # the loop's own step


def test_frames_at_any_time_wait_for_one_operator_at_most() -> None:
    """A camera without a rhythm defeats every forecast: its frames stop the run in mid-token, and it is run again."""
    gaps = np.random.default_rng(3).uniform(25, 140, 300)
    world = World(np.cumsum(gaps).tolist())
    world.run(20_000)
    assert world.outcomes == {"generated": 1}
    assert world.longest_wait_ms <= OPERATOR_MS + 0.5
    assert world.told[0].preempted > 0


def test_without_the_brake_a_frame_would_wait_for_one_step_at_most() -> None:
    """Where a runtime cannot be stopped in mid-run, steps are short: between any two tokens a waiting frame goes first."""
    waits_ms = []
    for seed in range(12):
        gaps = np.random.default_rng(seed).uniform(25, 140, 120)
        world = World(np.cumsum(gaps).tolist(), grid=0)
        world.work = lambda duration_ms, world=world: setattr(  # type: ignore[method-assign, misc] # a graph that nothing stops
            world, "now_ns", world.now_ns + round(duration_ms * MS)
        )
        world.run(8_000)
        assert world.outcomes == {"generated": 1}
        waits_ms.append(world.longest_wait_ms)
    assert OPERATOR_MS < max(waits_ms) <= max(TOKEN_MS, PICTURE_MS)


def test_no_more_misses_with_explanations_than_without() -> None:
    """The same frames, with an alarm and without: every frame's wait is the same."""
    calm, busy = World(every(60)), World(every(60))
    calm.explainer.raised = lambda *_: True  # type: ignore[method-assign]
    for world in (calm, busy):
        world.run(15_000)
    assert not calm.told
    assert busy.outcomes == {"generated": 1}
    assert busy.waits_ns == calm.waits_ns


def test_with_no_time_left_over_the_facts_are_told_and_no_frame_suffers() -> None:
    """Frames one after another leave nothing: after the patience what is known without any work is said."""
    world = World(every(16, 2000), patience_s=2.0)
    world.run(10_000)
    assert world.outcomes == {"no_time": 1}
    assert (world.told[0].how, world.told[0].where, world.told[0].score) == ("template", None, 0.9)
    assert 2000 < world.told[0].waited_ms < 2200
    assert world.longest_wait_ms <= OPERATOR_MS


# --- what is told -----------------------------------------------------------------------------------------------------------------------


def test_an_explanation_belongs_to_its_occurrence_and_says_what_it_is() -> None:
    """Occurrence, frame, model, place, confidence; machine-made, in the message and in its text."""
    world = World(every(100))
    world.run(5000)
    (told,) = world.told
    assert (told.id, told.occurrence_id, told.machine_made) == ("crack", "o1", True)
    assert told.source.frame_seq == 3
    assert (told.where, told.confidence) == ("right", 0.5)
    assert told.text.startswith(
        'The model says "It is red here." Crack on camera cam, right of the picture: score 0.90'
    )
    assert told.text.endswith("(machine-made)")
    assert told.word_probability == 0.5
    assert told.made_ms > PICTURE_MS
    assert told.waited_ms > told.made_ms


def test_without_speech_the_template_speaks() -> None:
    """A dual encoder's bundle says what, where and how sure, too."""
    world = World(every(100), speaks=False)
    world.run(5000)
    assert world.outcomes == {"template": 1}
    assert (world.told[0].how, world.told[0].where, world.told[0].word_probability) == ("template", "right", None)


def test_a_broken_decode_graph_costs_the_words_only() -> None:
    """The facts and the place are still told; that the words are missing is counted."""
    world = World(every(100), broken=True)
    world.run(5000)
    assert world.outcomes == {"unavailable": 1}
    assert (world.told[0].how, world.told[0].where) == ("template", "right")


def test_an_unforeseen_error_ends_the_explanation_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong in it, the thread that flags goes on, and the next alarm is explained."""
    world = World(every(100), speaks=False)
    publish, calls = world.told.append, itertools.count()

    def fail_once(message: Explanation) -> None:
        if next(calls) == 0:
            raise RuntimeError("no")
        publish(message)

    world.explainer._publish = fail_once
    world.run(3000)
    assert world.outcomes == {"unavailable": 1}
    assert "RuntimeError: no" in caplog.text
    world.explainer.raised("crack", "o1", world.now_ns)
    world.run(6000)
    assert world.outcomes == {"unavailable": 1, "template": 1}


def test_a_stale_occurrence_is_not_explained() -> None:
    """When the alarm is raised again meanwhile, the old occurrence's sentence is dropped and counted, and the new one's is made."""
    world = World(every(100))
    world.run(400)
    assert not world.told
    world.occurrence["crack"] = "o2"
    world.explainer.raised("crack", "o2", world.now_ns)
    world.run(5000)
    assert world.outcomes == {"stale": 1, "generated": 1}
    assert [told.occurrence_id for told in world.told] == ["o2"]


def test_an_occurrence_that_was_replaced_unheard_is_dropped_too() -> None:
    """Even if nobody told the explainer of the new one."""
    world = World(every(100))
    world.run(400)
    world.occurrence["crack"] = "o2"
    world.run(5000)
    assert (world.outcomes, world.told) == ({"stale": 1}, [])


def test_a_fault_of_sensors_alone_is_told_at_once() -> None:
    """There is no picture to look at."""
    world = World()
    assert world.explainer.raised("dent", "d1", 0)
    world.run(10)
    assert (world.told[0].text, world.told[0].source.camera) == ("Dent (machine-made)", None)


def test_an_alarm_of_the_daemon_itself_has_no_explanation() -> None:
    """Its own message says all there is to say."""
    assert not World().explainer.raised("cam-silent", "x", 0)


def test_a_flood_keeps_few_pictures() -> None:
    """Memory is bounded: the older of many waiting alarms are told without their picture, and none is forgotten."""
    world = World()
    names = [f"f{index}" for index in range(12)]
    world.explainer._memory.faults = {name: Channel(name, name) for name in names}
    world.occurrence |= dict.fromkeys(names, "o")
    frame = Frame("cam", 1, b"jpeg", 0, 0, 40 * MS)
    world.explainer.observe(frame, [(name, Evidence(Verdict.FAULT, 0.9, Quality.GOOD)) for name in names])
    for name in names:
        world.explainer.raised(name, "o", 0)
    held = [task for task in world.explainer._waiting.values() if task.frame is not None]
    assert len(held) == MAX_PICTURES
    world.run(19_000)
    assert sorted(told.id for told in world.told) == sorted(names)
    assert sum(told.source.frame_seq is not None for told in world.told) == MAX_PICTURES


# --- the picture beside it --------------------------------------------------------------------------------------------------------------

JPEG = b"jpg"  # times the quality is its size: 255 bytes at the first


def test_the_picture_comes_right_behind_its_sentence_which_says_what_it_is() -> None:
    """The sentence names its size and hash, so that it is known for its own where messages have no user properties."""
    world = World(every(100), jpeg=JPEG)
    world.run(5000)
    ((told, jpeg),) = world.shown
    assert world.told == [told]
    assert told.image is not None
    assert (told.image.size_bytes, told.image.sha256) == (len(jpeg), hashlib.sha256(jpeg).hexdigest())
    assert (told.image.width, told.image.height) == (64, 48)
    assert world.outcomes == {"generated": 1, "image": 1}


@pytest.mark.parametrize("interval_ms", [45.0, 60.0, 100.0])
def test_a_steady_camera_never_waits_for_a_picture(interval_ms: float) -> None:
    """Nothing stops a picture in the making, so each of its steps is begun only when it will be done before the next frame."""
    world = World(every(interval_ms), jpeg=JPEG, speaks=False)
    world.run(15_000)
    assert len(world.shown) == 1
    assert world.longest_wait_ms <= 0.5  # the loop's own step


def test_frames_at_any_time_wait_for_one_step_of_a_picture_at_most() -> None:
    """Between two steps a waiting frame goes first."""
    longest = []
    for seed in range(20):
        gaps = np.random.default_rng(seed).uniform(25, 140, 120)
        world = World(np.cumsum(gaps).tolist(), jpeg=JPEG, grid=2, speaks=False)
        world.run(8_000)
        assert len(world.shown) == 1
        longest.append(world.longest_wait_ms)
    assert max(longest) <= max(PREVIEW_MS, ENCODE_MS, OPERATOR_MS) + 0.5


def test_no_picture_of_an_occurrence_that_is_not_the_newest() -> None:
    """An alarm that comes anew while the picture is made takes picture and sentence with it."""
    world = World(every(100), jpeg=JPEG)
    world.run(400)
    while (task := world.explainer._task) is None or task.next_step != "draw":
        world.run(world.now_ns / MS + 1)
    world.occurrence["crack"] = "o2"
    world.run(5000)
    assert (world.told, world.shown, world.outcomes) == ([], [], {"stale": 1})


def test_a_picture_for_which_there_is_no_time_keeps_its_sentence_back_for_a_second_at_most() -> None:
    """Where drawing takes longer than frames leave, the sentence goes out without it, whole, and that is counted."""
    world = World(every(60), jpeg=JPEG, speaks=False)
    world.explainer._took_ns["draw"] = deque([80 * MS])
    world.run(10_000)
    (told,), without = world.told, World(every(60), speaks=False)
    without.run(10_000)
    assert (told.where, told.image, world.shown) == ("right", None, [])
    assert world.outcomes == {"template": 1, "image_no_time": 1}
    kept_back_ns = (told.waited_ms - without.told[0].waited_ms) * MS
    assert 0.9 * PICTURE_PATIENCE_NS < kept_back_ns < 1.1 * PICTURE_PATIENCE_NS
    assert world.longest_wait_ms <= 0.5


def test_a_picture_that_stays_too_large_is_left_out() -> None:
    """Encoded ever more coarsely it still has more bytes than allowed: the sentence says that there is none."""
    world = World(every(100), jpeg=JPEG * 100)
    world.run(5000)
    assert (world.told[0].image, world.shown) == (None, [])
    assert world.outcomes == {"generated": 1, "image_too_large": 1}


def test_a_picture_that_cannot_be_made_costs_no_sentence(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong with it, what was found and said is told."""
    world = World(every(100), jpeg=JPEG)
    world.explainer._painter._encode = None  # type: ignore[union-attr]
    world.run(5000)
    assert (world.told[0].how, world.told[0].where, world.told[0].image) == ("generated", "right", None)
    assert world.outcomes == {"generated": 1, "image_unavailable": 1}
    assert "without a heat map: TypeError" in caplog.text


def test_where_nothing_was_found_there_is_no_picture() -> None:
    """A score that hangs on no place leaves nothing to show: sensors alone, a site that does not look, a fault of the whole picture."""
    blind = World(every(100), jpeg=JPEG, grid=0)
    whole = World(every(100), jpeg=JPEG)
    whole.explainer._engine.run = lambda *_: np.array([0.9], np.float32)  # type: ignore[method-assign]
    for world in (blind, whole):
        world.explainer.raised("dent", "d1", 0)
        world.run(5000)
        assert len(world.told) == 2
        assert (world.shown, world.outcomes["image"]) == ([], 0)
        assert all(told.image is None for told in world.told)


def test_what_the_sentence_names_is_a_point_of_the_whole_picture() -> None:
    """Where the graph sees the left half only, its right is the picture's middle; picture and sentence agree."""
    world = World(every(100), jpeg=JPEG)
    prepares = world.explainer._preprocessors["cam"]
    prepares.shown = lambda encoded, region: (0.0, 0.0, 0.5 * bool(encoded and region), 1.0)  # type: ignore[method-assign]
    world.run(5000)
    ((told, _),) = world.shown
    assert (told.where, told.spot) == ("middle", Spot(x=0.417, y=0.5))
