"""The line over time: parts pass a camera, some of them faulty for a known interval, and the sensors feel the same faults."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import cv2
import numpy as np

from examples.line import camera
from examples.line.camera import Light
from examples.line.faults import BACKGROUNDS, FAULTS
from examples.line.scene import SceneSpec, render, sample_spec
from examples.line.sensors import SensorModel
from examples.line.textures import Bytes, as_bytes

_MARGIN = 1.10  # a part is rendered this much larger than a frame, so that frames can shift without a new rendering


@dataclass(frozen=True, slots=True)
class Injection:
    """Ground truth: one fault on the line from ``start_frame`` up to, not including, ``end_frame``."""

    fault: str
    start_frame: int
    end_frame: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Visit:
    """One part under the camera from ``start_frame`` up to, not including, ``end_frame``."""

    spec: SceneSpec
    start_frame: int
    end_frame: int


@dataclass(frozen=True, slots=True)
class LineFrame:
    """One moment: picture (uint8 RGB and JPEG), what is truly wrong at it and where, and the sensor readings.

    ``mask`` is uint8 (rows, columns), 255 where a fault shows.
    """

    index: int
    t_s: float
    image: Bytes
    jpeg: bytes
    mask: Bytes
    active_faults: frozenset[str]
    readings: dict[str, float]
    spec: SceneSpec


@dataclass(frozen=True, slots=True)
class LineSettings:
    """How the line runs.

    ``faults`` are those to inject (all when empty), ``parts`` those to make (any when empty); each part stays ``part_s``
    seconds; between injections ``quiet_parts`` good parts pass (least, most) and an injection lasts ``faulty_parts`` parts.
    ``severity`` is drawn between the two bounds, 0..1; ``noise`` is in grey levels. ``site`` is the seed of what stays the same on
    one line whatever is made on it (background, lamps, floor); None: ``seed``.
    """

    seed: int = 0
    site: int | None = None
    fps: float = 10.0
    width: int = 640
    height: int = 480
    part_s: float = 2.0
    faults: tuple[str, ...] = ()
    parts: tuple[str, ...] = ("flange", "housing", "bearing", "gear", "valve")
    quiet_parts: tuple[int, int] = (1, 2)
    faulty_parts: tuple[int, int] = (1, 1)
    severity: tuple[float, float] = (0.4, 1.0)
    noise: float = 3.0
    jpeg_quality: int = 85


def _site(settings: LineSettings) -> tuple[str, Light, int]:
    """What stays the same on one line: the background, the lamps and the floor."""
    random = Random(f"{settings.seed if settings.site is None else settings.site}/site")
    light = Light(
        angle_deg=random.uniform(200, 340),
        brightness=random.uniform(0.9, 1.1),
        warmth=random.uniform(-0.4, 0.4),
        vignette=random.uniform(0.05, 0.3),
        uneven=random.uniform(0.1, 0.4),
    )
    return random.choice(tuple(BACKGROUNDS)), light, random.getrandbits(48)


def _part_for(settings: LineSettings, fault: str | None, random: Random) -> str | None:
    """A part that can show the fault; None leaves the choice to the sampler."""
    able = [p for p in settings.parts if fault is None or p in FAULTS[fault].parts]
    if settings.parts and not able:
        raise ValueError(
            f"no part of {settings.parts} can show {fault!r}; add a part of {sorted(FAULTS[str(fault)].parts)}"
        )
    return random.choice(able) if able else None


def _visits(settings: LineSettings, frames: int) -> Iterator[tuple[Visit, str | None]]:
    """Parts one after the other with the fault that each carries, until ``frames`` are covered."""
    rng = np.random.default_rng(settings.seed)
    random = Random(f"{settings.seed}/schedule")
    background, light, floor = _site(settings)
    stay = max(1, round(settings.part_s * settings.fps))
    start, queue = 0, _fault_queue(settings, random)
    while start < frames:
        fault = next(queue)
        spec = sample_spec(rng, faults=[fault] if fault else [], part=_part_for(settings, fault, random))
        spec = replace(
            spec,
            background=background,
            light=replace(light, brightness=light.brightness * random.uniform(0.95, 1.05)),
            site=floor,
            severity=random.uniform(*settings.severity),
            zoom=0.88 * random.uniform(0.97, 1.03),  # the crop of the margin enlarges it again
            shift=(random.uniform(-0.04, 0.04), random.uniform(-0.03, 0.03)),
            angle_deg=random.uniform(-3, 3),
            motion=0.0,
            noise=0.0,
        )
        end = min(frames, start + stay)
        yield Visit(spec, start, end), fault
        start = end


def _fault_queue(settings: LineSettings, random: Random) -> Iterator[str | None]:
    """Good parts (None) and faulty ones in turn; every fault comes once before any comes again."""
    known = settings.faults or tuple(FAULTS)
    while True:
        for fault in random.sample(known, len(known)):
            yield from [None] * random.randint(*settings.quiet_parts)
            yield from [fault] * random.randint(*settings.faulty_parts)


def _injections(visits: Sequence[tuple[Visit, str | None]], fps: float) -> tuple[Injection, ...]:
    found: list[Injection] = []
    for visit, fault in visits:
        if fault is None:
            continue
        start = visit.start_frame
        if found and found[-1].fault == fault and found[-1].end_frame == start:
            start = found.pop().start_frame
        found.append(Injection(fault, start, visit.end_frame, start / fps, visit.end_frame / fps))
    return tuple(found)


class Line:
    """A line of ``frames`` frames; its schedule is known before it runs.

    Raises ValueError for impossible settings, KeyError for an unknown fault.
    """

    def __init__(self, settings: LineSettings, frames: int) -> None:
        if frames < 1 or settings.fps <= 0:
            raise ValueError(
                f"a line needs at least one frame and a positive rate, got {frames} frames at {settings.fps} a second"
            )
        self.settings = settings
        scheduled = list(_visits(settings, frames))
        self.visits = tuple(visit for visit, _ in scheduled)
        self.injections = _injections(scheduled, settings.fps)

    def active(self, index: int) -> frozenset[str]:
        """The faults that are on the line at a frame."""
        return frozenset(i.fault for i in self.injections if i.start_frame <= index < i.end_frame)

    def __iter__(self) -> Iterator[LineFrame]:
        """Every frame in order; each part is rendered once and then moved, relit and noised per frame."""
        sensors = SensorModel(self.settings.seed)
        fps = self.settings.fps
        for visit in self.visits:
            scene = render(visit.spec, round(self.settings.width * _MARGIN), round(self.settings.height * _MARGIN))
            marked = as_bytes(np.any([np.zeros(scene.image.shape[:2], bool), *scene.masks.values()], axis=0) * 255)
            severities = dict.fromkeys(visit.spec.faults, 0.5 + 0.5 * visit.spec.severity)
            for index in range(visit.start_frame, visit.end_frame):
                image, mask = self._photograph(scene.image, marked, index, index - visit.start_frame)
                readings = sensors.step(index / fps, severities, 1 / fps)
                jpeg = encode_jpeg(image, self.settings.jpeg_quality)
                yield LineFrame(index, index / fps, image, jpeg, mask, self.active(index), readings, visit.spec)

    def _photograph(self, wide: Bytes, marked: Bytes, index: int, age: int) -> tuple[Bytes, Bytes]:
        """One frame of a part that arrived ``age`` frames ago, and its mask: it rolls in, then trembles with the belt."""
        random = Random(f"{self.settings.seed}/{index}")
        width, height = self.settings.width, self.settings.height
        spare_x, spare_y = wide.shape[1] - width, wide.shape[0] - height
        roll = 0.5 * math.exp(-age / max(1.0, 0.25 * self.settings.fps))
        x = spare_x * min(1.0, max(0.0, 0.5 + roll + random.uniform(-0.05, 0.05)))
        y = spare_y * min(1.0, max(0.0, 0.5 + random.uniform(-0.06, 0.06)))
        rows, columns = slice(round(y), round(y) + height), slice(round(x), round(x) + width)
        image = np.ascontiguousarray(wide[rows, columns])
        image = camera.motion(image, roll * 0.012 * width)
        image = as_bytes(cv2.convertScaleAbs(image, alpha=random.uniform(0.98, 1.02)))
        return camera.add_noise(image, random, self.settings.noise), marked[rows, columns]


def encode_jpeg(image: Bytes, quality: int) -> bytes:
    """RGB uint8 picture -> JPEG bytes. Raises ValueError when the picture cannot be encoded."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"cannot encode a picture of shape {image.shape} as JPEG")
    return data.tobytes()
