"""The limit that keeps a bound in false alarms a day: counted after delays, on groups that did not take part in the fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.units import NS_PER_S
from exporters.recordings.recipe import DAY_NS, Fault

SURE = 0.95  # of the rate being below what is promised
_ROUND = 1.001  # the limit lies this far above the evidence that it must pass


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of evidence, and what supports it.

    Attributes:
        value: evidence above it is a fault.
        alarms: that left-out normal groups raised with it.
        days: of left-out normal operation.
        missing_days: that must be recorded more before the bound is kept; 0: the fault is armed.
    """

    value: float
    alarms: int
    days: float
    missing_days: float

    @property
    def armed(self) -> bool:
        """Whether the recording supports the bound."""
        return self.missing_days == 0.0


def most_alarms(count: int) -> float:
    """The mean number of alarms that is surely not exceeded when so many came: the upper 95 % limit of a Poisson mean."""
    low, high = 0.0, 10.0 + 4.0 * count
    for _ in range(60):
        middle = (low + high) / 2
        at_most = sum(math.exp(-middle + one * math.log(middle) - math.lgamma(one + 1)) for one in range(count + 1))
        low, high = (middle, high) if at_most > 1.0 - SURE else (low, middle)
    return high


def alarms_allowed(per_day: float, days: float) -> int | None:
    """The most alarms in so many days that still show the bound to be kept; None: even none would not."""
    if days <= 0 or most_alarms(0) > per_day * days:
        return None
    count = 0
    while most_alarms(count + 1) <= per_day * days:
        count += 1
    return count


def count_alarms(
    flagged: NDArray[np.bool_], at_ns: NDArray[np.int64], runs: NDArray[np.int64], fault: Fault, gap_ns: int
) -> int:
    """Alarms after the delays.

    Args:
        flagged: of each window, in the order of time within its run.
        at_ns: when.
        runs: which recording each is of; an alarm does not go on from one to the next.
        fault: its delays.
        gap_ns: a longer gap ends an alarm.
    """
    return len(alarm_starts(flagged, at_ns, runs, fault, gap_ns))


def alarm_starts(
    flagged: NDArray[np.bool_], at_ns: NDArray[np.int64], runs: NDArray[np.int64], fault: Fault, gap_ns: int
) -> list[int]:
    """The windows at which alarms are raised."""
    found: list[int] = []
    on_ns, off_ns = fault.on_delay_s * NS_PER_S, fault.off_delay_s * NS_PER_S
    since: int | None = None  # flagged since then
    last: int | None = None  # flagged last, while there is an alarm
    before: tuple[int, int] | None = None
    for row in np.flatnonzero(flagged).tolist():
        now, run = int(at_ns[row]), int(runs[row])
        apart = before is None or run != runs[before[1]] or now - before[0] > gap_ns
        broken = apart or (before is not None and not flagged[before[1] + 1 : row].all())
        if broken:
            since = now
        if last is not None and (before is None or run != runs[before[1]] or now - last > max(off_ns, gap_ns)):
            last = None
        if last is None and since is not None and now - since >= on_ns:
            found.append(row)
            last = now
        elif last is not None:
            last = now
        before = (now, row)
    return found


def find_limit(
    evidence: NDArray[np.float64], at_ns: NDArray[np.int64], runs: NDArray[np.int64], *, fault: Fault, step_ns: int
) -> Limit:
    """The lowest limit that keeps the bound, or, where no recording so short can show that, the one that would with a little luck.

    Args:
        evidence: of left-out normal windows, NaN where nothing is known.
        at_ns: when.
        runs: which recording each is of.
        fault: the bound and its delays.
        step_ns: from one window to the next.
    """
    known = np.isfinite(evidence)
    seen, at, of = evidence[known], at_ns[known], runs[known]
    days = len(seen) * step_ns / DAY_NS
    if not len(seen):
        return Limit(1.0, 0, 0.0, most_alarms(0) / fault.per_day)
    allowed = alarms_allowed(fault.per_day, days)
    guess = int(fault.per_day * days)  # what the bound lets expect, where nothing can be shown
    levels = np.unique(seen)
    low, high = 0, len(levels) - 1  # the highest of them passes no window
    while low < high:
        middle = (low + high) // 2
        if count_alarms(seen > levels[middle] * _ROUND, at, of, fault, 3 * step_ns) <= (
            guess if allowed is None else allowed
        ):
            high = middle
        else:
            low = middle + 1
    value = float(levels[high]) * _ROUND
    alarms = count_alarms(seen > value, at, of, fault, 3 * step_ns)
    missing = 0.0 if allowed is not None else max(most_alarms(0) / fault.per_day - days, 0.0)
    return Limit(max(value, 1e-6), alarms, days, missing)


def days_text(days: float) -> str:
    """A span as people say it."""
    return f"{days:.1f} days" if days >= 1 else f"{days * 24:.1f} hours"
