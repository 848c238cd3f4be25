"""Joins what is known of a region's tiles to one score of the region: a fault in any, none only where all of them were seen; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge.frame import Look, Quality, worst


@dataclass(frozen=True, slots=True)
class Joined:
    """The score of a region.

    Args:
        score: the highest of the tiles that are young enough; NaN where none is.
        seen_ns: receipt of the oldest frame that it rests on; a fault rests on one tile, no fault on all of them.
        quality: of the pictures that it rests on.
        covered: whether every tile is young enough; else the score can show a fault, and not that there is none.
        tile: number of the tile with this score; None where none is young enough.
    """

    score: float
    seen_ns: int
    quality: Quality
    covered: bool
    tile: int | None


def join(looks: Sequence[Look | None], fault: int, threshold: float, now_ns: int, cover_ns: int) -> Joined:
    """One region's tiles as they stand at ``now_ns``.

    Args:
        looks: of each tile; None: it was not seen.
        fault: whose place it is among a tile's scores.
        threshold: from which a score is a fault.
        now_ns: receipt of the frame that is judged.
        cover_ns: a tile that was seen longer ago does not count.
    """
    young = [(number, look) for number, look in enumerate(looks) if look and now_ns - look.seen_ns <= cover_ns]
    if not young:
        return Joined(math.nan, now_ns, Quality.STALE, covered=False, tile=None)
    tile, highest = max(young, key=lambda item: item[1].scores[fault])
    faulty = [look for _, look in young if look.scores[fault] >= threshold]
    if faulty:
        seen_ns, quality = max(look.seen_ns for look in faulty), highest.quality
    else:
        seen_ns = min(look.seen_ns for _, look in young)
        quality = worst(*(look.quality for _, look in young))
    return Joined(highest.scores[fault], seen_ns, quality, covered=len(young) == len(looks), tile=tile)
