"""The change gate: noise and slow light are no change, a spot is one, and what is not known has changed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.inference.change import CEILING, LEARNED, MOST_LIGHT, ChangeGate, _light, _spread
from edge.inference.schedule import Key
from edge.region import CHANGE_LEVELS, Grid, Region

GRID = Region("web", 0.0, 0.0, 1.0, 1.0, grid=Grid(2, 1))
TILES: dict[Key, Region] = {("web", number): tile for number, tile in enumerate(GRID.tiles)}
LEFT, RIGHT = TILES
ROWS, COLUMNS = 40, 80


class Scene:
    """A still scene of some texture, seen with noise; its light and what lies in it can be changed."""

    def __init__(self, noise: float = 1.0, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self.still = self._rng.uniform(60.0, 160.0, (ROWS, COLUMNS, 3))
        self.noise, self.light = noise, 1.0

    def blocks(self) -> NDArray[np.uint8]:
        """The next frame."""
        seen = self.still * self.light + self._rng.normal(0.0, self.noise, self.still.shape)
        return np.clip(np.round(seen), 0, 255).astype(np.uint8)


def learned(scene: Scene, frames: int = LEARNED + 1) -> ChangeGate:
    """A gate that saw so many frames; both tiles were computed on the last one."""
    gate = ChangeGate(TILES)
    for _ in range(frames):
        gate.see(scene.blocks())
    for tile in TILES:
        gate.keep(tile)
    return gate


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0, 2.0, 3.0])
def test_noise_is_no_change_and_a_spot_is_one(noise: float) -> None:
    """Over 200 frames; then one block in one tile becomes darker by twice the limit."""
    scene = Scene(noise)
    gate = learned(scene, 40)
    for _ in range(200):
        gate.see(scene.blocks())
        assert max(gate.change(tile) for tile in TILES) <= 1.0
    limit = gate.limit(LEFT)
    assert limit is not None
    assert CHANGE_LEVELS <= limit <= CEILING
    scene.still[11, 50] -= 2.0 * limit
    gate.see(scene.blocks())
    assert gate.change(LEFT) <= 1.0 < gate.change(RIGHT)


def test_before_noise_is_known_every_tile_has_changed() -> None:
    """And one that was never computed, whatever is known of noise."""
    scene = Scene()
    assert learned(scene, LEARNED).change(LEFT) == math.inf
    gate = learned(scene)
    assert gate.change(LEFT) <= 1.0
    gate.forget(LEFT)
    assert gate.change(LEFT) == math.inf


def test_slow_light_is_taken_out_until_it_is_too_much() -> None:
    """Half of what is allowed changes nothing; beyond it a tile is computed again."""
    scene = Scene(0.5)
    gate = learned(scene)
    scene.light = 1.0 + 0.5 * MOST_LIGHT
    gate.see(scene.blocks())
    assert gate.change(LEFT) <= 1.0
    scene.light = 1.0 + 1.5 * MOST_LIGHT
    gate.see(scene.blocks())
    assert gate.change(LEFT) == math.inf


@pytest.mark.parametrize("share", [0.5, 1.5])
def test_a_soft_shadow_that_crosses_a_tile_is_light(share: float) -> None:
    """Darker to one side by what is allowed, smoothly, changes nothing; half as much again does."""
    scene = Scene(0.0)
    gate = learned(scene)
    dark = np.clip(2.0 * (np.arange(COLUMNS // 2) + 0.5) / (COLUMNS // 2) - 0.5, 0.0, 1.0)
    scene.still[:, : COLUMNS // 2] *= 1.0 - share * MOST_LIGHT * dark[None, :, None]
    gate.see(scene.blocks())
    assert (gate.change(LEFT) > 1.0) == (share > 1.0)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 7), (2, 3), (5, 8), (67, 60)])
def test_light_of_any_number_of_blocks_is_that_of_its_quarters(rows: int, columns: int) -> None:
    """What is even stays even, and a slope becomes one: whatever the tile's size."""
    even = np.full((rows, columns, 3), 99.0, np.float32)
    assert _light(even) == pytest.approx(100.0)
    assert _spread(_light(even), rows, columns) == pytest.approx(100.0)
    assert _spread(_light(even), rows, columns).shape == even.shape
    slope = np.arange(rows, dtype=np.float32)[:, None, None] + even
    top, bottom = _light(slope).mean(axis=(1, 2))
    assert top <= bottom
    assert bottom - top == pytest.approx(rows / 2, abs=1.0)


def test_what_creeps_is_held_against_the_computed_picture_not_the_last_one() -> None:
    """A stain that grows by a level a frame is a change once it is beyond the limit."""
    scene = Scene(0.0)
    gate = learned(scene)
    changes = []
    for _ in range(14):
        scene.still[5:8, 5:8] -= 1.0
        gate.see(scene.blocks())
        changes.append(gate.change(LEFT) > 1.0)
    assert not changes[0]
    assert changes[-1]
    assert changes == sorted(changes)


STEPS = st.tuples(
    st.sampled_from(["light", "stain", "shadow"]), st.floats(-6.0, 6.0), st.integers(0, ROWS - 5), st.integers(0, 34)
)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=20), st.sampled_from([1.0, CHANGE_LEVELS, CEILING]))
def test_what_did_not_change_differs_from_the_computed_picture_by_the_limit_and_the_light_at_most(
    steps: list[tuple[str, float, int, int]], levels: float
) -> None:
    """However slowly light, stains and shadows creep, and in whatever order: computed again as soon as it changed, no block is further off."""
    scene = Scene(0.0)
    gate = ChangeGate(TILES, {LEFT: levels})
    for _ in range(LEARNED + 1):
        gate.see(scene.blocks())
    gate.keep(LEFT)
    computed = scene.blocks()[:, : COLUMNS // 2].astype(float)
    for kind, step, top, left in steps:
        if kind == "light":
            scene.light += step / 200
        elif kind == "stain":
            scene.still[top : top + 5, left : left + 5] += step
        else:
            scene.still[:, : COLUMNS // 2] += step * np.linspace(0.0, 1.0, COLUMNS // 2)[None, :, None]
        blocks = scene.blocks()
        gate.see(blocks)
        now = blocks[:, : COLUMNS // 2].astype(float)
        limit = gate.limit(LEFT)
        assert limit is not None
        if gate.change(LEFT) > 1.0:
            gate.keep(LEFT)
            computed = now
        assert (np.abs(now - computed) <= limit + MOST_LIGHT * computed + 1e-3).all()


def test_motion_does_not_teach_noise_beyond_the_ceiling() -> None:
    """A tile that moves in one frame of two shows its noise between; one that always moves is watched all the same."""
    scene = Scene(1.0)
    gate = ChangeGate(TILES)
    for number in range(40):
        if number % 4 < 2:
            scene.still[:, :40] = scene._rng.uniform(60.0, 160.0, (ROWS, 40, 3))
        scene.still[:, 40:] = scene._rng.uniform(60.0, 160.0, (ROWS, 40, 3))
        gate.see(scene.blocks())
    calm, busy = gate.limit(LEFT), gate.limit(RIGHT)
    assert calm is not None
    assert calm < 15.0
    assert busy == CEILING


def test_pictures_of_another_size_are_not_compared() -> None:
    """Nothing that was kept holds; after a frame that shows nothing, noise is not learned over the gap."""
    scene = Scene()
    gate = learned(scene)
    gate.see(scene.blocks()[::2, ::2])
    assert gate.change(LEFT) == math.inf
    gate = learned(scene, LEARNED)
    gate.lose()
    assert gate.change(LEFT) == math.inf
    gate.see(scene.blocks())
    assert gate.limit(LEFT) is None


@pytest.mark.parametrize("levels", [2.0, CHANGE_LEVELS, 20.0])
def test_each_tile_has_the_limit_that_its_region_asks_for(levels: float) -> None:
    """Where the camera is quiet, a block may differ by so much and no more; the other tile has the default."""
    scene = Scene(0.0)
    gate = ChangeGate(TILES, {LEFT: levels})
    for _ in range(LEARNED + 1):
        gate.see(scene.blocks())
    for tile in TILES:
        gate.keep(tile)
    before = scene.still.copy()
    for apart in (levels - 1.5, levels + 1.5):
        scene.still = before.copy()
        scene.still[11, 10] -= apart
        gate.see(scene.blocks())
        assert (gate.change(LEFT) > 1.0) == (apart > levels)
    assert gate.limit(RIGHT) == CHANGE_LEVELS
