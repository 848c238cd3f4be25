"""Decides by a source's own time whether its data are new, if its clock can be right.

One `Stream` a camera or sensor; pure: the clocks are arguments.
"""

from __future__ import annotations

from collections.abc import Sequence

BATCH_REACH_NS = 60_000_000_000  # records of a batch count back so far, when its newest one is fresh
_SLACK_NS = 1_000_000_000  # of a time against one that was only received


class Stream:
    """What one source last sent, by its own clock and by this device's.

    Args:
        max_age_ns: what was measured longer ago is too old, ns; 0: the source's times are ignored.
    """

    def __init__(self, max_age_ns: int) -> None:
        self._max_age_ns = max_age_ns
        self._newest_wall_ns: int | None = None
        self._newest_ns: int | None = None
        self._last: list[tuple[int | None, object]] = []

    def succeed(self, before: Stream) -> None:
        """Continue from what an earlier stream last received."""
        self._newest_wall_ns, self._newest_ns = before._newest_wall_ns, before._newest_ns
        self._last = before._last

    def judge(
        self, records: Sequence[tuple[int | None, object]], received_ns: int, received_wall_ns: int
    ) -> list[int | str]:
        """Of each record of one message its age at receipt, ns, or why it is no news: ``replaced``, ``unchanged`` or ``too_old``.

        Args:
            records: when each was measured by its source, wall ns (None: not given, or not usable), and its content.
            received_ns: when the message came, monotonic ns.
            received_wall_ns: and wall ns.
        """
        times = [wall_ns for wall_ns, _ in records if wall_ns is not None]
        if not times or self._max_age_ns == 0:
            self._newest_ns = received_ns
            return [0] * len(records)
        newest_wall_ns = max(times)
        refusal = self._refusal(list(records), newest_wall_ns, received_ns - max(0, received_wall_ns - newest_wall_ns))
        if refusal is not None:
            return [0 if wall_ns is None else refusal for wall_ns, _ in records]
        self._newest_wall_ns, self._last = newest_wall_ns, list(records)
        age_ns = max(0, received_wall_ns - newest_wall_ns)
        if age_ns > self._max_age_ns:
            return [0 if wall_ns is None else "too_old" for wall_ns, _ in records]
        self._newest_ns = received_ns - age_ns
        reach_ns = max(self._max_age_ns, BATCH_REACH_NS)
        ages = [0 if wall_ns is None else max(0, received_wall_ns - wall_ns) for wall_ns, _ in records]
        return [age if age <= reach_ns else "too_old" for age in ages]

    def _refusal(self, records: list[tuple[int | None, object]], newest_wall_ns: int, newest_ns: int) -> str | None:
        """Why a whole message is no news: something newer came before, or the very same."""
        if self._newest_wall_ns is not None:
            if newest_wall_ns < self._newest_wall_ns:
                return "replaced"
            if newest_wall_ns == self._newest_wall_ns and records == self._last:
                return "unchanged"
        if self._newest_ns is not None and newest_ns < self._newest_ns - _SLACK_NS:
            return "replaced"
        return None
