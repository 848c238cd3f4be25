"""Whether this machine keeps the budget, measured again after a start on a busy one: one run every two seconds, in idle time.

On the inference thread only. A start is not refused because the machine is busy just then; `node-slow` is active until it is fast enough.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from edge.beside import Beside
from edge.inference.proof import ProofResult
from edge.units import NS_PER_MS, NS_PER_S, percentile

RUNS = 8  # the newest of them are looked at
EVERY_NS = 2 * NS_PER_S  # a frame that comes during a run waits for its end, so they are rare


class Timing(Beside):
    """Measures again what was too slow, until it is not.

    Args:
        proof: what the start measured.
        run: takes a picture to its scores.
        monotonic_ns: the clock.
    """

    name = "timing"

    def __init__(self, proof: ProofResult, run: Callable[[], object], monotonic_ns: Callable[[], int]) -> None:
        self._run = run
        self._now = monotonic_ns
        self._budget_ns = round(proof.budget_ms * NS_PER_MS)
        self._slow = bool(proof.too_slow)
        self._took_ns: deque[int] = deque(maxlen=RUNS)
        self._next_ns = monotonic_ns() + EVERY_NS

    def too_slow(self) -> bool:
        """Whether the budget was not kept when it was measured last."""
        return self._slow

    def ready(self, now_ns: int) -> bool:
        """Whether another run is due; none is, once the budget is kept."""
        return self._slow and now_ns >= self._next_ns

    def step(self) -> None:
        """One run."""
        begun_ns = self._now()
        self._run()
        ended_ns = self._now()
        self._took_ns.append(ended_ns - begun_ns)
        self._next_ns = ended_ns + EVERY_NS
        if len(self._took_ns) == RUNS:
            self._slow = percentile(sorted(self._took_ns), 0.5) > self._budget_ns
