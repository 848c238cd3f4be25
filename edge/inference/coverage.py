"""What is known of each tile of a camera's regions, how old that is, and which tiles a frame needs computed; pure.

A region without a grid is one tile that every frame needs. A tile of a grid is needed when it changed, when it was never seen, and when its turn to be
computed again has come; else its verdict stands, and is as young as the frame that it was compared with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edge.frame import Look, Quality
from edge.inference.change import ChangeGate
from edge.inference.schedule import Key, Schedule
from edge.region import Region

GOLDEN = 0.618034  # multiples of it lie far from each other: tiles that were computed together are computed again at different times


@dataclass(slots=True)
class Turn:
    """What became of a region's tiles on one frame; `seen_ns`: receipt of the newest frame on which each was seen."""

    computed: int = 0
    unchanged: int = 0
    skipped: int = 0
    seen_ns: tuple[int | None, ...] = ()


@dataclass(slots=True)
class _Tile:
    region: Region  # the tile itself
    refresh_ns: int  # computed again after so long; 0: on every frame
    look: Look | None = None
    computed_ns: int = 0


@dataclass(slots=True)
class _Frame:
    """The frame that is judged now."""

    received_ns: int = 0
    quality: Quality = Quality.BAD
    wanted: Mapping[Key, float] = field(default_factory=dict)
    computed: set[Key] = field(default_factory=set)


class Coverage:
    """One camera's tiles.

    Args:
        regions: what faults look at.
    """

    def __init__(self, regions: Sequence[Region]) -> None:
        self._tiles = {
            (region.id, number): _Tile(tile, _refresh_ns(region, number))
            for region in regions
            for number, tile in enumerate(region.tiles)
        }
        self._counts = {region.id: len(region.tiles) for region in regions}
        self._schedule = Schedule(self._tiles)
        levels = {region.id: region.grid.change_levels for region in regions if region.grid is not None}
        gated = {key: tile.region for key, tile in self._tiles.items() if tile.refresh_ns}
        self._gate = ChangeGate(gated, {key: levels[key[0]] for key in gated})
        self._frame = _Frame()
        #: Whether it needs the blocks of each picture.
        self.compares = any(tile.refresh_ns for tile in self._tiles.values())

    def frame(self, received_ns: int, quality: Quality, blocks: NDArray[np.uint8] | None = None) -> tuple[Key, ...]:
        """A frame came: the tiles that it needs, in the order in which they are to be computed.

        Args:
            received_ns: when.
            quality: of the picture; on one that shows nothing no verdict stands.
            blocks: means of its blocks, uint8 [rows, columns, 3]; None: it is compared with nothing.
        """
        if blocks is not None and _shows(quality):
            self._gate.see(blocks)
        else:
            self._gate.lose()
        self._frame = _Frame(received_ns, quality, self._wanted(received_ns, quality))
        for key in self._tiles.keys() - self._frame.wanted.keys():
            tile = self._tiles[key]
            assert tile.look is not None  # noqa: S101 - narrows the type: one without a look is wanted
            tile.look = replace(tile.look, seen_ns=received_ns)
        return self._schedule.frame(self._frame.wanted)

    def _wanted(self, received_ns: int, quality: Quality) -> dict[Key, float]:
        """The tiles that a frame needs, and how far each changed over its limit."""
        wanted = {}
        for key, tile in self._tiles.items():
            known = tile.look is not None and _shows(quality) and tile.look.quality.rank <= quality.rank
            change = self._gate.change(key) if known and tile.refresh_ns else math.inf
            if change > 1.0 or received_ns - tile.computed_ns >= tile.refresh_ns:
                wanted[key] = change
        return wanted

    def fits(self, left_ns: int) -> bool:
        """Whether one more tile is computed within so long."""
        return self._schedule.fits(left_ns)

    def begin(self, key: Key) -> Region:
        """A tile has its turn; until its scores are there, nothing is known of it."""
        self._schedule.begin(key)
        self._tiles[key].look = None
        self._gate.forget(key)
        return self._tiles[key].region

    def done(self, key: Key, scores: Sequence[float], took_ns: int) -> None:
        """It has its scores; those of a picture that shows nothing are not kept."""
        self._schedule.took(took_ns)
        self._frame.computed.add(key)
        if _shows(self._frame.quality):
            tile = self._tiles[key]
            tile.look = Look(scores, self._frame.received_ns, self._frame.quality)
            tile.computed_ns = self._frame.received_ns
            if tile.refresh_ns:
                self._gate.keep(key)

    def lose(self, at_ns: int) -> None:
        """The camera was away from then on: what was seen before holds no more."""
        for key, tile in self._tiles.items():
            if tile.look is not None and tile.look.seen_ns < at_ns:
                tile.look = None
                self._gate.forget(key)

    def looks(self, region: str) -> list[Look | None]:
        """What is known of each tile of a region; empty where this frame says nothing new of any of them."""
        looks = [self._tiles[region, number].look for number in range(self._counts[region])]
        now_ns = self._frame.received_ns
        return looks if any(look is not None and look.seen_ns == now_ns for look in looks) else []

    def tile(self, region: str, number: int) -> Region:
        """One tile."""
        return self._tiles[region, number].region

    def turns(self) -> dict[str, Turn]:
        """What became of each region's tiles on this frame."""
        found = {region: Turn() for region in self._counts}
        for key, tile in self._tiles.items():
            turn = found[key[0]]
            turn.computed += key in self._frame.computed
            turn.skipped += key in self._frame.wanted and key not in self._frame.computed
            turn.unchanged += key not in self._frame.wanted
            turn.seen_ns += (None if tile.look is None else tile.look.seen_ns,)
        return found


def _shows(quality: Quality) -> bool:
    return quality.rank < Quality.STALE.rank


def _refresh_ns(region: Region, number: int) -> int:
    """When a tile that does not change is computed again: each at a time of its own, in the second half of what the site allows."""
    if region.grid is None:
        return 0
    return round(region.grid.refresh_ns * (0.5 + 0.5 * (number * GOLDEN % 1.0)))
