"""A scene is what its specification says: repeatable, free of scale, and its faults differ from the good scene only in their masks."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from examples.line.faults import FAULTS, MATERIALS, PARTS, possible
from examples.line.scene import PLACES, SceneSpec, render, sample_spec

SEEDS = range(6)


def _difference(spec: SceneSpec, fault: str, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Largest change of a pixel's colours by one fault, and the fault's mask."""
    faulty, good = render(spec, width, height), render(spec.without(fault), width, height)
    return np.abs(faulty.image.astype(np.int16) - good.image).max(axis=2), faulty.masks[fault]


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Specifications and pictures repeat exactly; another seed gives others."""

    def digest(seed: int) -> str:
        rng, seen = np.random.default_rng(seed), hashlib.sha256()
        for _ in range(6):
            scene = render(sample_spec(rng), 96, 80)
            seen.update(scene.image.tobytes())
            seen.update(b"".join(scene.masks[fault].tobytes() for fault in sorted(scene.masks)))
        return seen.hexdigest()

    assert digest(3) == digest(3)
    assert digest(3) != digest(4)


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("size", [(192, 192), (320, 240)])
def test_a_fault_shows_inside_its_mask_and_only_there(fault: str, size: tuple[int, int]) -> None:
    """The masks are the truth for training: 99 % of the rest is unchanged, and the change inside is visible."""
    for seed in SEEDS:
        spec = sample_spec(np.random.default_rng(seed), faults=[fault])
        change, mask = _difference(spec, fault, *size)
        assert mask.shape == change.shape == size[::-1]
        assert mask.dtype == np.bool_
        assert float(np.percentile(change[mask], 95)) >= 15, spec
        if not mask.all():
            assert float((change[~mask] > 12).mean()) < 0.01, spec


def test_a_good_scene_has_no_mask() -> None:
    """Details that are harmless are never marked as faults."""
    rng = np.random.default_rng(1)
    for _ in range(8):
        assert render(sample_spec(rng, faults=[]), 96, 96).masks == {}


def test_geometry_is_free_of_scale() -> None:
    """The same scene at two sizes shows its faults at the same place."""
    rng = np.random.default_rng(2)
    for fault in ("rust", "oil_leak", "foreign_object", "misaligned_part"):
        spec = sample_spec(rng, faults=[fault])
        small, large = (np.argwhere(render(spec, s, s).masks[fault]).mean(axis=0) / s for s in (128, 384))
        assert np.abs(small - large).max() < 0.04


def test_a_fault_sits_where_its_words_say() -> None:
    """The centre of the mask lies in the named direction from the part's middle."""
    for fault in ("rust", "pitting", "missing_bolt"):
        for seed in range(12):
            spec = sample_spec(np.random.default_rng(seed), faults=[fault])
            rows, columns = np.nonzero(render(spec, 192, 192).masks[fault])
            scale = 0.335 * 192 * spec.zoom
            x = columns.mean() - 96 - spec.shift[0] * scale
            y = rows.mean() - 96 - spec.shift[1] * scale
            angle = np.radians(PLACES[spec.place(fault)][0])
            assert x * np.cos(angle) + y * np.sin(angle) > 0, (fault, spec)


def test_every_fault_part_and_material_is_reached_by_sampling() -> None:
    """No entry of the tables is dead, and half of the scenes are faulty as asked."""
    rng = np.random.default_rng(7)
    specs = [sample_spec(rng, fault_rate=0.5) for _ in range(1500)]
    assert {fault for spec in specs for fault in spec.faults} == set(FAULTS)
    assert {spec.part for spec in specs} == set(PARTS)
    assert {spec.material for spec in specs} == set(MATERIALS)
    assert 0.45 < np.mean([bool(spec.faults) for spec in specs]) < 0.55
    for spec in specs:
        assert all(possible(fault, spec.part, spec.material) for fault in spec.faults)
        assert {fault for fault, _ in spec.places} == spec.faults - {"out_of_focus"}


def test_wishes_are_kept_or_refused() -> None:
    """Asked faults and parts appear exactly; an impossible wish is an error that says so."""
    rng = np.random.default_rng(0)
    spec = sample_spec(rng, faults={"crack", "missing_bolt"}, part="valve")
    assert (spec.part, spec.faults) == ("valve", frozenset({"crack", "missing_bolt"}))
    with pytest.raises(ValueError, match="no part can show"):
        sample_spec(rng, faults=["missing_bolt"], part="gear")
    with pytest.raises(KeyError):
        sample_spec(rng, faults=["sadness"])


def test_several_faults_share_a_scene() -> None:
    """Every fault of a combination has its own mask."""
    faults = {"scratch", "oil_leak", "missing_bolt", "misaligned_part", "blocked_lens"}
    scene = render(sample_spec(np.random.default_rng(5), faults=faults), 192, 192)
    assert set(scene.masks) == faults
    assert all(mask.any() for mask in scene.masks.values())
