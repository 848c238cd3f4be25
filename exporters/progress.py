"""One line for each step: its name, and the seconds since the start."""

from __future__ import annotations

from collections.abc import Callable

Log = Callable[[str], None]


class Progress:
    """Reports the current step: one line a step, with the seconds since the start."""

    def __init__(self, log: Log, clock: Callable[[], float]) -> None:
        self._log, self._clock, self._start = log, clock, clock()

    def __call__(self, stage: str, what: str) -> None:
        """One line."""
        self._log(f"[{self._clock() - self._start:6.1f} s] {stage:<10} {what}")

    def of(self, stage: str) -> Log:
        """Takes the lines of one stage."""
        return lambda what: self(stage, what)
