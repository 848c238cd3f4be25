"""A region of tiles: a fault in any fresh tile is one, none is only where every tile is fresh."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.frame import Look, Quality, Verdict
from edge.verdict.decide import VisionSpec, VisionState
from edge.verdict.tiles import Joined, join

NOW, COVER = 1000, 100
GOOD, UNCERTAIN, STALE = Quality.GOOD, Quality.UNCERTAIN, Quality.STALE


def look(score: float, age: int, quality: Quality = GOOD) -> Look:
    """A tile of which this was seen so long ago."""
    return Look([0.0, score], NOW - age, quality)


@pytest.mark.parametrize(
    ("looks", "joined"),
    [
        ([look(0.2, 0)], Joined(0.2, NOW, GOOD, covered=True, tile=0)),
        ([look(0.2, 0), look(0.1, 100)], Joined(0.2, NOW - 100, GOOD, covered=True, tile=0)),
        ([look(0.2, 0), look(0.1, 101)], Joined(0.2, NOW, GOOD, covered=False, tile=0)),
        ([look(0.2, 0), None], Joined(0.2, NOW, GOOD, covered=False, tile=0)),
        ([look(0.2, 9), look(0.9, 50)], Joined(0.9, NOW - 50, GOOD, covered=True, tile=1)),
        ([look(0.9, 90), look(0.8, 5), look(0.1, 0)], Joined(0.9, NOW - 5, GOOD, covered=True, tile=0)),
        ([look(0.9, 200), look(0.1, 0)], Joined(0.1, NOW, GOOD, covered=False, tile=1)),
        ([look(0.1, 0, UNCERTAIN), look(0.2, 0)], Joined(0.2, NOW, UNCERTAIN, covered=True, tile=1)),
        ([look(0.1, 0, UNCERTAIN), look(0.9, 0)], Joined(0.9, NOW, GOOD, covered=True, tile=1)),
    ],
)
def test_the_table(looks: list[Look | None], joined: Joined) -> None:
    """The highest score of what is young enough; how old, how good and how whole that is."""
    assert join(looks, 1, 0.5, NOW, COVER) == joined


def test_where_no_tile_is_young_nothing_is_known() -> None:
    """It is stale, whatever was seen before."""
    found = join([look(0.9, 101), None], 1, 0.5, NOW, COVER)
    assert math.isnan(found.score)
    assert (found.quality, found.covered, found.tile) == (STALE, False, None)


TILES = st.lists(st.none() | st.builds(look, st.floats(0.0, 1.0), st.integers(0, 300)), min_size=1, max_size=9)


@given(TILES, st.integers(0, 150))
def test_it_is_never_ok_while_a_tile_is_not_covered(tiles: list[Look | None], later: int) -> None:
    """Not now and at no time until the next frame; a fault in any young tile is one now."""
    state = VisionState(VisionSpec(0.5, 0.4, COVER))
    found = join(tiles, 1, 0.5, NOW, COVER)
    state.update(found.score, found.seen_ns, found.quality, covered=found.covered)
    young = [tile for tile in tiles if tile is not None and NOW - tile.seen_ns <= COVER]
    verdict = state.evidence(NOW).verdict
    assert (verdict is Verdict.FAULT) == any(tile.scores[1] >= 0.5 for tile in young)
    at_ns = NOW + later
    if state.evidence(at_ns).verdict is Verdict.OK:
        assert all(tile is not None and at_ns - tile.seen_ns <= COVER for tile in tiles)


def test_a_fault_ends_only_when_all_tiles_are_seen_without_it() -> None:
    """Between release and threshold it stays; where a tile is missing it is unknown, and a fault again from the release on."""
    state = VisionState(VisionSpec(0.5, 0.4, COVER))
    seen = []
    for tiles in ([0.9, None], [0.45, None], [0.1, None], [0.45, 0.1], [0.1, 0.1], [0.45, None]):
        found = join([None if one is None else look(one, 0) for one in tiles], 1, 0.5, NOW, COVER)
        seen.append(state.update(found.score, found.seen_ns, found.quality, covered=found.covered).verdict.value)
    assert seen == ["fault", "fault", "unknown", "fault", "ok", "unknown"]
