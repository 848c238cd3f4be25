"""A machine that was too busy at the start is measured again in time left over, until it keeps the budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.assembly import make_stages, make_worker, prove_plan
from edge.bundle import open_bundle
from edge.errors import ProofFailed
from edge.inference.proof import ProofResult
from edge.plan import make_plan
from edge.timing import EVERY_NS, RUNS, Timing
from tests.edge.bench import MS, Bench


class Machine:
    """A clock, and a run that takes so long on it."""

    def __init__(self, frame_p50_ms: float, run_ms: float) -> None:
        self.now_ns, self.run_ms, self.runs = 0, run_ms, 0
        proof = ProofResult(1, 0.0, 8, 1.0, 1.0, frame_p50_ms, frame_p50_ms, budget_ms=40.0)
        self.timing = Timing(proof, self.run, lambda: self.now_ns)

    def run(self) -> None:
        """One picture to its scores."""
        self.runs += 1
        self.now_ns += round(self.run_ms * MS)

    def live(self, seconds: float) -> None:
        """Time passes, and whatever is due is done."""
        until_ns = self.now_ns + round(seconds * 1e9)
        while self.now_ns < until_ns:
            if self.timing.ready(self.now_ns):
                self.timing.step()
            self.now_ns += 50 * MS


def test_a_machine_that_keeps_the_budget_is_not_measured_again() -> None:
    """What was proven at the start costs nothing afterwards."""
    machine = Machine(frame_p50_ms=10.0, run_ms=10.0)
    machine.live(60.0)
    assert (machine.timing.too_slow(), machine.runs) == (False, 0)


def test_a_busy_machine_counts_as_slow_until_it_is_not() -> None:
    """Its newest runs decide, by their median; then nothing is measured any more."""
    machine = Machine(frame_p50_ms=160.0, run_ms=160.0)
    machine.live(60.0)
    assert machine.timing.too_slow()
    assert machine.runs <= 60.0 * 1e9 / EVERY_NS
    machine.run_ms = 10.0
    machine.live((RUNS + 2) * (EVERY_NS / 1e9 + 0.2))
    assert not machine.timing.too_slow()
    runs = machine.runs
    machine.live(60.0)
    assert machine.runs == runs


def test_a_start_on_a_busy_machine_is_degraded_and_says_so(tmp_path: Path) -> None:
    """Frames are judged, `node-slow` stands and NE 107 says why; it goes by itself once the machine is free."""
    bench = Bench(tmp_path)
    plan = make_plan(bench.site, open_bundle(tmp_path))
    bench.time.step_ns = 30 * MS  # each look at the clock: picture to scores takes two of them
    with pytest.raises(ProofFailed, match="Too slow for the budget of 40 ms"):
        prove_plan(plan, bench.time.monotonic_ns)
    proven = prove_plan(plan, bench.time.monotonic_ns, slow_is_fatal=False)
    bench.worker = make_worker(proven, make_stages(plan, bench.stages), bench.services)
    bench.turn()
    assert bench.last("alarm/node-slow")["state"] == "UNACK_ALM"
    bench.idle(300.0)
    assert bench.last("state")["ne107"] == "S"
    assert "The device is too slow for the budget of its cameras" in bench.last("state")["reasons"]
    bench.time.step_ns = 10_000
    bench.idle((RUNS + 2) * EVERY_NS / MS)
    assert bench.last("alarm/node-slow")["state"] == "RTN_UNACK"
