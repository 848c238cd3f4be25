"""Which tiles of a picture are computed in this frame, when not all of them fit into its budget; pure.

The one that was not seen for longest comes first; of those seen in the same frame, the one that changed most. So none starves: where k of n fit into
each frame, each is seen again in ceil(n / k) frames at the latest, whatever changes meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

REMEMBERED_RUNS = 64  # several frames of several tiles: one frame in a hundred may be late, not one in ten
NEVER = (-1, 0)

#: A tile: the id of its region, and its number there.
Key = tuple[str, int]


class Schedule:
    """The turns of one camera's tiles, and how long one of them takes.

    Args:
        tiles: all of them; in which order does not matter.
    """

    def __init__(self, tiles: Iterable[Key]) -> None:
        self._frame = 0
        self._turns = 0  # in this frame
        self._seen = dict.fromkeys(sorted(set(tiles)), NEVER)  # frame, and turn in it; 0: seen without a turn
        self._runs_ns: deque[int] = deque(maxlen=REMEMBERED_RUNS)

    def frame(self, wanted: Mapping[Key, float]) -> tuple[Key, ...]:
        """A frame came: which tiles it needs computed, in this order, with how far each changed; every other one is seen to be as it was."""
        self._frame, self._turns = self._frame + 1, 0
        order = tuple(sorted(wanted, key=lambda tile: (self._seen[tile], -wanted[tile], tile)))
        for tile in self._seen.keys() - wanted.keys():
            self._seen[tile] = (self._frame, 0)
        return order

    def begin(self, tile: Key) -> None:
        """It has its turn now, whatever becomes of it: one that fails again and again must not hold up the others."""
        self._turns += 1
        self._seen[tile] = (self._frame, self._turns)

    def took(self, duration_ns: int) -> None:
        """One turn took so long."""
        self._runs_ns.append(duration_ns)

    @property
    def expected_ns(self) -> int:
        """How long the next turn takes: the second slowest of the last ones, because one slow run says nothing of the next."""
        slowest = sorted(self._runs_ns)[-2:]
        return slowest[0] if slowest else 0

    def fits(self, left_ns: int) -> bool:
        """Whether one more turn is done within so long."""
        return self.expected_ns <= left_ns


def room(budget_ms: float, decode_ms: float, run_ms: float, tiles: int) -> int:
    """How many tiles fit into one frame's budget; the first is computed in any case."""
    if run_ms <= 0.0:
        return tiles
    return max(1, min(tiles, int((budget_ms - decode_ms) // run_ms)))


def frames_between(tiles: int, fitting: int) -> int:
    """In how many frames each of so many tiles is seen once, where so many fit into a frame."""
    return -(-tiles // fitting)


def oldest_ms(tiles: int, fitting: int, interval_ms: float, budget_ms: float) -> float:
    """How old a verdict on a tile becomes at most, ms, until the flag with its next one is handed over."""
    return frames_between(tiles, fitting) * interval_ms + budget_ms


def least_rate(tiles: int, fitting: int, cover_ms: float, budget_ms: float) -> float | None:
    """Frames a second at which no tile becomes older than ``cover_ms``; None: at no rate."""
    left_ms = cover_ms - budget_ms
    return 1000.0 * frames_between(tiles, fitting) / left_ms if left_ms > 0.0 else None
