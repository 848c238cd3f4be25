"""Whether false alarms come more often than was promised: a sequential test that holds however often it is looked at; pure.

Known time is cut into slots. If no slot brings more than its share of alarms on average, whatever came before it, then betting on more cannot win: the
stake stays at 1 on average, and rises to `LIMIT` in one plant of twenty at most, ever (Ville's inequality). Nothing else is assumed: alarms may come in
bursts within a slot, and seldom or never. Bets start again at every slot, so a change after a quiet year is found too. docs/promise.md explains it.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import Any

from edge.errors import RejectedInput

SLOTS_PER_ALARM = 10  # a slot is a tenth of the mean time that the bound leaves between two alarms
BETS = (0.05, 0.1, 0.2, 0.4)  # shares of the stake: small ones find twice the bound, large ones many times it, soon
LIMIT = 20.0  # of the stake: reached with probability 1/20 at most while the bound holds
MAX_SLOTS = 512  # in which a label can still change what counts; about 51 alarms' worth of time
MAX_STAKE = 1e12  # more says nothing more, and would overflow one day
FORMAT = 1


class BoundTest:
    """Bets against the bound of one fault.

    Args:
        bound_ns: mean known time between two false alarms that was promised, ns.
    """

    def __init__(self, bound_ns: int) -> None:
        self.bound_ns = bound_ns
        self._slot_ns = max(1, bound_ns // SLOTS_PER_ALARM)
        self._elapsed_ns = 0  # in the slot that runs
        self._counts: deque[int] = deque([0])  # alarms in each slot; the last one runs
        self._first = 0  # index of the first of these slots
        self._before = [0.0] * len(BETS)  # stakes of each bet before the first of these slots
        self._stakes = list(self._before)  # stakes before the slot that runs
        self._seen: OrderedDict[str, tuple[int, bool]] = OrderedDict()  # slot of each occurrence, and whether it counts

    def advance(self, known_ns: int) -> None:
        """Known time passed, ns."""
        self._elapsed_ns += known_ns
        while self._elapsed_ns >= self._slot_ns:
            self._elapsed_ns -= self._slot_ns
            self._stakes = _after(self._stakes, self._index, self._counts[-1])
            self._counts.append(0)
            if len(self._counts) > MAX_SLOTS:
                self._before = _after(self._before, self._first, self._counts.popleft())
                self._first += 1

    def count(self, occurrence_id: str) -> None:
        """An alarm was raised; until an operator labels it true it counts as a false one. Each occurrence counts once."""
        if occurrence_id not in self._seen:
            self._seen[occurrence_id] = (self._index, True)
            self._counts[-1] += 1
            if len(self._seen) > MAX_SLOTS:
                self._seen.popitem(last=False)

    def label(self, occurrence_id: str, *, valid: bool) -> None:
        """An operator labelled an alarm true or false; what happened too long ago to be known here stays as it is."""
        slot, counts = self._seen.get(occurrence_id, (-1, not valid))
        if slot < self._first or counts is not valid:
            return
        self._seen[occurrence_id] = (slot, not valid)
        self._counts[slot - self._first] += -1 if valid else 1
        self._bet_again()

    @property
    def stake(self) -> float:
        """What a stake of 1 has become, at least: the running slot can only add to it."""
        now = _after(self._stakes, self._index, self._counts[-1])
        return sum(now) / len(BETS) + 1.0 / (self._index + 2)  # and the part that is not staked yet

    @property
    def alarms(self) -> int:
        """False alarms in the slots that are remembered."""
        return sum(self._counts)

    @property
    def known_ns(self) -> int:
        """Known time of the slots that are remembered, ns."""
        return (len(self._counts) - 1) * self._slot_ns + self._elapsed_ns

    @property
    def _index(self) -> int:
        return self._first + len(self._counts) - 1

    def to_dict(self) -> dict[str, Any]:
        """As `restore` reads it."""
        return {
            "format": FORMAT,
            "bound_ns": self.bound_ns,
            "elapsed_ns": self._elapsed_ns,
            "first": self._first,
            "counts": list(self._counts),
            "before": list(self._before),
            "seen": [[name, slot, counts] for name, (slot, counts) in self._seen.items()],
        }

    def restore(self, data: Any) -> None:  # noqa: ANN401 - whatever was kept
        """Go on where an earlier start stopped; of another bound nothing is taken over.

        Raises:
            RejectedInput: ``bad_promise``: it is not what `to_dict` writes.
        """
        try:
            if data["format"] != FORMAT or data["bound_ns"] != self.bound_ns:
                return
            counts, before = [int(count) for count in data["counts"]], [float(stake) for stake in data["before"]]
            first, elapsed_ns = int(data["first"]), int(data["elapsed_ns"])
            seen = {str(name): (int(slot), bool(counted)) for name, slot, counted in data["seen"]}
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise RejectedInput("bad_promise", f"what was kept of false alarms cannot be read: {error!r}") from error
        sound = (
            0 < len(counts) <= MAX_SLOTS
            and min(counts) >= 0
            and len(before) == len(BETS)
            and all(math.isfinite(stake) and stake >= 0.0 for stake in before)
            and first >= 0
            and 0 <= elapsed_ns < self._slot_ns
            and all(slot < first + len(counts) for slot, _ in seen.values())
        )
        if not sound:
            raise RejectedInput("bad_promise", "what was kept of false alarms contradicts itself")
        self._counts, self._first, self._elapsed_ns = deque(counts), first, elapsed_ns
        self._before, self._seen = before, OrderedDict(seen)
        self._bet_again()

    def _bet_again(self) -> None:
        """The stakes before the running slot, from the slots that are remembered."""
        self._stakes = self._before
        for index, alarms in enumerate(list(self._counts)[:-1], self._first):
            self._stakes = _after(self._stakes, index, alarms)


def _after(stakes: list[float], index: int, alarms: int) -> list[float]:
    """The stakes of all bets after one slot, to each of which a part of what was not staked yet was added first.

    A stake s becomes s (1 - b + b x), with x the alarms over their allowed mean: on average no more than s while the bound holds.
    """
    added, excess = 1.0 / ((index + 1) * (index + 2)), alarms * SLOTS_PER_ALARM
    return [
        min(MAX_STAKE, (stake + added) * (1.0 - bet + bet * excess)) for stake, bet in zip(stakes, BETS, strict=True)
    ]
