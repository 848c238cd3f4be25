"""A scene of the line: what it contains (``SceneSpec``), chosen at random, and its picture with the masks of its faults."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from random import Random

import cv2
import numpy as np
from numpy.typing import NDArray

from examples.line import camera, defects, harmless
from examples.line.camera import Light
from examples.line.canvas import Blueprint, Canvas, Pose
from examples.line.faults import BACKGROUNDS, FAULTS, MATERIALS, PARTS, possible
from examples.line.parts import DRAW, FINISHES, Shape
from examples.line.textures import Bytes, as_bytes, crop

PLACES: dict[str, tuple[float, float]] = {
    "on the right": (0.0, 0.5),
    "in the lower right": (45.0, 0.55),
    "at the bottom": (90.0, 0.5),
    "in the lower left": (135.0, 0.55),
    "on the left": (180.0, 0.5),
    "in the upper left": (225.0, 0.55),
    "at the top": (270.0, 0.5),
    "in the upper right": (315.0, 0.55),
}
"""Where a surface fault sits, in words -> direction in degrees (clockwise, as the picture shows it) and depth to the rim."""

OFFSETS: dict[str, tuple[float, float, float]] = {
    "shifted to the left": (-0.42, 0.04, 8.0),
    "shifted to the right": (0.42, -0.04, -8.0),
    "shifted upwards": (0.05, -0.4, 8.0),
    "shifted downwards": (-0.05, 0.4, -8.0),
    "turned and shifted": (0.3, 0.25, 24.0),
}
"""How a part is misaligned, in words -> shift in part units and turn in degrees, at full severity."""

_BASE_SCALE = 0.335  # part unit over the shorter side of the picture


@dataclass(frozen=True, slots=True)
class SceneSpec:
    """Everything that determines a picture; the same spec and size give the same bytes.

    ``places`` pairs a fault id with its location in words. ``severity`` is 0 (just visible) .. 1. ``motion`` is the length of the
    motion blur over the picture's width, ``noise`` the sensor noise in grey levels. ``shift`` is in part units.
    Scenes with the same ``site`` and background have the same floor with the same corner marks.
    """

    part: str
    material: str
    background: str
    faults: frozenset[str] = frozenset()
    places: tuple[tuple[str, str], ...] = ()
    severity: float = 0.6
    light: Light = field(default_factory=Light)
    motion: float = 0.0
    noise: float = 3.0
    shift: tuple[float, float] = (0.0, 0.0)
    angle_deg: float = 0.0
    zoom: float = 1.0
    details: frozenset[str] = frozenset()
    seed: int = 0
    site: int = 0

    def place(self, fault_id: str) -> str:
        """Location words of a fault; empty when it has none."""
        return dict(self.places).get(fault_id, "")

    def without(self, fault_id: str) -> SceneSpec:
        """The same scene but for one fault."""
        return replace(self, faults=self.faults - {fault_id}, places=tuple(p for p in self.places if p[0] != fault_id))


@dataclass(frozen=True, slots=True)
class Scene:
    """A rendered scene: ``image`` uint8 RGB (rows, columns, 3); ``masks`` fault id -> bool (rows, columns) where it shows."""

    image: Bytes
    masks: dict[str, NDArray[np.bool_]]
    spec: SceneSpec


def _place_for(fault_id: str, random: Random) -> str:
    if fault_id == "blocked_lens":
        return random.choice(tuple(camera.BLOCK_PLACES))
    if fault_id == "misaligned_part":
        return random.choice(tuple(OFFSETS))
    return "" if fault_id == "out_of_focus" else random.choice(tuple(PLACES))


def _draw_faults(random: Random, part: str, material: str) -> frozenset[str]:
    """One fault mostly, two or three at times; camera faults come alone, because they could hide another."""
    choices = [fault for fault in FAULTS if possible(fault, part, material)]
    count = random.choices((1, 2, 3), (0.74, 0.2, 0.06))[0]
    return frozenset(random.sample([f for f in choices if count == 1 or not FAULTS[f].camera], count))


def sample_spec(
    rng: np.random.Generator, *, faults: Iterable[str] | None = None, part: str | None = None, fault_rate: float = 0.5
) -> SceneSpec:
    """A random scene. ``faults`` fixes the faults exactly (empty: none), ``part`` the part; else a fault appears at ``fault_rate``.

    Raises ValueError when no part and material can carry the wanted faults, KeyError for an unknown fault.
    """
    random = Random(int(rng.integers(2**62)))
    wanted = None if faults is None else frozenset(faults)
    pairs = [
        (p, m)
        for p in ([part] if part else PARTS)
        for m in MATERIALS
        if all(possible(fault, p, m) for fault in wanted or ())
    ]
    if not pairs:
        raise ValueError(
            f"no part can show {sorted(wanted or ())} together on {part or 'any part'}; choose fewer faults or another part"
        )
    chosen = random.choice(sorted({p for p, _ in pairs}))
    material = random.choice([m for p, m in pairs if p == chosen])
    if wanted is None:
        wanted = _draw_faults(random, chosen, material) if random.random() < fault_rate else frozenset()
    return SceneSpec(
        part=chosen,
        material=material,
        background=random.choice(tuple(BACKGROUNDS)),
        faults=wanted,
        places=tuple((fault, _place_for(fault, random)) for fault in sorted(wanted) if fault != "out_of_focus"),
        severity=random.random(),
        light=Light(
            angle_deg=random.uniform(0, 360),
            brightness=min(1.5, max(0.5, random.gauss(1.0, 0.2))),
            warmth=random.uniform(-1, 1),
            vignette=random.random() ** 2,
            uneven=random.random(),
        ),
        motion=random.choice((0.0, 0.0, random.uniform(0.002, 0.012))),
        noise=random.uniform(0.5, 8.0),
        shift=(random.uniform(-0.12, 0.12), random.uniform(-0.1, 0.1)),
        angle_deg=random.uniform(-10, 10),
        zoom=random.uniform(0.86, 1.14),
        details=frozenset(random.sample(harmless.HARMLESS, random.choice((0, 0, 1, 1, 2, 3)))),
        seed=random.getrandbits(48),
        site=random.getrandbits(48),
    )


def _stream(spec: SceneSpec, purpose: str) -> Random:
    """Random numbers of one purpose: adding a fault never changes what another purpose draws."""
    return Random(f"{spec.seed}/{purpose}")


def _missing(spec: SceneSpec, shape: Shape) -> frozenset[int]:
    """The bolts that are left out: the one nearest to the place in words, and its neighbour when severe."""
    if "missing_bolt" not in spec.faults or not shape.bolts:
        return frozenset()
    angle = math.radians(PLACES[spec.place("missing_bolt")][0] - spec.angle_deg)

    def off(index: int) -> float:
        x, y = shape.bolts[index]
        return math.cos(math.atan2(y, x) - angle)

    nearest = sorted(range(len(shape.bolts)), key=off, reverse=True)
    return frozenset(nearest[: 2 if spec.severity > 0.8 and len(nearest) > 3 else 1])


def _misalignment(spec: SceneSpec) -> tuple[float, float, float]:
    if "misaligned_part" not in spec.faults:
        return 0.0, 0.0, 0.0
    dx, dy, turn_deg = OFFSETS[spec.place("misaligned_part")]
    share = 0.85 + 0.35 * spec.severity
    return dx * share, dy * share, math.radians(turn_deg * share)


def _seated(spec: SceneSpec, nominal: Pose) -> Pose:
    """Where a part lies that is in order: between its marks, with the play of a real seat."""
    play = _stream(spec, "seat")
    return nominal.moved(play.uniform(-0.035, 0.035), play.uniform(-0.035, 0.035), math.radians(play.uniform(-2, 2)))


def _nominal_pose(spec: SceneSpec, width: int, height: int) -> Pose:
    scale_px = _BASE_SCALE * min(width, height) * spec.zoom
    x, y = width / 2 + spec.shift[0] * scale_px, height / 2 + spec.shift[1] * scale_px
    return Pose(x, y, scale_px, math.radians(spec.angle_deg))


def _shape(spec: SceneSpec) -> Shape:
    return DRAW[spec.part](Blueprint(), _stream(spec, "part"), (0, 0, 0), frozenset())


def _seat(spec: SceneSpec, pose: Pose, size: tuple[int, int]) -> Bytes:
    """The silhouette that the part would have at a pose."""
    canvas = Canvas(size[0], size[1], (0, 0, 0), pose)
    DRAW[spec.part](canvas, _stream(spec, "part"), (0, 0, 0), frozenset())
    return as_bytes(cv2.compare(canvas.level, 30, cv2.CMP_NE))


def _draw_solids(spec: SceneSpec, canvas: Canvas) -> tuple[Shape, Bytes]:
    """Floor, marks, part and the details that belong to the part. Returns the shape and the part's silhouette."""
    look = FINISHES[spec.material]
    colors, strength, span = harmless.FLOORS[spec.background]
    floor = Random(f"{spec.site}/floor")
    cv2.rectangle(canvas.albedo, (0, 0), canvas.shape[::-1], floor.choice(colors), -1)
    canvas.texture = 1 + strength * crop(spec.background, floor, canvas.shape, span)
    shape = _shape(spec)
    if spec.part != "sheet":
        harmless.corner_marks(canvas, shape.half, floor)
    canvas.pose = _seated(spec, canvas.pose).moved(*_misalignment(spec))
    before = canvas.level.copy()
    DRAW[spec.part](canvas, _stream(spec, "part"), look.color, _missing(spec, shape))
    silhouette = as_bytes(cv2.compare(canvas.level, before, cv2.CMP_NE))
    surface = _stream(spec, "surface")
    fine = crop(look.grain, surface, canvas.shape, 0.8, centre=True)
    cv2.copyTo(1 + look.strength * fine, silhouette, canvas.texture)
    for name, draw in harmless.DRAWN.items():
        if name in spec.details:
            draw(canvas, _stream(spec, name), shape)
    canvas.part = as_bytes(cv2.bitwise_and(silhouette, cv2.compare(canvas.level, 20, cv2.CMP_GT)))
    return shape, silhouette


def _grown(mask: Bytes, reach_px: int) -> Bytes:
    size = 2 * reach_px + 1
    return as_bytes(cv2.dilate(mask, np.ones((size, size), np.uint8)))


def _solid_masks(spec: SceneSpec, canvas: Canvas, nominal: Pose, shape: Shape, silhouette: Bytes) -> dict[str, Bytes]:
    """Masks of the faults that change the drawing of the part itself."""
    masks: dict[str, Bytes] = {}
    if "missing_bolt" in spec.faults:
        masks["missing_bolt"] = canvas.stencil()
        for index in _missing(spec, shape):
            canvas.stencil_disc(masks["missing_bolt"], shape.bolts[index], 0.21)
    if "misaligned_part" in spec.faults:
        seat = _seat(spec, _seated(spec, nominal), (canvas.shape[1], canvas.shape[0]))
        shadows = round(0.035 * min(canvas.shape))
        masks["misaligned_part"] = _grown(as_bytes(cv2.max(silhouette, seat)), shadows)
    return masks


def _draw_surface(spec: SceneSpec, canvas: Canvas, shape: Shape) -> dict[str, Bytes]:
    """Details and faults that lie on the finished part, lowest first."""
    for name, draw in harmless.LAID.items():
        if name in spec.details:
            draw(canvas, _stream(spec, name), shape)
    masks: dict[str, Bytes] = {}
    for fault, draw_fault in defects.SURFACE.items():
        if fault not in spec.faults:
            continue
        random = _stream(spec, fault)
        angle_deg, depth = PLACES[spec.place(fault)]
        turn = math.radians(angle_deg + random.uniform(-16, 16)) - canvas.pose.angle_rad
        at = shape.surface(turn, min(0.9, max(0.1, depth + random.uniform(-0.2, 0.2))))
        masks[fault] = draw_fault(canvas, random, at, spec.severity, spec.material)
    return masks


def render(spec: SceneSpec, width: int = 640, height: int = 480) -> Scene:
    """Draw and photograph a scene; deterministic. Raises KeyError for an unknown part, material, background or place."""
    nominal = _nominal_pose(spec, width, height)
    canvas = Canvas(width, height, (0, 0, 0), nominal)
    shape, silhouette = _draw_solids(spec, canvas)
    masks = _solid_masks(spec, canvas, nominal, shape, silhouette)
    canvas.settle()
    masks |= _draw_surface(spec, canvas, shape)
    look = FINISHES[spec.material]
    image = camera.expose(
        canvas, spec.light, look.gloss, _stream(spec, "shadow"), shadow_band="shadow_band" in spec.details
    )
    if "blocked_lens" in spec.faults:
        image, masks["blocked_lens"] = camera.blocked_lens(
            image, _stream(spec, "blocked_lens"), spec.place("blocked_lens"), spec.severity
        )
    if "out_of_focus" in spec.faults:
        image = camera.defocus(image, spec.severity)
        masks["out_of_focus"] = np.full(canvas.shape, 255, np.uint8)
    image = camera.motion(image, spec.motion * width)
    image = camera.add_noise(image, _stream(spec, "noise"), spec.noise)
    reach_px = max(1, round(0.008 * min(width, height) + spec.motion * width / 2))
    return Scene(image, {fault: _grown(mask, reach_px).astype(bool) for fault, mask in masks.items()}, spec)
