"""Figures of the alarm system itself: rates, floods, chattering, long-active and most frequent alarms (ISA-18.2, EEMUA 191).

Pure, fed with transitions; only annunciated ones count. Counts live in buckets of 10 s, so memory is bounded by the number of alarms.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

from edge.alarm.state import Snapshot, Transition
from edge.alarm.table import priority
from edge.units import NS_PER_S

BUCKET_NS = 10 * NS_PER_S
TEN_MINUTES = 60  # buckets
DAY = 8640  # buckets
FLOOD_STARTS_ABOVE = 10  # annunciations in 10 minutes
FLOOD_ENDS_BELOW = 5
STANDING_NS = 24 * 3600 * NS_PER_S
TOP = 10


@dataclass(frozen=True, slots=True)
class AlarmKpis:
    """The figures at one moment; goals after EEMUA 191: at most 1 in 10 minutes on average, no flood, nothing chattering or standing.

    ``top`` has the most frequent alarms of the last 24 h with their counts, ``top_share`` their share of all. ``flood_s`` is the total time
    in flood, s, out of ``observed_s``. ``standing`` are visible alarms that have been active for more than 24 h.
    """

    annunciated_10_min: int
    annunciated_day: int
    average_10_min: float
    peak_10_min: int
    flood: bool
    flood_s: float
    observed_s: float
    by_priority: dict[str, int]
    top: tuple[tuple[str, int], ...]
    top_share: float
    chattering: tuple[str, ...]
    standing: tuple[str, ...]
    hidden: tuple[str, ...]


class AlarmKpi:
    """Rolling counts since ``start_ns`` (monotonic)."""

    __slots__ = (
        "_buckets",
        "_day",
        "_flood_ns",
        "_flood_since_ns",
        "_latest_ns",
        "_peak",
        "_recent",
        "_recent_count",
        "_start_ns",
    )

    def __init__(self, start_ns: int) -> None:
        self._start_ns = start_ns
        self._latest_ns = start_ns
        self._buckets: deque[tuple[int, Counter[tuple[str, str]]]] = deque()
        self._day: Counter[tuple[str, str]] = Counter()
        self._recent: deque[tuple[int, int]] = deque()
        self._recent_count = 0
        self._peak = 0
        self._flood_since_ns: int | None = None
        self._flood_ns = 0

    def observe(self, transition: Transition) -> None:
        """Take one transition; those that were not annunciated do not count."""
        now_ns = self._advance(transition.now_ns)
        self._roll(now_ns)
        if not transition.annunciate:
            return
        bucket = now_ns // BUCKET_NS
        key = (transition.alarm_id, priority(transition.severity))
        if not self._buckets or self._buckets[-1][0] != bucket:
            self._buckets.append((bucket, Counter()))
            self._recent.append((bucket, 0))
        self._buckets[-1][1][key] += 1
        self._day[key] += 1
        self._recent[-1] = (bucket, self._recent[-1][1] + 1)
        self._recent_count += 1
        self._peak = max(self._peak, self._recent_count)
        if self._flood_since_ns is None and self._recent_count > FLOOD_STARTS_ABOVE:
            self._flood_since_ns = now_ns

    def report(self, now_ns: int, wall_ns: int, snapshots: Iterable[Snapshot]) -> AlarmKpis:
        """The figures now; ``snapshots`` of all alarms show what chatters, is active and is hidden."""
        now_ns = self._advance(now_ns)
        self._roll(now_ns)
        shown = list(snapshots)
        by_alarm: Counter[str] = Counter()
        by_priority: Counter[str] = Counter()
        for (alarm_id, name), count in self._day.items():
            by_alarm[alarm_id] += count
            by_priority[name] += count
        total = by_alarm.total()
        top = tuple(sorted(by_alarm.items(), key=lambda item: (-item[1], item[0]))[:TOP])
        observed_ns = now_ns - self._start_ns
        flooding_ns = 0 if self._flood_since_ns is None else now_ns - self._flood_since_ns
        spans = max(1.0, min(observed_ns, DAY * BUCKET_NS) / (TEN_MINUTES * BUCKET_NS))
        return AlarmKpis(
            annunciated_10_min=self._recent_count,
            annunciated_day=total,
            average_10_min=total / spans,
            peak_10_min=self._peak,
            flood=self._flood_since_ns is not None,
            flood_s=(self._flood_ns + flooding_ns) / 1e9,
            observed_s=observed_ns / 1e9,
            by_priority=dict(by_priority),
            top=top,
            top_share=sum(count for _, count in top) / total if total else 0.0,
            chattering=tuple(sorted(item.id for item in shown if item.chattering)),
            standing=tuple(sorted(item.id for item in shown if _is_standing(item, wall_ns))),
            hidden=tuple(sorted(item.id for item in shown if item.hidden and item.cause is None)),
        )

    def _advance(self, now_ns: int) -> int:
        """The newest time seen: threads read the clock before they take the lock, so a transition may carry a later time than a report."""
        self._latest_ns = max(self._latest_ns, now_ns)
        return self._latest_ns

    def _roll(self, now_ns: int) -> None:
        """Drop buckets that are too old, one after the other, so that the end of a flood is dated by the bucket that ended it."""
        newest = now_ns // BUCKET_NS
        while self._recent and self._recent[0][0] <= newest - TEN_MINUTES:
            bucket, count = self._recent.popleft()
            self._recent_count -= count
            if self._flood_since_ns is not None and self._recent_count < FLOOD_ENDS_BELOW:
                self._flood_ns += (bucket + TEN_MINUTES) * BUCKET_NS - self._flood_since_ns
                self._flood_since_ns = None
        while self._buckets and self._buckets[0][0] <= newest - DAY:
            _, counts = self._buckets.popleft()
            self._day.subtract(counts)
            self._day += Counter()  # drops what came down to zero


def _is_standing(item: Snapshot, wall_ns: int) -> bool:
    since_ns = item.active_wall_ns
    return item.active and not item.hidden and since_ns is not None and wall_ns - since_ns > STANDING_NS
