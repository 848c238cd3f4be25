"""Whether the scores of normal frames are still what they were when their limit was set: an e-detector with a stated mean run length; pure.

The share of a block's scores that lie beyond a level of the reference is compared with the share that the reference has there, and what chance may
add to that (the bound of Dvoretzky, Kiefer, Wolfowitz and Massart). While nothing has moved the comparison is 1 on average at most, so the detector
needs `mean_blocks` blocks on average at least until it says otherwise. Only the second half of each block counts, so that what data remember of a
moment ago does not join two blocks. docs/promise.md explains it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge.errors import RejectedInput

DOUBT = 0.05  # probability that a reference of so many pictures misleads by more than its margin
LEVELS = (0.5, 0.1, 0.02)  # shares of the reference beyond a level: large ones see all of it move, small ones its end
BETS = (0.2, 0.5, 0.9)  # shares of the stake
SLACK = 1e-3  # rounding of another processor: so much nearer a score is not beyond
MOST = 2.0  # strength
LEAST_SCORES = 8  # in a block, or it says nothing
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Reference:
    """Scores of normal data, ascending, and how many independent pieces (parts, pictures) they are of."""

    scores: tuple[float, ...]
    independent: int

    @property
    def margin(self) -> float:
        """How far any share may be from the truth, by chance and because not every score was kept."""
        kept = 1.0 / len(self.scores) if len(self.scores) < self.independent else 0.0
        return math.sqrt(math.log(2.0 / DOUBT) / (2.0 * self.independent)) + kept


@dataclass(frozen=True, slots=True)
class Level:
    """A limit on one side of the reference, and the share of normal scores that may lie beyond it."""

    limit: float
    above: bool
    allowed: float

    def has_beyond(self, score: float) -> bool:
        """Whether a score lies beyond."""
        return (score - self.limit if self.above else self.limit - score) > SLACK


def levels_of(reference: Reference) -> tuple[Level, ...]:
    """The levels on both sides of a reference."""
    found, count = [], len(reference.scores)
    for share in LEVELS:
        beyond = math.floor(share * count)
        for above in (True, False):
            limit = reference.scores[count - 1 - beyond if above else beyond]
            actual = sum(score > limit if above else score < limit for score in reference.scores) / count
            found.append(Level(limit, above, min(1.0, actual + reference.margin)))
    return tuple(found)


class DriftTest:
    """Watches the scores of one fault.

    Args:
        reference: scores of normal data.
        block_ns: length of a block; what data remember must be shorter than half of it.
        mean_blocks: blocks until a false alarm, on average at least.
    """

    def __init__(self, reference: Reference, block_ns: int, mean_blocks: float) -> None:
        self.reference, self.block_ns, self.mean_blocks = reference, block_ns, mean_blocks
        self._levels = levels_of(reference)
        self._sums = [0.0] * (len(self._levels) * len(BETS))
        self._began_ns: int | None = None
        self._beyond = [0] * len(self._levels)  # scores of the running block beyond each level
        self._count = 0  # all of them

    def take(self, score: float, now_ns: int) -> bool:
        """Take the score of a frame; returns whether a block ended."""
        ended = self._began_ns is None or now_ns - self._began_ns >= self.block_ns
        if ended:
            self._end_block()
            self._began_ns = now_ns
        assert self._began_ns is not None  # noqa: S101 - narrows the type: it was set above
        if now_ns - self._began_ns >= self.block_ns // 2:
            self._count += 1
            for index, level in enumerate(self._levels):
                self._beyond[index] += level.has_beyond(score)
        return ended

    def _end_block(self) -> None:
        if self._count >= LEAST_SCORES:
            self.judge([beyond / self._count for beyond in self._beyond])
        self._beyond, self._count = [0] * len(self._levels), 0

    def judge(self, shares: Sequence[float]) -> None:
        """Take a block by the shares of its scores beyond each level."""
        factors = [
            1.0 - bet + bet * share / level.allowed
            for level, share in zip(self._levels, shares, strict=True)
            for bet in BETS
        ]
        self._sums = [(held + 1.0) * factor for held, factor in zip(self._sums, factors, strict=True)]
        if self.strength > MOST:  # more says nothing more, and would only take longer to come down
            over = self.strength
            self._sums = [held * MOST / over for held in self._sums]

    @property
    def strength(self) -> float:
        """The evidence against the reference: at 1 it is enough."""
        return sum(self._sums) / len(self._sums) / self.mean_blocks

    def to_dict(self) -> dict[str, Any]:
        """As `restore` reads it; a block that runs is lost."""
        return {"format": FORMAT, "limits": [level.limit for level in self._levels], "sums": list(self._sums)}

    def restore(self, data: Any) -> None:  # noqa: ANN401 - whatever was kept
        """Go on where an earlier start stopped; with another reference nothing is taken over.

        Raises:
            RejectedInput: ``bad_promise``: it is not what `to_dict` writes.
        """
        try:
            if data["format"] != FORMAT or data["limits"] != [level.limit for level in self._levels]:
                return
            sums = [float(held) for held in data["sums"]]
        except (TypeError, ValueError, KeyError) as error:
            raise RejectedInput("bad_promise", f"what was kept of scores cannot be read: {error!r}") from error
        if len(sums) != len(self._sums) or not all(math.isfinite(held) and held >= 0.0 for held in sums):
            raise RejectedInput("bad_promise", "what was kept of scores contradicts itself")
        self._sums = sums


def same(one: DriftTest, other: DriftTest) -> bool:
    """Whether two tests ask the same."""
    return (one.reference, one.block_ns, one.mean_blocks) == (other.reference, other.block_ns, other.mean_blocks)
