"""Samples from the generators: line scenes whole, close-ups cut out of them, and grey ground surfaces."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from examples.line.captions import caption
from examples.line.faults import BACKGROUNDS, FAULTS, MATERIALS, PARTS
from examples.line.scene import Scene, SceneSpec, render, sample_spec
from examples.training.common import textures, words
from examples.training.common.samples import IMAGE_SIZE, Mask, Sample, resized

HELD_OUT_PAIRS = frozenset(
    {("gear", "crack"), ("valve", "rust"), ("housing", "oil_leak"), ("bearing", "foreign_object")}
)
"""Part and fault that never occur together in training: whether the words combine is measured on them."""

SMALL_FAULTS = ("scratch", "crack", "dent", "missing_bolt", "pitting", "foreign_object")
"""Faults that cover few pixels: they are learnt last, so scenes that show just one of them are drawn more often."""

_SMALL_SHARE = 0.4
_SIZES = ((640, 480), (640, 480), (480, 360), (640, 360))
_CAPTIONS = 4
_NORMAL_WORDS = tuple(phrase for fault in FAULTS.values() for phrase in fault.normal)


def held_out(spec: SceneSpec) -> bool:
    """Whether a scene holds a pair of part and fault that training must not see."""
    return any((spec.part, fault) in HELD_OUT_PAIRS for fault in spec.faults)


def training_spec(rng: np.random.Generator) -> SceneSpec:
    """A random scene of the training distribution: two thirds with faults, none of the held-out pairs."""
    return _allowed(rng, None)


def practice_spec(rng: np.random.Generator) -> SceneSpec:
    """A scene to learn from: like ``training_spec``, but two in five show just one small fault."""
    small = rng.random() < _SMALL_SHARE
    return _allowed(rng, [SMALL_FAULTS[int(rng.integers(len(SMALL_FAULTS)))]] if small else None)


def _allowed(rng: np.random.Generator, faults: list[str] | None) -> SceneSpec:
    while True:
        spec = sample_spec(rng, faults=faults, fault_rate=0.68)
        if not held_out(spec):
            return spec


def hidden(scene: Scene) -> frozenset[str]:
    """Faults of a scene that the camera fault hides, so that the picture does not show whether they are there."""
    covered = scene.masks.get("blocked_lens")
    lost = set()
    for fault, mask in scene.masks.items():
        if FAULTS[fault].camera:
            continue
        blurred = "out_of_focus" in scene.masks and fault not in ("misaligned_part", "oil_leak", "rust")
        if blurred or (covered is not None and (mask & covered).sum() > 0.6 * max(1, mask.sum())):
            lost.add(fault)
    if covered is not None or "out_of_focus" in scene.masks:
        lost |= {fault for fault in FAULTS if not FAULTS[fault].camera and fault not in scene.masks}
    return frozenset(lost)


def _attributes(spec: SceneSpec) -> frozenset[str]:
    known = words.attribute_facts("part", spec.part, tuple(PARTS)) | words.attribute_facts(
        "material", spec.material, tuple(MATERIALS)
    )
    return (
        known
        if spec.part == "sheet"
        else known | words.attribute_facts("background", spec.background, tuple(BACKGROUNDS))
    )


def _caption_claims(spec: SceneSpec, texts: tuple[str, ...]) -> frozenset[str]:
    """What every one of the captions claims: the faults, and the part where all of them name it."""
    claims = set(spec.faults or {"normal"})
    if all(words.mentions(text, PARTS[spec.part]) for text in texts):
        claims.add(f"part:{spec.part}")
    return frozenset(claims)


def line_sample(
    spec: SceneSpec, rng: np.random.Generator, split: str, size: tuple[int, int] = (640, 480), *, edge: int = IMAGE_SIZE
) -> Sample:
    """A whole scene with captions, kept at ``edge`` px. A normal caption that only denies one fault is left out: it would also fit other scenes."""
    scene = render(spec, *size)
    lost = hidden(scene)
    # With a covered lens "not dented" stays open, but the named camera faults are settled.
    facts = words.facts("line", frozenset(spec.faults) - lost, lost) | _attributes(spec)
    texts = tuple(caption(spec, rng) for _ in range(_CAPTIONS))
    texts = tuple(text for text in texts if spec.faults or not words.mentions(text, _NORMAL_WORDS))
    note = {"part": spec.part, "severity": f"{spec.severity:.3f}", "faults": " ".join(sorted(spec.faults))}
    masks = {fault: mask for fault, mask in scene.masks.items() if fault not in lost}
    claims = _caption_claims(spec, texts)
    return Sample(resized(scene.image, edge), facts, "line", split, texts, claims, masks, note=note)


def _window(rng: np.random.Generator, scene: Scene) -> tuple[slice, slice]:
    """A square cut, mostly around a fault."""
    rows, columns = scene.image.shape[:2]
    side = int(rng.uniform(0.28, 0.62) * rows)
    spots: list[Mask] = [
        mask
        for fault, mask in scene.masks.items()
        if fault not in ("misaligned_part", "out_of_focus", "blocked_lens") and mask.any()
    ]
    if spots and rng.random() < 0.85:
        ys, xs = np.nonzero(spots[int(rng.integers(len(spots)))])
        index = int(rng.integers(len(ys)))
        y, x = ys[index] + rng.uniform(-0.35, 0.35) * side, xs[index] + rng.uniform(-0.35, 0.35) * side
    else:
        y, x = rows / 2 + rng.uniform(-0.25, 0.25) * rows, columns / 2 + rng.uniform(-0.25, 0.25) * rows
    top, left = int(np.clip(y - side / 2, 0, rows - side)), int(np.clip(x - side / 2, 0, columns - side))
    return slice(top, top + side), slice(left, left + side)


def zoom_sample(spec: SceneSpec, rng: np.random.Generator, split: str, *, edge: int = IMAGE_SIZE) -> Sample:
    """A close-up cut out of a scene; a fault of which the cut shows little is neither present nor absent."""
    scene = render(spec, 640, 480)
    window = _window(rng, scene)
    present, unclear = set(), set(hidden(scene)) | {"misaligned_part"}
    masks: dict[str, Mask] = {}
    for fault, mask in scene.masks.items():
        seen = mask[window]
        if fault in unclear:
            continue
        if seen.sum() >= 0.25 * mask.sum() or seen.mean() > 0.12 or fault == "out_of_focus":
            present.add(fault)
            masks[fault] = seen
        elif seen.sum() > 0.02 * mask.sum():
            unclear.add(fault)
    spotless = not present and not spec.faults
    facts = words.facts("zoom", frozenset(present), frozenset() if spotless else frozenset(unclear))
    facts |= {f"!{fault}" for fault in FAULTS if fault not in present | unclear}
    grey = rng.random() < 0.3
    image = resized(np.ascontiguousarray(scene.image[window]), edge)
    if grey:
        image = np.repeat(image.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    return Sample(
        image,
        facts,
        "zoom",
        split,
        masks=masks if present or spotless else None,
        turnable=True,
        note={"severity": f"{spec.severity:.3f}"},
    )


def ground_sample(rng: np.random.Generator, split: str, *, edge: int = IMAGE_SIZE) -> Sample:
    """A grey ground surface: a third flawless, else with one or two defects."""
    names = tuple(textures.DEFECTS)
    count = int(rng.choice((0, 1, 1, 2), p=(0.34, 0.3, 0.24, 0.12)))
    defects = frozenset(str(name) for name in rng.choice(names, count, replace=False))
    texture = textures.draw(rng, defects, edge)
    seen = frozenset(name for name in defects if texture.masks[name].sum() >= 6)
    facts = words.facts("ground", seen, defects - seen)
    return Sample(texture.image, facts, "ground", split, masks=texture.masks, turnable=True)


def generated(kind: str, count: int, seed: int, split: str, edge: int = IMAGE_SIZE) -> Iterator[Sample]:
    """Samples of one kind (line, zoom, ground), kept at ``edge`` px, the same for the same seed."""
    rng = np.random.default_rng(seed)
    draw = practice_spec if split == "train" else training_spec
    for _ in range(count):
        if kind == "ground":
            yield ground_sample(rng, split, edge=edge)
        elif kind == "zoom":
            yield zoom_sample(draw(rng), rng, split, edge=edge)
        else:
            size = _SIZES[int(rng.integers(len(_SIZES)))]
            yield line_sample(draw(rng), rng, split, size, edge=edge)
